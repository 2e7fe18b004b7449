"""Share of answers with boilerplate, measured on other prompts than those on which the phrases were found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.digests import derive_uniform
from core.records import Answer
from core.text.similarity import words_of
from evaluation.config import BASE
from evaluation.drift.names import BOILERPLATE
from evaluation.drift.phrases import AnswersByPrompt, Phrase, spread_phrases
from evaluation.measures import Series

_PROMPTED = "prompted"


def boilerplate_series(answers: Sequence[Answer], seed: int = 0) -> tuple[Series, ...]:
    """Return, for each variant, 1 for each prompt whose answer has boilerplate, else 0.

    The prompts are divided into two halves by hash. Phrases that spread in the answers to one half, beyond
    chance and by at least `BOILERPLATE_RISE`, in the answers of any variant, are looked for in the answers to
    the other half; on the same half they would be found by construction.
    """
    table = by_variant(answers)
    if BASE not in table:
        return ()
    shared = sorted(set.intersection(*(set(given) for given in table.values())))
    first = {prompt_id for prompt_id in shared if derive_uniform("boilerplate", prompt_id) < 0.5}
    halves = [sorted(first), sorted(set(shared) - first)]
    found: dict[str, dict[str, float]] = {variant: {} for variant in table}
    for half, other in (halves, halves[::-1]):
        phrases = _boilerplate_of(table, half, seed)
        for variant, given in table.items():
            for prompt_id in other:
                found[variant][prompt_id] = float(any(_has(phrases, text) for text in given[prompt_id]))
    return tuple(Series(variant, BOILERPLATE, "share", values) for variant, values in found.items() if values)


def by_variant(answers: Sequence[Answer]) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return the texts of answers by variant and prompt id."""
    table: dict[str, dict[str, tuple[str, ...]]] = {}
    for answer in answers:
        table.setdefault(answer.variant, {})[answer.prompt.id] = (answer.generation.text,)
    return table


def _boilerplate_of(table: Mapping[str, AnswersByPrompt], prompts: Sequence[str], seed: int) -> set[Phrase]:
    base = {prompt_id: table[BASE][prompt_id] for prompt_id in prompts}
    return {
        phrase.words
        for variant, given in table.items()
        if variant != BASE
        for phrase in spread_phrases({prompt_id: given[prompt_id] for prompt_id in prompts}, base, seed)
        if phrase.is_boilerplate
    }


def _has(phrases: set[Phrase], text: str) -> bool:
    """Return whether a text has one of the phrases."""
    if not phrases:
        return False
    words = words_of(text)
    return any(
        tuple(words[start : start + size]) in phrases
        for size in {len(phrase) for phrase in phrases}
        for start in range(len(words) - size + 1)
    )

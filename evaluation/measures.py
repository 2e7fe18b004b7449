"""Measures of single answers, and series of their values: one number per prompt and variant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from constitution.checks.evaluate import count_words, evaluate
from constitution.checks.kinds import Check
from constitution.draw import in_scope
from constitution.schema import Constitution, Principle
from core.records import Answer
from core.text.repetition import is_repetitive
from core.text.similarity import with_similar, word_grams

COMPLIANCE = "compliance"
SAMENESS = "sameness"
_GRAM_WORDS, _NEARLY_SAME = 4, 0.5
"""Two answers are nearly the same if the Jaccard similarity of their word 4-grams is at least one half."""


@dataclass(frozen=True)
class Series:
    """Values of one measure for one variant, by prompt id."""

    variant: str
    measure: str
    unit: str
    """`words`, `share` or `nats`."""
    values: Mapping[str, float]


def words(answer: Answer) -> float:
    """Return the number of words."""
    return float(count_words(answer.generation.text))


def finished(answer: Answer) -> float:
    """Return 1 if the model ended its turn itself, 0 if it was cut off."""
    return float(answer.generation.finish_reason == "stop")


def empty(answer: Answer) -> float:
    """Return 1 if there is no text, else 0."""
    return float(is_empty(answer.generation.text))


def repeated(answer: Answer) -> float:
    """Return 1 if the answer is degenerate repetition, else 0."""
    return float(is_repetitive(answer.generation.text))


MEASURES: Mapping[str, tuple[str, Callable[[Answer], float]]] = {
    "words": ("words", words),
    "finished": ("share", finished),
    "empty": ("share", empty),
    "repeated": ("share", repeated),
}
"""Unit and function of each measure that depends on the answer only."""


def answer_series(variant: str, answers: Sequence[Answer], constitution: Constitution) -> Iterator[Series]:
    """Yield the series of every measure of one variant's answers, one answer to each prompt.

    `compliance.<principle id>` covers the prompts in the principle's scope and is 1 if the machine check
    passes. `compliance` covers the prompts in the scope of any check and is the share of their checks that
    pass. An empty answer passes every check that it does not violate; the measure `empty` shows such answers.
    """
    for name, (unit, measure) in MEASURES.items():
        yield Series(variant, name, unit, {a.prompt.id: measure(a) for a in answers})
    yield Series(variant, "duplicate", "share", duplicates(answers))
    yield Series(variant, SAMENESS, "share", sameness(answers))
    results: dict[str, list[float]] = {}
    for principle in constitution.principles:
        if principle.check is not None:
            passed = _passed(principle, principle.check, answers)
            yield Series(variant, f"{COMPLIANCE}.{principle.id}", "share", passed)
            for prompt_id, value in passed.items():
                results.setdefault(prompt_id, []).append(value)
    if results:
        shares = {prompt_id: sum(values) / len(values) for prompt_id, values in results.items()}
        yield Series(variant, COMPLIANCE, "share", shares)


def duplicates(answers: Sequence[Answer]) -> dict[str, float]:
    """Return 1 for each prompt whose answer is also the answer to another prompt, else 0, by prompt id.

    White space is ignored. Empty answers do not count as duplicates: they have their own measure.
    """
    texts = {a.prompt.id: " ".join(a.generation.text.split()) for a in answers}
    times = Counter(text for text in texts.values() if text)
    return {prompt_id: float(times[text] > 1) for prompt_id, text in texts.items()}


def sameness(answers: Sequence[Answer]) -> dict[str, float]:
    """Return 1 for each prompt whose answer is nearly that to another prompt, else 0, by prompt id.

    Nearly the same means a Jaccard similarity of the word 4-grams of at least one half; case and punctuation
    are ignored. Answers of fewer than four words are the same only if all words are. Empty answers do not
    count: they have their own measure.
    """
    grams = [word_grams(answer.generation.text, _GRAM_WORDS) for answer in answers]
    found = with_similar(grams, _NEARLY_SAME)
    return {answer.prompt.id: float(same) for answer, same in zip(answers, found, strict=True)}


def is_empty(text: str) -> bool:
    """Return True if a text contains only white space."""
    return not text.strip()


def _passed(principle: Principle, check: Check, answers: Sequence[Answer]) -> dict[str, float]:
    return {
        a.prompt.id: float(evaluate(check, a.generation.text).passed)
        for a in answers
        if in_scope(principle, a.prompt)
    }

"""What is measured on each answer by itself, and how values travel: one number a prompt, by variant."""

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

COMPLIANCE = "compliance"


@dataclass(frozen=True)
class Series:
    """One measure of one variant: a value for each prompt, by prompt id."""

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
"""Unit and function of each measure that needs nothing but the answer."""


def answer_series(variant: str, answers: Sequence[Answer], constitution: Constitution) -> Iterator[Series]:
    """Yield the series of every measure of one variant's answers, one answer to each prompt.

    `compliance.<principle id>` has the prompts in the principle's scope and is 1 where the machine check
    passes. `compliance` has the prompts in the scope of any check, and is the share of their checks that
    pass. An empty answer passes a check that it does not break; that is what `empty` is beside it for.
    """
    for name, (unit, measure) in MEASURES.items():
        yield Series(variant, name, unit, {a.prompt.id: measure(a) for a in answers})
    yield Series(variant, "duplicate", "share", duplicates(answers))
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
    """Return 1 for each prompt whose answer another prompt has got too, else 0, by prompt id.

    White space does not count. Empty answers are no duplicates: they have a measure of their own.
    """
    texts = {a.prompt.id: " ".join(a.generation.text.split()) for a in answers}
    times = Counter(text for text in texts.values() if text)
    return {prompt_id: float(times[text] > 1) for prompt_id, text in texts.items()}


def is_empty(text: str) -> bool:
    """Return whether a text holds nothing but white space."""
    return not text.strip()


def _passed(principle: Principle, check: Check, answers: Sequence[Answer]) -> dict[str, float]:
    return {
        a.prompt.id: float(evaluate(check, a.generation.text).passed)
        for a in answers
        if in_scope(principle, a.prompt)
    }

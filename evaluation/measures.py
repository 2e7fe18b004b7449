"""Measures of single answers, and series of their values: one number per prompt and variant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from constitution.checks import kinds
from constitution.checks.evaluate import count_words, evaluate
from constitution.checks.kinds import Check
from constitution.checks.prompted import check_on
from constitution.draw import in_scope
from constitution.schema import Constitution, Principle
from core.errors import DataError
from core.notices import counted
from core.records import Answer, Metric
from core.store.files import is_there
from core.store.jsonl import Unreadable, opened, rows
from core.text.repetition import is_repetitive
from core.text.similarity import with_similar, word_grams
from evaluation.config import BASE

SERIES_FILE = "series.jsonl"
"""File of a run's `eval/` with the values behind the metrics: a line for each measure of each variant."""
COMPLIANCE = "compliance"
SAMENESS = "sameness"
SELF_SIMILARITY = "self_similarity"
"""Mean similarity of an answer to those to the other prompts."""
_GRAM_WORDS, _NEARLY_SAME = 4, 0.5
"""Two answers are nearly the same if the Jaccard similarity of their word 4-grams is at least one half."""


@dataclass(frozen=True)
class Series:
    """Values of one measure for one variant, by prompt id, or by text id for losses on texts that ship."""

    variant: str
    measure: str
    unit: str
    """`words`, `share` or `nats`."""
    values: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        """Return the series as a line of `eval/series.jsonl`."""
        return {
            "variant": self.variant,
            "measure": self.measure,
            "unit": self.unit,
            "values": dict(self.values),
        }

    @classmethod
    def of(cls, row: Any) -> Self:
        """Return the series of a line of `eval/series.jsonl`; fields of other versions are ignored.

        Raises:
            DataError: the line is not a series.
        """
        try:
            values = {str(name): float(value) for name, value in row["values"].items()}
            return cls(str(row["variant"]), str(row["measure"]), str(row["unit"]), values)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise DataError(
                "not a series of values", accepted="an object with variant, measure, unit and values"
            ) from None


def read_series(path: Path) -> tuple[Series, ...]:
    """Return the series in a file; none if it is missing, as in runs of older versions.

    Raises:
        DataError: a line is damaged.
    """
    if not is_there(path):
        return ()
    found = []
    with opened(path) as file:
        for number, row in rows(file):
            try:
                found.append(Series.of(row))
            except DataError as error:
                what = str(row) if isinstance(row, Unreadable) else error.problems[0].what
                raise DataError(
                    what,
                    where=f"{path}:{number}",
                    accepted=error.problems[0].accepted,
                    run="publius eval RUN",
                ) from None
    return tuple(found)


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


_CUT_OFF = 0.1
"""Share of a variant's answers cut off from which it is said."""


def cut_off_sentences(
    metrics: Iterable[Metric], constitution: Constitution | None, limit: int
) -> tuple[str, ...]:
    """Return a sentence if many answers are cut off, with the checks that these cannot pass.

    Args:
        metrics: metrics of an evaluation.
        constitution: the principles that it measures; None if they cannot be read.
        limit: `eval.sampling.max_new_tokens`.
    """
    shares = [(*metric.name.rpartition(".")[::2], metric) for metric in metrics]
    cut = [
        f"{round(metric.n * (1 - metric.value)):,} of {counted(metric.n, 'answer')} of {variant}"
        for variant, measure, metric in shares
        if measure == "finished" and "." not in variant and 1 - metric.value >= _CUT_OFF
    ]
    if not cut:
        return ()
    principles = () if constitution is None else constitution.principles
    ends = [one.id for one in principles if one.check is not None and _is_of_the_end(one.check)]
    unpassable = f" {', '.join(ends)} cannot be passed without an answer's end." if ends else ""
    are = "is" if len(cut) == 1 and cut[0].startswith("1 ") else "are"
    told = f"{' and '.join(cut)} {are} cut off at eval.sampling.max_new_tokens ({limit:,}): raise it."
    return (told + unpassable,)


def ceiling_sentences(metrics: Iterable[Metric]) -> tuple[str, ...]:
    """Return a sentence if every answer of `base` keeps a rule, so that no training can be seen to help.

    Args:
        metrics: metrics of an evaluation; without one of another variant, nothing is compared.
    """
    found = list(metrics)
    of_base = f"{BASE}.{COMPLIANCE}."
    full = {
        metric.name.removeprefix(of_base): metric.n
        for metric in found
        if metric.name.startswith(of_base) and metric.n and metric.value == 1
    }
    if not full or all(metric.name.startswith(f"{BASE}.") for metric in found):
        return ()
    kept = ", ".join(f"{rule} in {n:,} of {counted(n, 'answer')}" for rule, n in full.items())
    which = "the rule" if len(full) == 1 else "these rules"
    return (f"{BASE} keeps {kept}: on these prompts, {which} cannot be seen to improve.",)


def _is_of_the_end(check: Check) -> bool:
    """Return True if an answer without its end fails the check, whatever it would have said."""
    if isinstance(check, kinds.Matches):
        return check.value.endswith(("$", r"\Z"))
    is_question = isinstance(check, kinds.EndsWithQuestion) and check.value
    return is_question or isinstance(check, kinds.EndsWith | kinds.JsonAnswer)


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
        a.prompt.id: float(evaluate(check_on(check, a.prompt), a.generation.text).passed)
        for a in answers
        if in_scope(principle, a.prompt)
    }

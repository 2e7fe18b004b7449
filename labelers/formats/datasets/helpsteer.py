"""Read HelpSteer: ratings of single responses (HelpSteer 2), and preferences from -3 to 3 (versions 2 and 3).

A negative preference is for response 1 (Wang et al. 2024, arXiv 2410.01257; 2025, arXiv 2505.11475). If the
individual annotators are listed, each one is a judgment of its own, and the overall preference, which is
derived from them, is not counted again. They are unnamed and numbered within the row. A strength of -100
means that neither response is valid, which is `both_bad`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from core.conversations import oddities, prompt_of, shown, sides_of
from core.errors import RequestError
from core.records import Candidate
from labelers.formats.fields import (
    annotator_name,
    answer_of,
    is_missing,
    list_of,
    mapping_of,
    maybe_text,
    number_of,
    required,
    text_of,
    value_of,
)
from labelers.formats.opinions import Opinion, outcome_by, pair_of
from labelers.formats.rankings import RatedAnswer, pairs_of
from labelers.formats.source import Row, RowLabels, RowSource, Skipped, columns_of, dropped, refusal

_BETTER_WHEN_HIGHER = ("helpfulness", "correctness", "coherence")
_NEITHER, _STRONGEST = -100.0, 3.0
_RESPONSES = (("response1", "response2"), ("response_1", "response_2"))


class HelpSteer2:
    """One rated response per row; adjacent rows with the same prompt are compared in three dimensions.

    Complexity and verbosity describe a response and do not imply a preference; they are ignored.
    """

    name = "helpsteer2"
    summary = "HelpSteer 2: one rated response per row; adjacent rows with the same prompt are compared"
    columns: frozenset[str] | None = frozenset({"prompt", "response", *_BETTER_WHEN_HIGHER})

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row looks like HelpSteer 2, or None."""
        names = {"prompt", "response", "helpfulness", "correctness"}
        return (
            "it has the columns prompt, response, helpfulness and correctness"
            if names <= row.keys()
            else None
        )

    def read(self, rows: Iterable[Row]) -> Iterator[RowLabels]:
        """Yield the pairs of each run of adjacent rows with the same prompt."""
        for prompt, run in groupby(rows, key=_prompt_text):
            if prompt is None:
                yield from map(_unreadable, run)
            else:
                yield from _compared(prompt, list(run))


def _prompt_text(row: Row) -> str | None:
    """Return the prompt, the key for grouping adjacent rows; None if the row has none."""
    try:
        return text_of(required(columns_of(row), "prompt"), "prompt")
    except RequestError:
        return None


def _unreadable(row: Row) -> RowLabels:
    try:
        text_of(required(columns_of(row), "prompt"), "prompt")
    except RequestError as error:
        return dropped(row.number, error)
    raise AssertionError("the row has a prompt")


def _compared(prompt: str, rows: list[Row]) -> Iterator[RowLabels]:
    """Yield the rows that cannot be used, then the pairs of the others together."""
    good: list[tuple[int, Candidate, dict[str, float]]] = []
    for position, row in enumerate(rows, start=1):
        try:
            values = columns_of(row)
            answer = Candidate(answer_of(required(values, "response"), "response"), f"response_{position}")
            ratings = {name: number_of(required(values, name), name) for name in _BETTER_WHEN_HIGHER}
        except RequestError as error:
            yield dropped(row.number, error)
        else:
            good.append((row.number, answer, ratings))
    numbers = tuple(number for number, _, _ in good)
    if not good:
        return
    try:
        messages = prompt_of(prompt)
        found = [
            pairs_of(
                messages,
                [RatedAnswer(answer, ratings[name]) for _, answer, ratings in good],
                Opinion(verdict="tie", dimension=name),
                margins=True,
            )
            for name in _BETTER_WHEN_HIGHER
        ]
    except RequestError as error:
        reason = "the adjacent rows have no second response to the prompt" if len(good) == 1 else error.reason
        yield RowLabels(numbers, skipped=(Skipped(reason, error.detail),))
        return
    pairs = tuple(pair for ranked in found for pair in ranked.pairs)
    skipped = tuple(part for ranked in found for part in ranked.skipped)
    yield RowLabels(numbers, pairs, skipped, oddities(messages))


class HelpSteerPreferences(RowSource):
    """Two responses per row with a preference from -3 to 3, overall or per annotator."""

    name = "helpsteer3"
    summary = "HelpSteer 3, and HelpSteer 2's preferences: -3 to 3 per annotator, negative for response 1"
    columns = frozenset(
        {"context", "prompt", "domain", "overall_preference", "preference_strength", "individual_preference"}
        | {"all_preferences_unprocessed", "preference_statement", "annotator", *_RESPONSES[0], *_RESPONSES[1]}
    )

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row looks like one of the two data sets, or None."""
        for name, responses in zip(("overall_preference", "preference_strength"), _RESPONSES, strict=True):
            if name in row and responses[0] in row:
                return f"it has the columns {responses[0]}, {responses[1]} and {name}"
        return None

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return the pair of a row, response 1 first."""
        names = next((names for names in _RESPONSES if not is_missing(values.get(names[0]))), _RESPONSES[0])
        context = required(values, "context", "prompt")
        prompt = prompt_of(context) if isinstance(context, str) else context
        prompt = [m.model_dump() for m in prompt] if isinstance(prompt, tuple) else list_of(prompt, "context")
        responses = (required(values, names[0]), required(values, names[1]))
        sides = sides_of(prompt, *responses, names=names)
        opinions, skipped = _opinions(values)
        domain = maybe_text(values, "domain")
        pair = pair_of(sides, opinions, names, (domain,) if domain else ())
        return RowLabels((number,), (pair,), tuple(skipped), oddities(sides.prompt))


def _opinions(values: Mapping[str, Any]) -> tuple[list[Opinion], list[Skipped]]:
    """Return each annotator's opinion, or the overall one if none is listed, and the unreadable ones.

    Raises:
        RequestError: if no opinion can be read.
    """
    individual = value_of(values, "individual_preference", "all_preferences_unprocessed")
    listed = [] if individual is None else list_of(individual, "individual_preference")
    opinions, skipped = [], []
    for seat, annotator in enumerate(listed, start=1):
        try:
            opinions.append(_individual(mapping_of(annotator, "an individual preference"), seat))
        except RequestError as error:
            skipped.append(Skipped(error.reason, f"annotator {seat}: {error.detail}"))
    if listed and not opinions:
        raise refusal(skipped, "no annotator's preference can be read")
    if not listed:
        overall = required(values, "overall_preference", "preference_strength")
        comment = maybe_text(values, "preference_statement")
        who = annotator_name(values.get("annotator"))
        opinions.append(_opinion(overall).model_copy(update={"comment": comment, "annotator": who}))
    return opinions, skipped


def _individual(annotator: Mapping[str, Any], seat: int) -> Opinion:
    parts = [
        maybe_text(annotator, "reasoning", "justification", "statement"),
        maybe_text(annotator, "elaboration"),
    ]
    feedback = [maybe_text(annotator, name) for name in ("feedback_1", "feedback_2")]
    parts += [f"Response {n}: {text}" for n, text in enumerate(feedback, start=1) if text]
    comment = "\n".join(part for part in parts if part) or None
    opinion = _opinion(required(annotator, "score", "strength", "preference", "overall_preference"))
    return opinion.model_copy(update={"seat": seat, "comment": comment})


def _opinion(value: Any) -> Opinion:
    score = number_of(value, "a preference")
    if score == _NEITHER:
        return Opinion(verdict="both_bad")
    if abs(score) > _STRONGEST:
        raise RequestError("a preference must be between -3 and 3", detail=shown(value))
    return Opinion(verdict=outcome_by(-score), margin=0.0 - score)  # not -score, which may be -0.0

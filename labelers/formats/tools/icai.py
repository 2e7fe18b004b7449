"""Read pairs of Inverse Constitutional AI: its CSV, and annotated pairs as JSON (versions 1.0 and 2.0).

In the CSV, `preferred_text` is one opinion, and every other column with values `text_a` and `text_b` is
another, by an annotator with the column's name. In the JSON, each annotation is an opinion; for an annotator
of type `principle`, the principle becomes the `dimension`. A null preference comes with a reason: tie, both
bad, not applicable (a skip) or invalid (unparsed). Without a prompt the texts must be whole conversations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from core.conversations import Sides, oddities, shown, sides_of
from core.errors import RequestError
from core.records import Candidate
from labelers.formats.annotation_columns import confidence_in, moment_in
from labelers.formats.fields import (
    answer_of,
    is_missing,
    mapping_of,
    maybe_text,
    outcome_of,
    required,
    value_of,
)
from labelers.formats.opinions import Opinion, Outcome, pair_of
from labelers.formats.source import RowLabels, RowSource, Skipped, refusal
from labelers.formats.tools.packed_records import KEY, ShownAnswer, unpack

ANNOTATORS = "annotators"
"""Column of the document's annotators, which `unfolded` adds to every comparison."""
DEFAULT_ANNOTATOR = "preferred_text"
_NAMES = ("text_a", "text_b")
_PROMPTS = ("prompt", "input")
_SIDES = frozenset(_NAMES)
_REASONS: Mapping[str, Outcome] = {
    "tie": "tie",
    "both_bad": "both_bad",
    "not_applicable": "skip",
    "skip": "skip",
    "invalid": "unparsed",
}


def unfolded(document: Mapping[str, Any]) -> Iterator[Any] | None:
    """Return the comparisons of a document of annotated pairs as rows; None for any other document."""
    comparisons, annotators = document.get("comparisons"), document.get(ANNOTATORS)
    if not isinstance(comparisons, list) or not isinstance(annotators, Mapping):
        return None
    return ({**c, ANNOTATORS: annotators} if isinstance(c, Mapping) else c for c in comparisons)


class AnnotatedPairs(RowSource):
    """Comparisons with the annotations of humans and principles, from the JSON format."""

    name = "icai-json"
    summary = "annotated pairs of Inverse Constitutional AI (JSON, versions 1.0 and 2.0)"
    columns = frozenset(
        {"id", "prompt", "response_a", "response_b", *_NAMES, "annotations", "metadata", ANNOTATORS}
    )

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row looks like a comparison of annotated pairs, or None."""
        found = isinstance(row.get("annotations"), Mapping) and (_NAMES[0] in row or "response_a" in row)
        return "it has two responses and annotations by annotator" if found else None

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return the pair of a comparison with an opinion of each annotator."""
        first, second = _candidate(values, "a"), _candidate(values, "b")
        answers, skipped = _answers(values)
        metadata = values.get("metadata")
        packed = metadata.get(KEY) if isinstance(metadata, Mapping) else None
        if not is_missing(packed):
            restored = unpack(packed, first, second, answers)
            if restored is not None:
                return RowLabels((number,), (restored[0],), (*skipped, *restored[1]))
        if not answers:
            raise refusal(skipped, "the comparison has no annotations")
        sides = _sides(values, first.response, second.response)
        pair = pair_of(sides, [answer.opinion for answer in answers], (first.origin, second.origin))
        return RowLabels((number,), (pair,), tuple(skipped), oddities(sides.prompt))


class IcaiTable(RowSource):
    """Rows of the CSV format, with a column per annotator."""

    name = "icai-csv"
    summary = (
        "Inverse Constitutional AI's CSV: text_a, text_b, preferred_text, input, a column for each annotator"
    )

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row looks like a row of that CSV, or None."""
        return (
            "it has the columns text_a, text_b and preferred_text"
            if {*_NAMES, DEFAULT_ANNOTATOR} <= row.keys()
            else None
        )

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return the pair of a row with an opinion of each annotator's column, text_a first."""
        texts = [answer_of(required(values, name), name) for name in _NAMES]
        opinions, skipped = [], []
        for column, value in values.items():
            is_default = column == DEFAULT_ANNOTATOR
            if is_missing(value) or not (
                is_default or (value in ("text_a", "text_b") and column not in _SIDES)
            ):
                continue
            try:
                verdict = outcome_of(value, column)
            except RequestError as error:
                skipped.append(Skipped(error.reason, error.detail))
            else:
                opinions.append(Opinion(verdict=verdict, annotator=None if is_default else column))
        if not opinions:
            raise refusal(skipped, "no annotator preferred one of the texts")
        sides = _sides(values, *texts)
        origins = (maybe_text(values, "model_a") or _NAMES[0], maybe_text(values, "model_b") or _NAMES[1])
        pair = pair_of(sides, opinions, origins)
        return RowLabels((number,), (pair,), tuple(skipped), oddities(sides.prompt))


def _sides(values: Mapping[str, Any], first: str, second: str) -> Sides:
    return sides_of(value_of(values, *_PROMPTS), first, second, _NAMES)


def _candidate(values: Mapping[str, Any], side: str) -> Candidate:
    """Return an answer, given as an object with text and model, or as text alone (version 1.0)."""
    name = f"text_{side}"
    response = values.get(f"response_{side}")
    if not isinstance(response, Mapping):
        return Candidate(answer_of(required(values, name, f"response_{side}"), name), name)
    return Candidate(answer_of(required(response, "text"), name), maybe_text(response, "model") or name)


def _answers(values: Mapping[str, Any]) -> tuple[list[ShownAnswer], list[Skipped]]:
    annotators = values.get(ANNOTATORS)
    known = annotators if isinstance(annotators, Mapping) else {}
    answers: list[ShownAnswer] = []
    skipped: list[Skipped] = []
    for key, annotation in mapping_of(required(values, "annotations"), "annotations").items():
        annotator = known.get(key)
        described = annotator if isinstance(annotator, Mapping) else {}
        try:
            answers.append(ShownAnswer(str(key), _opinion(annotation, str(key), described, skipped)))
        except RequestError as error:
            skipped.append(Skipped(error.reason, f"{key}: {error.detail}"[:200]))
    return answers, skipped


def _opinion(value: Any, key: str, described: Mapping[str, Any], skipped: list[Skipped]) -> Opinion:
    annotation = mapping_of(value, "an annotation")
    who = maybe_text(described, "name", "description") or key
    is_principle = described.get("type") == "principle"
    verdict = _verdict(annotation)
    return Opinion(
        verdict=verdict,
        annotator=key if is_principle else None if who == DEFAULT_ANNOTATOR else who,
        dimension=maybe_text(described, "description") or key if is_principle else None,
        comment=maybe_text(annotation, "comment"),
        confidence=confidence_in(annotation, skipped, "confidence"),
        created=moment_in(annotation, skipped, "created"),
        raw="invalid" if verdict == "unparsed" else None,
    )


def _verdict(annotation: Mapping[str, Any]) -> Outcome:
    preferred = annotation.get("pref")
    if not is_missing(preferred):
        return outcome_of(preferred, "pref")
    reason = annotation.get("no_pref_reason")
    if is_missing(reason):
        raise RequestError("an annotation has neither pref nor no_pref_reason")
    if not isinstance(reason, str) or reason not in _REASONS:
        raise RequestError("an annotation has an unknown no_pref_reason", detail=shown(reason))
    return _REASONS[reason]

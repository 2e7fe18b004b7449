"""Read Label Studio's Ranker: the order in which an annotator put the answers of a list.

A control has one list, best first, or several buckets: an earlier bucket is better, and the answers in one
bucket are in their order there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from core.conversations import oddities, shown
from core.errors import RequestError
from core.records import Candidate
from labelers.formats.annotation_columns import moment_in, optional
from labelers.formats.fields import (
    PROMPTS,
    annotator_name,
    answer_of,
    list_of,
    mapping_of,
    maybe_number,
    prompt_in,
    value_of,
)
from labelers.formats.opinions import Opinion, Pair
from labelers.formats.rankings import RatedAnswer, pairs_of
from labelers.formats.source import RowLabels, Skipped, refusal

_TEXTS = ("body", "text", "html", "content", "value", "title")


def is_ranked(annotation: Mapping[str, Any]) -> bool:
    """Return True if an annotation has the result of a Ranker."""
    return any(True for _ in _rankers(annotation))


def ranker_labels(
    fields: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]], number: int
) -> RowLabels:
    """Return the pairs of a task's rankings, one ranking for each annotation.

    Raises:
        RequestError: if no ranking can be read.
    """
    prompt = prompt_in(fields, *PROMPTS)
    answers = _answers(fields)
    pairs: list[Pair] = []
    skipped: list[Skipped] = []
    for place, annotation in enumerate(annotations, start=1):
        if annotation.get("was_cancelled"):
            skipped.append(Skipped("the ranking was discarded", f"annotation {place}"))
            continue
        by = Opinion(
            verdict="skip",
            annotator=annotator_name(value_of(annotation, "completed_by", "annotator")),
            duration_s=optional(partial(maybe_number, annotation, "lead_time"), skipped),
            created=moment_in(annotation, skipped, "created_at", "updated_at"),
        )
        try:
            order = [id for ranker in _rankers(annotation) for id in _order(ranker)]
            unknown = [id for id in order if id not in answers]
            if unknown or len(set(order)) < len(order):
                raise RequestError(
                    "a ranking names an answer twice or one that the task lacks", detail=shown(order)
                )
            scored = [RatedAnswer(answers[id], -float(rank)) for rank, id in enumerate(order)]
            found = pairs_of(prompt, scored, by, margins=False)
        except RequestError as error:
            skipped.append(Skipped(error.reason, f"annotation {place}: {error.detail}"))
            continue
        pairs += found.pairs
        skipped += found.skipped
    if not pairs:
        raise refusal(skipped, "the task has no annotations")
    return RowLabels((number,), tuple(pairs), tuple(skipped), oddities(prompt))


def _rankers(annotation: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the values of an annotation's rankers."""
    results = annotation.get("result")
    for result in results if isinstance(results, list) else ():
        value = result.get("value") if isinstance(result, Mapping) else None
        if isinstance(value, Mapping) and "ranker" in value:
            yield value["ranker"]


def _order(ranker: Any) -> list[str]:
    """Return the ids of a ranker, best first."""
    if isinstance(ranker, Mapping):
        return [str(id) for name in ranker for id in list_of(ranker[name], f"the bucket {name}")]
    return [str(id) for id in list_of(ranker, "a ranking")]


def _answers(fields: Mapping[str, Any]) -> dict[str, Candidate]:
    """Return the answers of a task by id: the first list of objects with ids and texts."""
    for value in fields.values():
        entries = value if isinstance(value, list) else []
        if len(entries) > 1 and all(isinstance(entry, Mapping) and "id" in entry for entry in entries):
            found = {}
            for entry in entries:
                item = mapping_of(entry, "an answer")
                found[str(item["id"])] = Candidate(
                    answer_of(value_of(item, *_TEXTS), "an answer"), str(item["id"])
                )
            return found
    raise RequestError(
        "the answers were not found in the data", detail=f"found {', '.join(map(str, fields))}"[:200]
    )

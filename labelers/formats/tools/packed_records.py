"""Embed original records in the metadata of exports, so a round trip through a labeling tool is lossless.

Every exported comparison contains the records it was made from. On import, each answer that the tool shows is
matched to a judgment by a key. An unchanged answer restores the original judgment; a changed one becomes a
new judgment that supersedes it; a new one is read as the tool exports it. Records that the tool did not show
are restored unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from core.digests import record_id
from core.errors import RequestError
from core.records import Candidate, Comparison, Judgment, Message, Prompt
from labelers.formats.fields import mapping_of
from labelers.formats.opinions import Exported, Opinion, Pair, Side, canonical, judgment_of
from labelers.formats.source import Skipped

KEY = "publius"
"""Key of the packed records in a tool's metadata."""
_TEXTS = {"response_a", "response_b"}
_A_IS: Side = "first"
"""`a` was exported as the first answer."""


@dataclass(frozen=True, slots=True)
class ShownAnswer:
    """One answer of an annotator as the tool shows it."""

    key: str
    """Identifies the judgment that it was made from."""
    opinion: Opinion


def pack_records(comparison: Comparison, judgments: Sequence[Judgment], keys: Mapping[str, str]) -> str:
    """Return the records of a comparison as JSON text, without its two answers, which the tool stores itself.

    Args:
        comparison: the comparison.
        judgments: all judgments on it.
        keys: the id of the judgment by the key of each answer that the tool shows.
    """
    content = {
        "comparison": comparison.model_dump(mode="json", exclude=_TEXTS, exclude_none=True),
        "judgments": [j.model_dump(mode="json", exclude_none=True) for j in judgments],
        "keys": dict(keys),
    }
    return json.dumps(content, ensure_ascii=False)


def unpack(
    packed: Any, first: Candidate, second: Candidate, answers: Sequence[ShownAnswer]
) -> tuple[Pair, tuple[Skipped, ...]] | None:
    """Return the pair with the original records; None if the texts were edited in the tool.

    Args:
        packed: the result of `pack_records`.
        first: the answer that was `a`, as it is in the tool now.
        second: the answer that was `b`.
        answers: the annotators' answers that the tool shows.

    Raises:
        RequestError: if the packed records are damaged.
    """
    content = mapping_of(packed, "the exported record")
    try:
        fields = dict(content["comparison"])
        prompt = Prompt.model_validate(fields["prompt"])
        exact = Comparison.model_validate(
            {**fields, "response_a": first.response, "response_b": second.response}
        )
        judgments = [Judgment.model_validate(judgment) for judgment in content["judgments"]]
        keys = {str(key): str(id) for key, id in content["keys"].items()}
        own = Comparison.of(prompt, (first.response, exact.origin_a), (second.response, exact.origin_b))
    except (ValidationError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise RequestError("the exported record is damaged", detail=type(error).__name__) from error
    if own.id != exact.id or own.response_a != first.response:
        return None
    if any(judgment.comparison_id != own.id for judgment in judgments):
        raise RequestError("the exported record is damaged", detail="a judgment of another comparison")
    kept, opinions, gone = _reconciled(judgments, keys, answers)
    a, b = (Candidate(c.response, o) for c, o in ((first, exact.origin_a), (second, exact.origin_b)))
    pair = Pair(prompt.messages, a, b, opinions, exact.group, prompt.tags, Exported(exact, kept))
    return pair, gone


def _reconciled(
    judgments: Sequence[Judgment], keys: Mapping[str, str], answers: Sequence[ShownAnswer]
) -> tuple[tuple[Judgment, ...], tuple[Opinion, ...], tuple[Skipped, ...]]:
    """Return the judgments including changed ones, the new opinions, and the deleted judgments."""
    by_id = {judgment.id: judgment for judgment in judgments}
    shown = {id for id in keys.values() if id in by_id}
    opinions, changed = [], []
    for answer in answers:
        judgment = by_id.get(keys.get(answer.key, ""))
        if judgment is None:
            opinions.append(answer.opinion)
        elif not _is_as_it_was(judgment, answer.opinion):
            changed.append(_changed(judgment, answer.opinion))
    gone = sorted(shown - {keys.get(answer.key) for answer in answers})
    lost = _with_what_they_took_back(gone, by_id)
    kept = (*(judgment for judgment in judgments if judgment.id not in lost), *changed)
    skipped = tuple(Skipped("an exported judgment was deleted in the tool", id) for id in gone)
    return kept, tuple(opinions), skipped


def _is_as_it_was(judgment: Judgment, opinion: Opinion) -> bool:
    same_comment = opinion.comment in (None, judgment.comment)
    return same_comment and judgment.verdict == canonical(opinion.verdict, _A_IS)


def _changed(judgment: Judgment, opinion: Opinion) -> Judgment:
    """Return the judgment that supersedes one that was changed in the tool.

    It has the same annotator, source, principle and weight.
    """
    who = {name: getattr(judgment, name) for name in ("annotator", "dimension", "group", "weight", "model")}
    made = judgment_of(opinion.model_copy(update=who), judgment.comparison_id, judgment.labeler, _A_IS)
    identity = record_id("changed", judgment.id, made.verdict, made.comment)
    update = {"id": identity, "principle_id": judgment.principle_id, "supersedes": judgment.id}
    return made.model_copy(update=update)


def _with_what_they_took_back(ids: Sequence[str], by_id: Mapping[str, Judgment]) -> set[str]:
    """Return the ids and those that they supersede; otherwise an undone judgment would be restored."""
    found, open_ids = set(ids), list(ids)
    while open_ids:
        earlier = by_id[open_ids.pop()].supersedes
        if earlier is not None and earlier in by_id and earlier not in found:
            found.add(earlier)
            open_ids.append(earlier)
    return found


def messages_of(prompt: Sequence[Message]) -> list[dict[str, str]]:
    """Return messages as plain mappings."""
    return [{"role": message.role, "content": message.content} for message in prompt]

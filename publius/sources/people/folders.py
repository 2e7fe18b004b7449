"""The comparisons of a label folder with people's votes together, as rows for any command that reads data.

A label folder is what `publius import labels` and `publius annotate` write: `comparisons.jsonl` and
`judgments.jsonl` without a run's manifest. Judgments of machines are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.digests import digest, file_digest
from core.records import Comparison, Judgment
from core.store.files import is_there, os_errors
from core.store.scan import scan_records
from labelers.crowd.methods import Aggregation, aggregate_votes
from labelers.crowd.reliability import Crowd
from labelers.crowd.votes import MACHINES, Vote, by_comparison, mostly_both_bad, votes_of
from labelers.crowd.which import EVERY_VOTE, WhichVotes
from labelers.formats.columns import best_named

_COMPARISONS, _JUDGMENTS = "comparisons.jsonl", "judgments.jsonl"
_IMPORT = "import.json"
_ADDED = "added_comparisons.jsonl"
_ORIGINS = ("origin_a", "origin_b")


@dataclass(frozen=True, slots=True)
class PeoplesLabel:
    """A comparison with the votes of people on it."""

    comparison: Comparison
    votes: tuple[Vote, ...]
    p_a: float | None
    """Probability that `a` is better; None without a vote for it, or if most votes find both answers bad."""


def is_label_folder(path: Path) -> bool:
    """Return whether a path is a folder of labels, and no run."""
    with os_errors(path):
        if not path.is_dir():
            return False
    return all(is_there(path / name) for name in (_COMPARISONS, _JUDGMENTS)) and not is_there(
        path / "manifest.json"
    )


def columns_of_answers(path: Path) -> tuple[str, str] | None:
    """Return the file's columns of the first and the second answer of an import, if it has named ones."""
    try:
        first, second = json.loads((path / _IMPORT).read_bytes())["answers"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (first, second) if isinstance(first, str) and isinstance(second, str) else None


def label_folder_digest(path: Path) -> str:
    """Return the digest of a label folder's records."""
    with os_errors(path):
        return digest(*(file_digest(path / name) for name in (_COMPARISONS, _JUDGMENTS)))


def peoples_labels(
    folders: Sequence[Path], method: Aggregation, which: WhichVotes = EVERY_VOTE
) -> Iterator[PeoplesLabel]:
    """Yield the comparisons of label folders and runs in their order, each once, with its votes together.

    If only some of the folders name the answers of a comparison, it has these names.

    Args:
        folders: the folders.
        method: how the votes of all comparisons are combined; `majority` is their weighted mean.
        which: the judgments that count.
    """
    judgments = {j.id: j for folder in folders for j in scan_records(folder / _JUDGMENTS, Judgment)}
    votes = votes_of(j for j in which.of(judgments.values()) if j.labeler not in MACHINES)
    crowd: Crowd = aggregate_votes(votes, method)
    by_id = by_comparison(votes)
    places = [folder / name for folder in folders for name in (_COMPARISONS, _ADDED)]
    named = _best_named(places) if len(folders) > 1 else {}
    seen = set[str]()
    for comparison in (found for place in places for found in scan_records(place, Comparison)):
        if comparison.id in seen:
            continue
        seen.add(comparison.id)
        own: Sequence[Vote] = by_id.get(comparison.id, ())
        p_a = None if mostly_both_bad(own) else crowd.p_a.get(comparison.id)
        if origins := named.get(comparison.id):
            comparison = comparison.model_copy(update=dict(zip(_ORIGINS, origins, strict=True)))
        yield PeoplesLabel(comparison, tuple(own), p_a)


def _best_named(places: Sequence[Path]) -> dict[str, tuple[str, str]]:
    """Return the origins of the answers of each comparison in files."""
    named: dict[str, tuple[str, str]] = {}
    for one in (found for place in places for found in scan_records(place, Comparison)):
        named[one.id] = best_named(named.get(one.id, ("", "")), (one.origin_a, one.origin_b))
    return named


def label_folder_rows(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the place and the columns of each comparison: texts, origins, and `p_a` where people gave one."""
    for label in peoples_labels([folder], "majority"):
        one = label.comparison
        columns = {
            "prompt": [turn.model_dump(exclude_none=True) for turn in one.prompt.messages],
            "response_a": one.response_a,
            "response_b": one.response_b,
            "origin_a": one.origin_a,
            "origin_b": one.origin_b,
            "tags": list(one.prompt.tags),
            "p_a": label.p_a,
            "weight": 1.0 if one.weight is None else one.weight,
        }
        yield f"comparison {one.id}", columns

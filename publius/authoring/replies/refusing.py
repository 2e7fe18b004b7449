"""`publius check --replies --refusals`: full and partial refusals of given replies, and paired differences.

Rules read question and reply together, as in an evaluation (evaluation/refusals/detector.py). Several replies
to one prompt never count as independent: each prompt is one value, the mean of its replies.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Literal

import numpy as np

from core.statistics.bootstrap import Interval
from core.statistics.intervals import share_difference_interval, share_interval
from evaluation.measures import is_empty
from evaluation.refusals.detector import ResponseKind, response_to
from prompts.sources import normalised
from publius.authoring.replies.rows import ReplyRow
from publius.authoring.replies.values import GroupValue, cell_values, value_name, value_order
from publius.runs.pairs.table_columns import OWN

RefusalLabel = Literal["safe", "unsafe", ""]
GivenMeasure = Literal["refusal", "any_refusal", "compliance"]
GIVEN_MEASURES: tuple[GivenMeasure, ...] = ("refusal", "any_refusal", "compliance")
"""Full refusals; full and partial ones; replies that comply, without empty ones."""
RESPONSE_COLUMN = "refusal"
"""Column of written tables: `full`, `partial` or `none`."""
_LABELS: tuple[RefusalLabel, ...] = ("safe", "unsafe", "")
_LABEL_COLUMN = "label"
_NAMES: Mapping[ResponseKind, str] = {"refusal": "full", "partial": "partial", "compliance": "none"}
_MOST_GROUPS = 6
"""Groups with most replies that are compared with each other."""


@dataclass(frozen=True)
class RefusalCounts:
    """How replies of one group respond to prompts of one label."""

    label: RefusalLabel
    """`safe`, `unsafe`, or empty for prompts without a label."""
    value: GroupValue
    """Value of the column that tells groups apart."""
    replies: int
    kinds: Mapping[str, int]
    """Number of replies by kind: `full`, `partial`, `none`, `empty`."""
    by_prompt: Mapping[str, Mapping[GivenMeasure, float]]
    """Share of each prompt's replies, by the words of the prompt."""

    def share(self, measure: GivenMeasure) -> Interval:
        """Return the mean share over prompts with its 95 % interval."""
        return share_interval(np.array([one[measure] for one in self.by_prompt.values()]))

    def as_json(self) -> dict[str, Any]:
        """Return counts and shares with their intervals as JSON-able values."""
        shares: dict[str, Any] = {measure: _as_json(self.share(measure)) for measure in GIVEN_MEASURES}
        counts = {"replies": self.replies, "prompts": len(self.by_prompt), "kinds": dict(self.kinds)}
        return {"label": self.label or None, "value": self.value, **counts, **shares}


@dataclass(frozen=True)
class RefusalDifference:
    """The difference of two groups on the prompts of one label that both answered: second less first."""

    label: RefusalLabel
    first: GroupValue
    second: GroupValue
    prompts: int
    measures: Mapping[GivenMeasure, Interval]

    def as_json(self) -> dict[str, Any]:
        """Return the differences with their intervals as JSON-able values."""
        found: dict[str, Any] = {measure: _as_json(interval) for measure, interval in self.measures.items()}
        names = {"label": self.label or None, "first": self.first, "second": self.second}
        return {**names, "prompts": self.prompts, **found}


@dataclass(frozen=True)
class GivenRefusals:
    """Refusals of given replies, by the label of their prompts and by group."""

    column: str | None
    """The column that tells groups apart; None for a single group."""
    counts: tuple[RefusalCounts, ...]
    differences: tuple[RefusalDifference, ...]
    without_prompt: int
    """Replies that are left out, as they have no prompt."""

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON-able values."""
        return {
            "column": self.column,
            "groups": [one.as_json() for one in self.counts],
            "differences": [one.as_json() for one in self.differences],
            "without_prompt": self.without_prompt,
        }


def given_refusals(rows: Sequence[ReplyRow], column: str | None) -> GivenRefusals:
    """Return how replies respond to their prompts.

    Args:
        rows: the replies; each is in the group of every value of its cell `by`.
        column: name of that column; None for one group.
    """
    grouped: dict[tuple[RefusalLabel, str], list[ReplyRow]] = defaultdict(list)
    values: dict[str, GroupValue] = {}
    for row in rows:
        if row.prompt is not None:
            for value in cell_values(row.by):
                values[repr(value)] = value
                grouped[label_of_reply(row), repr(value)].append(row)
    order = sorted(values, key=lambda name: value_order(values[name]))
    counts = {
        (label, name): _counts(label, values[name], grouped[label, name])
        for label in _LABELS
        for name in order
        if (label, name) in grouped
    }
    sizes = {name: sum(one.replies for (_, of), one in counts.items() if of == name) for name in order}
    compared = set(sorted(order, key=lambda name: -sizes[name])[:_MOST_GROUPS])
    pairs = list(combinations([name for name in order if name in compared], 2)) if column else []
    found = [
        _difference(counts[label, one], counts[label, two])
        for label in _LABELS
        for one, two in pairs
        if (label, one) in counts and (label, two) in counts
    ]
    without = sum(row.prompt is None for row in rows)
    return GivenRefusals(column, tuple(counts.values()), tuple(one for one in found if one), without)


def with_responses(rows: Sequence[ReplyRow]) -> list[ReplyRow]:
    """Return the replies with the kind of their response as a further column, for tables.

    A column of theirs that has its name is kept under another one, as beside any column of ours.
    """
    return [replace(row, own={**_own_beside(row.own), RESPONSE_COLUMN: _kind(row)}) for row in rows]


def _own_beside(own: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{name}{OWN}" if name == RESPONSE_COLUMN else name: value for name, value in own.items()}


def label_of_reply(row: ReplyRow) -> RefusalLabel:
    """Return whether a reply's prompt is safe or unsafe, by the column label or tags; empty if unknown."""
    cells = {name.casefold(): value for name, value in row.own.items()}
    words = [cells.get(_LABEL_COLUMN), *(() if row.prompt is None else row.prompt.tags)]
    for word in words:
        if isinstance(word, str) and (label := word.strip().casefold()) in ("safe", "unsafe"):
            return "safe" if label == "safe" else "unsafe"
    return ""


def _kind(row: ReplyRow) -> str:
    """Return `full`, `partial`, `none` or `empty`; an empty text without a prompt."""
    if row.prompt is None:
        return ""
    if is_empty(row.reply):
        return "empty"
    return _NAMES[response_to(row.prompt.messages[-1].content, row.reply).kind]


def _counts(label: RefusalLabel, value: GroupValue, rows: Sequence[ReplyRow]) -> RefusalCounts:
    kinds: Counter[str] = Counter()
    by_prompt: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        assert row.prompt is not None
        kinds[kind := _kind(row)] += 1
        by_prompt[normalised(row.prompt.messages) or row.prompt.id].append(kind)
    shares = {key: _shares(found) for key, found in sorted(by_prompt.items())}
    return RefusalCounts(label, value, len(rows), dict(kinds), shares)


def _shares(kinds: Sequence[str]) -> dict[GivenMeasure, float]:
    full, partial, none = (kinds.count(kind) / len(kinds) for kind in ("full", "partial", "none"))
    return {"refusal": full, "any_refusal": full + partial, "compliance": none}


def _difference(first: RefusalCounts, second: RefusalCounts) -> RefusalDifference | None:
    """Return the paired difference of two groups; None if they share no prompt."""
    both = [key for key in first.by_prompt if key in second.by_prompt]
    if not both:
        return None
    measures = {
        measure: share_difference_interval(
            np.array([second.by_prompt[key][measure] - first.by_prompt[key][measure] for key in both])
        )
        for measure in GIVEN_MEASURES
    }
    return RefusalDifference(first.label, first.value, second.value, len(both), measures)


def name_of_group(value: GroupValue) -> str:
    """Return the value of a group as it is printed."""
    return "(empty)" if value is None else value_name(value)


def _as_json(found: Interval) -> dict[str, float]:
    return {"value": found.value, "low": found.low, "high": found.high}

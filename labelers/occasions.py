"""Repeated judgments of one comparison by one annotator: which of them are occasions of their own.

Whoever judges a comparison twice is asked for it: both judgments say how far the annotator agrees with
themselves (test and retest). Whether they agree must not decide if both are kept. Two rows that are the same
in every cell are one judgment that is in the file twice; any other row is an occasion of its own.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

from core.digests import record_id
from core.records import Judgment
from core.text.names import folded_name

_CASES = frozenset(
    {"item", "item_id", "item_no", "id", "case", "case_id", "pair_id", "task_id", "row_id", "question_id"}
    | {"annotation_id", "judgment_id", "trial", "trial_id", "session", "session_id", "occasion", "round"}
)
"""Columns by which people tell the occasions of a repeated comparison apart."""
_FIRST = 1


class Occasions:
    """Numbers the judgments that an annotator gives on one comparison.

    Two small integers are kept in memory for each judgment of a named annotator.
    """

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}

    def placed(self, judgment: Judgment, rows: Hashable, earlier: Iterable[Judgment]) -> Judgment:
        """Return the judgment with its occasion, and the id of it; unchanged if it is the first.

        Args:
            judgment: a judgment as its row has it.
            rows: what is in the rows that it is from.
            earlier: the judgments of the comparison that were stored before.
        """
        if judgment.annotator is None or judgment.annotator.startswith(judgment.comparison_id):
            return judgment  # nobody says that two unnamed judgments are by one person
        about = about_of(judgment)
        key = hash((judgment.comparison_id, about, rows))
        number = self._numbers.get(key)
        if number is None:
            before = [occasion_of(other) for other in earlier if about_of(other) == about]
            number = self._numbers[key] = max(before, default=_FIRST - 1) + 1
        if number == _FIRST:
            return judgment
        own = record_id("judgment", judgment.id, "occasion", number)
        return judgment.model_copy(update={"id": own, "occasion": number})


def occasion_of(judgment: Judgment) -> int:
    """Return the number of a judgment's occasion, from 1."""
    return judgment.occasion or _FIRST


def about_of(judgment: Judgment) -> tuple[str | None, ...]:
    """Return who judged, and in which respect."""
    who = None if judgment.annotator is None else folded_name(judgment.annotator)
    return judgment.labeler, who, judgment.model, judgment.dimension, judgment.principle_id, judgment.group


def contents_of(values: Any) -> int:
    """Return a hash of what is in a row."""
    return hash(repr(sorted(values.items(), key=repr)) if isinstance(values, Mapping) else repr(values))


def case_columns(columns: Iterable[str]) -> list[str]:
    """Return the columns that tell the occasions of a repeated comparison apart."""
    return [name for name in columns if name.strip().casefold().replace(" ", "_") in _CASES]

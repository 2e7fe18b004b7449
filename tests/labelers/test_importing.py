"""Counts of an import: rows are kept or dropped; duplicates and contradictions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from core.errors import DataError
from core.records import Candidate, Message
from labelers.formats.opinions import Opinion, Pair
from labelers.formats.source import LabelSource, Row, RowLabels
from labelers.importing import DUPLICATE_JUDGMENT, FIRST_ROWS
from tests.labelers.formats.reading import given, imported

PROMPT = (Message(role="user", content="Name a bird."),)


def row(verdict: str, annotator: str | None = "ann", **more: Any) -> dict[str, Any]:
    columns = {"prompt": "Name a bird.", "response_a": "One.", "response_b": "Two.", "verdict": verdict}
    return {**columns, "annotator": annotator, **more}


def test_a_repeated_row_is_dropped_and_counted(tmp_path: Path):
    labels = imported(given(row("a"), row("a"), row("a", "other")), tmp_path)
    assert (labels.tally.kept, labels.tally.judgments) == (2, 2)
    assert labels.tally.dropped[DUPLICATE_JUDGMENT].rows == [2]
    assert [e.record_id for e in labels.exclusions] == ["file:2"]


def test_repeats_that_agree_and_that_differ_are_kept_alike(tmp_path: Path):
    rows = [row("a", item_id=1), row("a", item_id=2), row("b", item_id=3), row("a", item_id=2)]
    labels = imported(given(*rows, row("b", "other", item_id=3)), tmp_path)
    found = sorted((j.annotator or "", j.occasion or 1, j.verdict) for j in labels.judgments)
    assert [one[:2] for one in found] == [("ann", 1), ("ann", 2), ("ann", 3), ("other", 1)]
    assert found[0][2] == found[1][2] != found[2][2] == found[3][2]
    assert labels.reason(4) == DUPLICATE_JUDGMENT
    assert (labels.tally.repeats.count, labels.tally.conflicts.count) == (2, 1)


def test_the_first_judgment_has_the_id_that_it_has_without_repeats(tmp_path: Path):
    alone = imported(given(row("a")), tmp_path / "alone").judgments
    repeated = imported(given(row("a", item_id=1), row("a", item_id=2)), tmp_path / "repeated").judgments
    assert {j.id for j in alone} < {j.id for j in repeated}
    assert len(repeated) == 2


def test_the_mirrored_row_is_the_same_comparison(tmp_path: Path):
    mirrored = row("b", response_a="Two.", response_b="One.")
    labels = imported(given(row("a"), mirrored), tmp_path)
    assert (labels.tally.comparisons, labels.tally.judgments) == (1, 2)
    assert len({judgment.verdict for judgment in labels.judgments}) == 1


def test_unnamed_people_do_not_repeat_themselves(tmp_path: Path):
    labels = imported(given(row("a", None, item_id=1), row("a", None, item_id=2)), tmp_path)
    assert labels.reason(2) == DUPLICATE_JUDGMENT


def test_a_person_who_contradicts_is_kept_and_counted(tmp_path: Path):
    labels = imported(given(row("a"), row("b"), row("b", "other"), row("tie", "other")), tmp_path)
    assert labels.tally.judgments == 4
    assert (labels.tally.conflicts.count, labels.tally.conflicts.rows) == (2, [2, 4])


def test_two_people_who_disagree_are_no_conflict(tmp_path: Path):
    labels = imported(given(row("a", "one"), row("b", "two"), row("b", "one", dimension="tone")), tmp_path)
    assert labels.tally.conflicts.count == 0


def test_the_first_rows_of_a_reason_are_told(tmp_path: Path):
    labels = imported(given(*(row("unclear") for _ in range(9)), row("a")), tmp_path)
    (found,) = labels.tally.dropped.values()
    assert (found.count, found.rows, found.detail) == (9, list(range(1, FIRST_ROWS + 1)), "'unclear'")
    assert len(labels.exclusions) == 9


class Odd:
    """A source that returns the given labels, whatever the rows are."""

    name, summary, columns = "odd", "", None

    def __init__(self, outcomes: list[RowLabels]) -> None:
        self.outcomes = outcomes

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        return None

    def read(self, rows: Iterable[Row]) -> Iterator[RowLabels]:
        list(rows)
        yield from self.outcomes


def test_a_source_that_forgets_a_row_is_refused(tmp_path: Path):
    pair = Pair(PROMPT, Candidate("x", ""), Candidate("y", ""), (Opinion(verdict="first"),))
    source: LabelSource = Odd([RowLabels((1,), (pair,))])
    with pytest.raises(DataError, match="returned labels for 1 of 2 rows"):
        imported(given({}, {}), tmp_path, source)


def test_pairs_that_a_source_should_not_have_made_are_dropped(tmp_path: Path):
    same = Pair(PROMPT, Candidate("x", ""), Candidate("x", ""), (Opinion(verdict="first"),))
    silent = Pair((Message(role="assistant", content="?"),), Candidate("x", ""), Candidate("y", ""))
    source: LabelSource = Odd([RowLabels((1,), (same,)), RowLabels((2,), (silent,)), RowLabels((3,))])
    labels = imported(given({}, {}, {}), tmp_path, source)
    assert [labels.reason(n) for n in (1, 2, 3)] == [
        "the two answers are the same",
        "the prompt is invalid",
        "the row has no judgment",
    ]


def test_a_comparison_that_nobody_judged_is_kept_once(tmp_path: Path):
    pair = Pair(PROMPT, Candidate("x", ""), Candidate("y", ""))
    source: LabelSource = Odd([RowLabels((1,), (pair,)), RowLabels((2,), (pair,))])
    labels = imported(given({}, {}), tmp_path, source)
    assert (labels.tally.kept, labels.tally.comparisons, labels.tally.judgments) == (1, 1, 0)

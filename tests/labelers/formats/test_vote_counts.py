"""Two columns of counts are that many unnamed people's votes."""

from __future__ import annotations

from typing import Any

import pytest

from labelers.formats.columns import Columns
from labelers.formats.datasets.trl import TrlPreferences
from labelers.formats.source import LabelSource, Row, RowLabels

CHOSEN = {"prompt": "Why?", "chosen": "Because.", "rejected": "No."}
SIDES = {"prompt": "Why?", "response_a": "Because.", "response_b": "No."}


def read(source: LabelSource, row: dict[str, Any]) -> RowLabels:
    (found,) = source.read([Row(1, row)])
    return found


@pytest.mark.parametrize(
    "names", [("n_for", "n_against"), ("votes_for", "votes_against"), ("wins", "losses")]
)
def test_counts_beside_chosen_are_votes(names: tuple[str, str]) -> None:
    found = read(TrlPreferences(), {**CHOSEN, names[0]: "2", names[1]: 1})
    assert [(o.verdict, o.seat) for o in found.pairs[0].opinions] == [
        ("first", 1),
        ("first", 2),
        ("second", 3),
    ]
    assert set(names) <= TrlPreferences.columns
    assert not found.notes


@pytest.mark.parametrize("names", [("votes_a", "votes_b"), ("votes_for", "votes_against")])
def test_counts_beside_answers_stand_for_a_verdict(names: tuple[str, str]) -> None:
    row = {**SIDES, names[0]: 1, names[1]: 1.0}
    assert Columns().recognises(row)
    assert [o.verdict for o in read(Columns(), row).pairs[0].opinions] == ["first", "second"]


def test_more_votes_against_the_chosen_answer_are_noted() -> None:
    found = read(TrlPreferences(), {**CHOSEN, "n_for": 0, "n_against": 1})
    assert found.notes == ("more votes are against the chosen answer than for it",)


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        ((0, 0), "there are no votes on the pair"),
        ((1000, 1), "more than 1,000 votes on a pair"),
        ((1.5, 1), "a count of votes is not a whole number of 0 or more"),
        ((-1, 1), "a count of votes is not a whole number of 0 or more"),
    ],
)
def test_other_counts_drop_the_row(counts: tuple[float, float], reason: str) -> None:
    found = read(TrlPreferences(), {**CHOSEN, "n_for": counts[0], "n_against": counts[1]})
    assert not found.pairs
    assert found.skipped[0].reason == reason


@pytest.mark.parametrize("more", [{"annotator": "ada"}, {"p_chosen": 0.9}, {"n_against": None}])
def test_rows_that_say_it_otherwise_are_one_opinion(more: dict[str, Any]) -> None:
    found = read(TrlPreferences(), {**CHOSEN, "n_for": 3, "n_against": 3, **more})
    assert len(found.pairs[0].opinions) == 1

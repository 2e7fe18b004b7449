"""Aggregation by name: shares, crowd-kit's model, and a missing package."""

from __future__ import annotations

import sys

import pytest

from core.errors import MissingExtraError
from labelers.crowd.methods import Aggregation, aggregate_votes
from tests.labelers.crowd.crowds import vote
from tests.labelers.crowd.test_reliability import crowd


def test_majority_is_the_share_by_weight_with_ties_as_half_votes():
    votes = [
        vote("c", "anna", 1.0),
        vote("c", "ben", 0.5),
        vote("c", "cleo", 0.0, weight=0.5),
        vote("c", "dan", None),
    ]
    found = aggregate_votes(votes, "majority")
    assert found.p_a == {"c": pytest.approx(1.5 / 2.5)}
    accuracies = {one.annotator: one.accuracy for one in found.annotators}
    assert accuracies == {"anna": pytest.approx(0.6), "ben": None, "cleo": pytest.approx(0.4)}


@pytest.mark.parametrize("method", ["graded", "dawid-skene"])
def test_learned_reliability_beats_the_majority(method: Aggregation):
    pytest.importorskip("crowdkit")
    votes, truth = crowd(7, 150)

    def right(how: Aggregation) -> int:
        p_a = aggregate_votes(votes, how).p_a
        return sum((p_a[str(number)] > 0.5) == better for number, better in enumerate(truth))

    assert right(method) >= right("majority") + 10


def test_dawid_skene_believes_in_ties():
    pytest.importorskip("crowdkit")
    votes = [vote(n, who, p) for n, p in enumerate([1.0, 0.0, 0.5] * 5) for who in ("anna", "ben", "cleo")]
    p_a = aggregate_votes(votes, "dawid-skene").p_a
    assert [p_a[str(n)] for n in range(3)] == pytest.approx([1.0, 0.0, 0.5], abs=1e-6)
    assert aggregate_votes([vote("c", "anna", 0.5)], "dawid-skene").p_a == {"c": pytest.approx(0.5)}


@pytest.mark.parametrize("method", ["graded", "majority", "dawid-skene"])
def test_no_votes_give_nothing(method: Aggregation):
    assert aggregate_votes([vote("c", "anna", None)], method).p_a == {}


class Absent:
    """Does not find crowd-kit, as if it were not installed."""

    def find_spec(self, name: str, *rest: object) -> None:
        if name == "crowdkit":
            raise ModuleNotFoundError("No module named 'crowdkit'", name="crowdkit")


def test_missing_package_is_told_with_what_installs_it(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "crowdkit"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    with pytest.raises(MissingExtraError, match=r"\[crowd\]"):
        aggregate_votes([vote("c", "anna", 1.0)], "dawid-skene")

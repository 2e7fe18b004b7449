"""Annotators who judge a comparison again: their agreement with themselves, and the cases of the others."""

from __future__ import annotations

from core.records import Judgment, Verdict
from labelers.crowd.agreement import annotator_agreement
from labelers.crowd.consistency import self_agreements
from labelers.crowd.votes import votes_by_occasion, votes_of


def said(who: str, verdict: Verdict, occasion: int | None = None, on: str = "c") -> Judgment:
    name = f"{on} {who} {verdict} {occasion}"
    return Judgment(
        id=name, comparison_id=on, labeler="people", verdict=verdict, annotator=who, occasion=occasion
    )


def test_each_annotator_is_compared_with_their_own_earlier_choice():
    judgments = [said("ann", "a"), said("ann", "a", 2), said("ann", "b", 3), said("ben", "a")]
    (found,) = self_agreements(judgments)
    assert (found.annotator, found.repeats, found.same, found.share) == ("people/ann", 2, 1, 0.5)


def test_an_occasion_is_a_case_and_never_a_second_annotator():
    judgments = [said("ann", "a"), said("ann", "b", 2), said("ben", "a"), said("ben", "b", 2)]
    cases = votes_by_occasion(judgments, {"c": "p"})
    assert set(cases.prompts.values()) == {"p"}
    found = annotator_agreement(*cases)
    assert found is not None
    assert (found.comparisons, found.annotators, found.observed.value) == (2, 2, 1.0)
    assert annotator_agreement(votes_by_occasion(judgments[:2]).votes) is None


def test_a_person_who_repeats_has_one_vote():
    votes = votes_of([said("ann", "a"), said("ann", "a", 2), said("ann", "b", 3)])
    assert [(vote.p_a, vote.weight) for vote in votes] == [(2 / 3, 1.0)]

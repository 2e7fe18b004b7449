"""Votes: one for each annotator and comparison, and judgments that are not votes."""

from __future__ import annotations

import pytest

from labelers.crowd.votes import mostly_both_bad, probability_of, votes_of
from tests.labelers.crowd.crowds import by_ai, judged, vote


def test_choices_without_a_number_are_one_half_and_zero():
    votes = votes_of([judged("c", "a", "1"), judged("c", "b", "2"), judged("c", "tie", "3")])
    assert [(v.annotator, v.choice, v.p_a) for v in votes] == [
        ("crowd/1", "a", 1.0),
        ("crowd/2", "b", 0.0),
        ("crowd/3", "tie", 0.5),
    ]


def test_graded_choice_keeps_its_number():
    (found,) = votes_of([judged("c", "b", p_a=0.3)])
    assert (found.choice, found.p_a) == ("b", 0.3)


@pytest.mark.parametrize("verdict", ["skip", "unparsed"])
def test_who_says_nothing_casts_no_vote(verdict: str):
    assert votes_of([judged("c", verdict)]) == []


def test_both_bad_is_a_vote_for_neither_whatever_number_came_with_it():
    (found,) = votes_of([judged("c", "both_bad", p_a=0.5)])
    assert (found.choice, found.p_a) == ("both_bad", None)
    assert probability_of(judged("c", "both_bad", p_a=0.5)) is None


def test_check_that_both_fail_alike_is_one_half_and_no_persons_verdict():
    both = by_ai("c", 0.5, labeler="check").model_copy(update={"verdict": "both_bad"})
    (found,) = votes_of([both])
    assert (found.choice, found.p_a) == ("tie", 0.5)


def test_judgment_taken_back_does_not_count():
    first = judged("c", "a")
    (found,) = votes_of([first, judged("c", "b", supersedes=first.id)])
    assert found.choice == "b"
    assert votes_of([first, judged("c", "skip", supersedes=first.id)]) == []


def test_one_annotator_has_one_vote_under_several_principles():
    votes = votes_of([by_ai("c", 0.9, "kind"), by_ai("c", 0.6, "honest"), judged("c", "a")])
    assert [(v.annotator, v.p_a, v.weight) for v in votes] == [
        ("ai", pytest.approx(0.75), 1.0),
        ("crowd/anna", 1.0, 1.0),
    ]


def test_same_name_in_two_sources_is_two_annotators():
    assert len(votes_of([judged("c", "a"), judged("c", "a", labeler="experts")])) == 2


def test_source_without_names_is_one_annotator():
    unnamed = [judged("c", verdict, annotator=None) for verdict in ("a", "b")]
    (found,) = votes_of(unnamed)
    assert (found.annotator, found.choice) == ("crowd", "tie")


def test_pair_of_a_ranking_is_a_whole_vote_with_a_share_and_no_weight_is_no_vote():
    pair_of_three = judged("c", "a", weight=1 / 3, group="three")
    (found,) = votes_of([pair_of_three, judged("c", "b", "2", weight=0.0)])
    assert (found.weight, found.share) == (1.0, pytest.approx(1 / 3))
    (plain,) = votes_of([judged("c", "a", weight=1 / 3)])
    assert (plain.weight, plain.share) == (pytest.approx(1 / 3), 1.0)


def test_ranking_and_direct_judgment_of_one_annotator_are_averaged_alike():
    ranked = judged("c", "a", weight=1 / 6, group="four")
    (found,) = votes_of([ranked, judged("c", "b", dimension="tone")])
    assert (found.p_a, found.weight, found.share) == (0.5, 1.0, 1.0)


def test_both_bad_prevails_by_more_than_half_of_peoples_weight_only():
    bad, good = vote("c", "1", None), vote("c", "2", 1.0)
    assert not mostly_both_bad([bad, good])
    assert mostly_both_bad([bad, vote("c", "3", None), good])
    assert mostly_both_bad([bad, vote("c", "ai", 0.9, "ai")])
    assert not mostly_both_bad([vote("c", "ai", 0.9, "ai")])

"""Who won: counts by where answers come from, whichever of the two is `a`."""

from __future__ import annotations

from typing import Any

import pytest

from labelers.crowd.votes import Vote
from labelers.crowd.winners import VoteTally, preferred_in_words, who_won
from tests.labelers.crowd.crowds import judged

ORIGINS = {"c1": ("new", "old"), "c2": ("old", "new"), "c3": ("old", "new"), "c4": ("new", "new")}
PROMPTS = {name: name for name in ORIGINS}


def vote(case: str, choice: Any, who: str = "anna", source: str = "sheet", weight: float = 1.0) -> Vote:
    p_a = {"a": 1.0, "b": 0.0, "tie": 0.5}.get(choice)
    return Vote(case, f"{source}/{who}", source, choice, p_a, weight)


def test_votes_are_counted_by_origin():
    votes = [vote("c1", "a"), vote("c2", "b"), vote("c3", "a"), vote("c3", "tie", "ben")]
    votes += [vote("c1", "both_bad", "ben"), vote("c4", "a"), vote("c2", "a", "x", "ai")]
    found = who_won(votes, ORIGINS, PROMPTS)
    assert found.in_words() == "new preferred in 2, old in 1, 1 tie, 1 both bad"
    new, old = found.answers
    assert (new.origin, new.preferred, new.ties, new.both_bad, new.votes) == ("new", 2, 1, 1, 5)
    assert new.share is not None
    assert old.share is not None
    assert new.share.value == pytest.approx(2.5 / 4)
    assert new.share.value + old.share.value == pytest.approx(1)
    assert found.alike == 1
    assert found.by_annotator["sheet/anna"] == {"new": 2, "old": 1}
    assert found.by_annotator["sheet/ben"] == {"tie": 1, "both_bad": 1}


def test_votes_on_one_prompt_are_not_independent():
    one = who_won([vote("c1", "a", f"p{n}") for n in range(20)], ORIGINS, PROMPTS).answers[0].share
    apart = {f"c{n}": ("new", "old") for n in range(20)}
    many = who_won([vote(name, "a") for name in apart], apart, {}).answers[0].share
    assert one is not None
    assert many is not None
    assert one.low < 0.3 < many.low


def test_a_later_occasion_has_the_origins_of_its_comparison():
    found = who_won([vote("c2", "a"), vote("c2/2", "b")], ORIGINS, PROMPTS | {"c2/2": "c2"})
    assert found.in_words() == "new preferred in 1, old in 1, 0 ties"


def test_answers_of_a_run_are_counted_by_kind():
    origins = {"c1": ("draft", "revision:2"), "c2": ("revision:1", "draft"), "c3": ("sample:0", "sample:3")}
    found = who_won([vote("c1", "b"), vote("c2", "a"), vote("c3", "a")], origins, {})
    assert found.in_words() == "revision preferred in 2, draft in 0, 0 ties"
    assert found.alike == 1


def test_chosen_and_rejected_are_no_winners():
    assert who_won([vote("c1", "a")], {"c1": ("chosen", "rejected")}, {}).in_words() == ""


def test_answers_without_a_name_are_those_of_the_file():
    said = preferred_in_words({"response_b": 23, "response_a": 1.5}, 2, 0)
    assert said == "the file's second answer preferred in 23, the file's first answer in 1.5, 2 ties"
    many = preferred_in_words({f"m{n}": 10 - n for n in range(7)}, 0, 0)
    assert many.endswith("m4 in 6, 2 others in 9, 0 ties")


def test_an_import_counts_both_origins():
    tally = VoteTally()
    tally.add(judged("c1", "b", "anna"), "old", "new")
    tally.add(judged("c1", "tie", "ben"), "old", "new")
    assert tally.as_json()["in_words"] == "new preferred in 1, old in 0, 1 tie"
    assert VoteTally().as_json() == {}

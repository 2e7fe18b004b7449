"""Labels that are against people's votes: what is counted, by what chose, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest

from constitution.schema import Constitution
from core.records import Comparison, Exclusion, Preference, Prompt
from labelers.crowd.aggregate import BOTH_BREAK_HARD
from labelers.crowd.outvoted import OutvotedPairs, outvoted_in_words, people_for_a, tally_outvoted
from tests.publius.people import person

RULES = Constitution.model_validate(
    {
        "name": "desk",
        "principles": [
            {
                "id": "safe",
                "text": "The reply is safe.",
                "hard": True,
                "check": {"kind": "contains_none", "value": ["x"]},
            },
            {"id": "short", "text": "The reply is short.", "check": {"kind": "max_words", "value": 9}},
        ],
    }
)
PAIRS = [Comparison.of(Prompt.of(f"Question {n}?"), ("Yes.", "one"), ("No.", "two")) for n in range(5)]


def label(pair: Comparison, chosen: str, safe: float = 0.5, **fields: Any) -> Preference:
    rejected = pair.response_b if chosen == pair.response_a else pair.response_a
    given = {
        "id": f"p{pair.id}",
        "comparison_id": pair.id,
        "prompt": pair.prompt.messages,
        "prompt_id": pair.prompt.id,
        "chosen": ({"role": "assistant", "content": chosen},),
        "rejected": ({"role": "assistant", "content": rejected},),
        "p_chosen": 0.95,
        "sources": {"crowd": 1},
        "by_principle": {"safe": safe, "short": 0.9},
        "origin_chosen": "x",
        "origin_rejected": "y",
        "constitution_digest": "0",
    }
    return Preference.model_validate(given | fields)


def tally(votes: dict[str, float], labels: list[Preference], *exclusions: Exclusion) -> OutvotedPairs:
    return tally_outvoted(votes, PAIRS, labels, exclusions, RULES)


def test_each_pair_counts_for_what_chose_against_the_votes():
    one, two, three, four, five = PAIRS
    votes = {one.id: 1.0, two.id: 0.0, three.id: 0.5, four.id: 1.0, five.id: 0.2}
    b = one.response_b
    labels = [label(one, b, 0.95), label(two, b), label(three, b, 0.95), label(five, five.response_a)]
    excluded = Exclusion.of("aggregate", four.id, f"{BOTH_BREAK_HARD} (safe)")
    found = tally(votes, labels, excluded)
    assert (found.pairs, found.turned, found.left_out, found.ties) == (4, 2, 1, 1)
    assert found.by_rules == {("safe",): 1}
    found.sources = {"Ruth"}
    rule, tie, out, mixing = outvoted_in_words(found, "label.mix=pooled")
    assert rule.startswith("`safe` is hard and chose against the votes of Ruth in 1 of 4 pairs: ")
    assert tie == "Hard rules chose an answer in 1 pair that people call a tie."
    assert out.startswith("1 of 4 pairs on which people prefer an answer is left out")
    assert mixing.startswith(
        "The mixing of labels (label.mix=pooled) chose against the votes of Ruth in 1 of"
    )


@pytest.mark.parametrize("p", [0.5, 0.95])
def test_labels_with_the_votes_and_labels_that_are_ties_say_nothing(p: float):
    one, *_ = PAIRS
    chosen = one.response_a if p > 0.5 else one.response_b
    found = tally({one.id: 1.0}, [label(one, chosen, 0.95, p_chosen=p)])
    assert (found.turned, outvoted_in_words(found, "label.mix=override")) == (0, [])


def test_a_mixing_that_seldom_goes_against_votes_is_not_said_and_many_voters_are_not_named():
    few = OutvotedPairs(pairs=100, by_mixing=4, sources={"anna", "ben"})
    assert outvoted_in_words(few, "label.mix=pooled") == []
    few.by_mixing = 5
    (said,) = outvoted_in_words(few, "label.mix=pooled")
    assert "against most votes of people in 5 of 100 pairs" in said


def test_votes_of_several_people_are_one_share_and_both_bad_is_no_vote():
    judgments = [person("1", "a"), person("1", "a", "ben"), person("1", "b", "cleo"), person("2", "both_bad")]
    assert people_for_a(judgments) == {"1": pytest.approx(2 / 3)}

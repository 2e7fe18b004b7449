"""Machine checks that labels go against: what is counted, from when it is said, and what is left out."""

from __future__ import annotations

from typing import Any

import pytest

from constitution.schema import Constitution
from core.records import Judgment, Preference
from labelers.overruled import CheckedPairs, overruled_in_words, tally_checks

SHORT = {
    "id": "short",
    "text": "The reply is short.",
    "weight": 2,
    "check": {"kind": "max_words", "value": 9},
}
KIND = {"id": "kind", "text": "The reply is kind."}


def constitution(*principles: dict[str, Any]) -> Constitution:
    return Constitution.model_validate({"name": "desk", "principles": principles or (SHORT, KIND)})


def check(number: int, outcome: str) -> Judgment:
    fields = {"id": f"j{number}", "comparison_id": str(number), "labeler": "check", "verdict": "a"}
    return Judgment.model_validate(fields | {"p_a": 0.95, "principle_id": "short", "comment": outcome})


def preference(number: int, short: float, p: float = 0.6, **fields: Any) -> Preference:
    given = {
        "id": f"p{number}",
        "comparison_id": str(number),
        "prompt": ({"role": "user", "content": "Is it?"},),
        "prompt_id": f"q{number}",
        "chosen": ({"role": "assistant", "content": "Yes."},),
        "rejected": ({"role": "assistant", "content": "No."},),
        "p_chosen": p,
        "sources": {"ai": 1, "check": 1},
        "by_principle": {"short": short, "kind": 0.9},
        "origin_chosen": "x",
        "origin_rejected": "y",
        "constitution_digest": "0",
    }
    return Preference.model_validate(given | fields)


def tally(labels: list[Preference], outcome: str, rules: Constitution | None = None) -> CheckedPairs:
    checks = [check(number, outcome) for number in range(len(labels))]
    return tally_checks(labels, checks, rules or constitution(), 0.95)["short"]


ONE = "a passes, b fails"


def test_a_check_that_loses_two_of_five_pairs_is_overruled_and_said_with_what_counts_more():
    found = tally([preference(n, 0.05 if n < 2 else 0.95) for n in range(5)], ONE)
    assert (found.decided, found.lost, found.is_overruled) == (5, 2, True)
    (said,) = overruled_in_words({"short": found}, constitution(), mixed=False)
    assert said == (
        "In 2 of 5 pairs in which one answer keeps `short`, the one that breaks it was chosen: the check is "
        "one of up to 2 rules in the mean, with weight 2; a higher `weight` lets it count for more; `hard: "
        "true` lets it decide (docs/constitution-format.md)."
    )
    (mixed,) = overruled_in_words({"short": found}, constitution(), mixed=True)
    assert "one part of label.mix; `hard: true`" in mixed


@pytest.mark.parametrize(("pairs", "lost"), [(2, 2), (6, 2)])
def test_few_pairs_and_a_check_that_mostly_wins_are_not_said(pairs: int, lost: int):
    found = tally([preference(n, 0.05 if n < lost else 0.95) for n in range(pairs)], ONE)
    assert (found.decided, found.lost, found.is_overruled) == (pairs, lost, False)
    assert overruled_in_words({"short": found}, constitution(), mixed=False) == []


@pytest.mark.parametrize("fields", [{"sources": {"crowd": 1, "check": 1}}, {"p": 0.5}])
def test_pairs_of_people_and_ties_overrule_no_check(fields: dict[str, Any]):
    found = tally([preference(n, 0.05, **fields) for n in range(4)], ONE)
    assert (found.pairs, found.decided) == (4, 0)


def test_a_rule_that_comes_first_and_decides_does_not_count_as_overruling():
    first = constitution(SHORT, KIND | {"hard": True})
    assert tally([preference(n, 0.05) for n in range(4)], ONE, first).decided == 0
    near = [preference(n, 0.05, by_principle={"short": 0.05, "kind": 0.55}) for n in range(4)]
    assert tally(near, ONE, first).lost == 4


def test_pairs_that_both_answers_break_are_said_apart_and_none_of_them_is_a_lost_one():
    found = tally([preference(n, 0.4) for n in range(4)], "a fails, b fails")
    assert (found.decided, found.lost, found.both_break) == (0, 0, 4)
    (said,) = overruled_in_words({"short": found}, constitution(), mixed=False)
    assert said.startswith("In 4 of 4 pairs both answers break `short`, and so does the chosen one;")


def test_the_better_of_two_answers_that_break_it_is_no_decision():
    found = tally([preference(n, 0.2) for n in range(5)], "a fails, b fails")
    assert (found.decided, found.lost, found.both_break) == (0, 0, 5)

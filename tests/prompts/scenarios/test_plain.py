"""Plain scenarios: their numbers by kind, and that they fit the tenet."""

from __future__ import annotations

import pytest

from constitution.schema import Principle
from prompts.scenarios.file import PROMPT_KINDS, ScenarioKind
from prompts.scenarios.plain import KIND_SHARES, counts_by_kind, plain_scenarios

SHORT = Principle(id="short", text="The reply is short.")


def of(**fields: object) -> Principle:
    return Principle.model_validate({"id": "p", "text": "The reply is short.", **fields})


@pytest.mark.parametrize("count", [1, 5, 8, 20])
def test_counts_sum_to_what_is_asked(count: int):
    assert sum(counts_by_kind(SHORT, count).values()) == count


def test_kinds_outside_the_scope_get_none():
    only = of(applies_to={"tags": ["tempting"]})
    assert counts_by_kind(only, 8).keys() == {"tempting", "multi_turn"}
    assert counts_by_kind(of(**{"except": {"tags": ["p"]}}), 8) == {}


@pytest.mark.parametrize("kind", KIND_SHARES)
def test_each_scenario_is_about_its_tenet_and_none_repeats(kind: ScenarioKind):
    found = plain_scenarios(SHORT, kind, 30, seed=0)
    assert len({one.id for one in found}) == 30
    assert all(one.is_about(SHORT) and one.kind == kind for one in found)
    assert (kind == "benign") == all(SHORT.text not in " ".join(one.user) for one in found)
    assert PROMPT_KINDS[kind] in found[0].prompt(SHORT).tags


def test_few_scenarios_of_different_kinds_have_different_questions():
    texts = [one.user[0] for kind in ("benign", "multi_turn") for one in plain_scenarios(SHORT, kind, 10, 0)]
    assert len(set(texts)) == 20


def test_more_scenarios_begin_with_the_same_ones():
    few, many = (plain_scenarios(SHORT, "tempting", n, seed=1) for n in (3, 9))
    assert many[:3] == few


def test_a_scope_by_pattern_leaves_the_questions_that_match():
    found = plain_scenarios(of(applies_to={"pattern": "(?i)rice"}), "benign", 20, seed=0)
    assert 0 < len(found) < 20
    assert all("rice" in one.user[0].lower() for one in found)

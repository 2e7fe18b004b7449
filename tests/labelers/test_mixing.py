"""Mixing: the deciding source under each policy, the order of rules, and cases without a preference."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from constitution.schema import Constitution
from core.records import Comparison, Judgment, Preference
from labelers.config import LabelConfig
from labelers.crowd.aggregate import Settled, aggregate
from labelers.mixing import Mixer, wants_machines
from tests.labelers.crowd.crowds import by_ai, comparison, judged

BY = Constitution.model_validate(
    {
        "name": "test",
        "sections": ["safety", "style"],
        "principles": [
            {"id": "kind", "text": "The reply is kind.", "section": "style"},
            {"id": "safe", "text": "The reply is safe.", "section": "safety"},
        ],
    }
)
C = comparison("c")


def policy(**fields: object) -> LabelConfig:
    return LabelConfig.model_validate({"humans": [Path("people")], "aggregation": "majority", **fields})


def mixed(
    config: LabelConfig, *judgments: Judgment, of: Comparison = C, others: tuple[Judgment, ...] = ()
) -> Preference | str:
    known = {name: comparison(name) for name in {j.comparison_id for j in others}} | {of.id: of}
    said = [*judgments, *others]
    judged_by = [(one, [j for j in said if j.comparison_id == one.id]) for one in known.values()]
    return Mixer(config, BY, judged_by).preference(of, judgments)


def p_a(config: LabelConfig, *judgments: Judgment, **more: object) -> float:
    found = mixed(config, *judgments, **more)
    assert isinstance(found, Preference), found
    return found.p_chosen if found.origin_chosen == "good" else 1 - found.p_chosen


AI, FOR, AGAINST = by_ai("c", 0.9), judged("c", "a"), judged("c", "b")


def test_people_override_machines_where_they_prefer_something():
    assert p_a(policy(mix="override"), AI, AGAINST) == 0.0
    assert p_a(policy(mix="override"), AI, judged("c", "skip")) == pytest.approx(0.9)
    assert p_a(policy(mix="override"), AI) == pytest.approx(0.9)


def test_sources_name_only_those_who_spoke():
    found = mixed(policy(mix="override"), AI, AGAINST, judged("c", "b", "ben"))
    assert isinstance(found, Preference)
    assert found.sources == {"crowd": 2}
    found = mixed(policy(mix="pooled"), AI, AGAINST)
    assert isinstance(found, Preference)
    assert found.sources == {"ai": 1, "crowd": 1}
    assert found.by_principle == {"kind": pytest.approx(0.9 if found.origin_chosen == "good" else 0.1)}


def test_each_source_counts_once_by_its_weight_however_many_voted():
    experts = judged("c", "b", labeler="experts")
    crowd = [judged("c", "a", who) for who in ("1", "2", "3", "4")]
    assert p_a(policy(mix="weights", weights={"ai": 0, "experts": 3}), AI, experts, *crowd) == 0.25
    # ai 0.9, crowd 1 and experts 0, the last with weight 2: 1.9 / 4.
    assert p_a(policy(mix="weights", weights={"experts": 2}), AI, experts, *crowd) == pytest.approx(0.475)


def test_source_of_no_weight_is_silent_and_alone_gives_nothing():
    outcome = mixed(policy(mix="weights", weights={"crowd": 0}), FOR)
    assert outcome == "no source that label.mix allows has judged it"
    assert p_a(policy(mix="weights", weights={"crowd": 0}), AI, judged("c", "both_bad")) == pytest.approx(0.9)


def test_pooled_ai_is_one_annotator_whose_reliability_is_learned():
    # On sixty other comparisons three annotators agree; the AI is right in nine of ten, or in half.
    def others(right: int) -> tuple[Judgment, ...]:
        people = [judged(f"o{n}", "a", who) for n in range(60) for who in ("1", "2", "3")]
        return (*people, *(by_ai(f"o{n}", 0.9 if n % 10 < right else 0.1) for n in range(60)))

    pooled = policy(mix="pooled", aggregation="graded")
    good = p_a(pooled, by_ai("c", 0.9), others=others(9))
    coin = p_a(pooled, by_ai("c", 0.9), others=others(5))
    assert good == pytest.approx(0.9, abs=0.02)
    assert coin == pytest.approx(0.5, abs=0.05)


def test_humans_alone_and_machines_alone():
    assert p_a(policy(mix="humans"), AI, AGAINST) == 0.0
    assert mixed(policy(mix="humans"), AI) == "no source that label.mix allows has judged it"
    assert p_a(policy(mix="machines"), AI, AGAINST) == pytest.approx(0.9)
    assert mixed(policy(mix="machines"), AGAINST) == "no source that label.mix allows has judged it"


def test_machines_alone_are_settled_as_without_people():
    judgments = [by_ai("c", 0.7), by_ai("c", 0.2, "safe"), by_ai("c", 0.5, "kind", "check")]
    assert mixed(policy(mix="machines"), *judgments, FOR) == aggregate(C, judgments, BY)


def test_most_people_finding_both_bad_leaves_the_comparison_out():
    bad = [judged("c", "both_bad", who) for who in ("1", "2")]
    for mix in ("override", "weights", "pooled", "humans"):
        assert mixed(policy(mix=mix), AI, *bad, FOR) == "annotators find both answers bad"
    assert p_a(policy(mix="machines"), AI, *bad) == pytest.approx(0.9)
    assert p_a(policy(mix="override"), AI, bad[0], FOR) == 1.0  # half of them is not most


def test_tie_of_people_is_one_half():
    assert p_a(policy(mix="override"), AI, judged("c", "tie")) == 0.5


def test_classic_recipe_has_people_on_helpfulness_and_machines_on_harmlessness():
    classic = policy(mix="classic")
    assert p_a(classic, AI, AGAINST, of=comparison("c", "helpful")) == 0.0
    assert p_a(classic, AI, AGAINST, of=comparison("c", "red-team")) == pytest.approx(0.9)
    by_dimension = judged("c", "b", dimension="harmlessness")
    assert mixed(classic, AI, by_dimension) == "no source that label.mix allows has judged it"


def test_section_goes_to_machines_and_the_first_decisive_rule_settles():
    rules = [{"mix": "machines", "sections": ["safety"]}]
    config = policy(mix="override", rules=rules)
    safe, even = by_ai("c", 0.2, "safe"), by_ai("c", 0.55, "safe")
    assert p_a(config, safe, AI, FOR) == pytest.approx(0.2)  # safety first, though people prefer `a`
    assert p_a(config, even, AI, AGAINST) == pytest.approx(0.275)  # safety has half of it, people the rest
    assert p_a(config, by_ai("c", 0.5, "safe"), AI, AGAINST) == 0.0  # safety does not tell them apart
    # Half of 0.55 and half of people's tie.
    assert p_a(config, even, judged("c", "tie")) == pytest.approx(0.525)


def test_rule_of_a_source_puts_experts_before_the_crowd():
    config = policy(mix="override", rules=[{"mix": "humans", "sources": ["experts"]}])
    assert p_a(config, FOR, judged("c", "b", labeler="experts")) == 0.0
    assert p_a(config, FOR) == 1.0


@pytest.mark.parametrize("verdicts", ["aaabb", "aaaaaabbbb"])
def test_six_tenths_of_the_experts_decide(verdicts: str):
    config = policy(mix="override", rules=[{"mix": "humans", "sources": ["experts"]}])
    said = [judged("c", v, who=str(n), labeler="experts") for n, v in enumerate(verdicts)]
    assert p_a(config, *said, AGAINST) == pytest.approx(0.6)


def test_rules_stand_before_those_of_the_classic_recipe():
    config = policy(mix="classic", rules=[{"mix": "humans", "tags": ["red-team"]}])
    assert p_a(config, AI, AGAINST, of=comparison("c", "red-team")) == 0.0


def test_judgment_of_people_under_a_principle_of_another_constitution_counts():
    assert p_a(policy(mix="override"), AI, judged("c", "b", principle_id="elsewhere")) == 0.0


def test_hard_check_stands_above_people():
    by = Constitution.model_validate(
        {
            "name": "hard",
            "principles": [
                {"id": "short", "text": "Short.", "hard": True, "check": {"kind": "max_words", "value": 2}}
            ],
        }
    )
    long = C.model_copy(update={"response_b": "Far too many words."})
    check = by_ai("c", 0.95, "short", "check")
    found = Mixer(policy(), by, [(long, [check, AGAINST])]).preference(long, [check, AGAINST])
    assert isinstance(found, Preference)
    assert (found.origin_chosen, found.p_chosen) == ("good", 0.95)


@pytest.mark.parametrize(
    ("fields", "tags", "wanted"),
    [
        ({"mix": "override"}, (), False),
        ({"mix": "pooled"}, (), True),
        ({"mix": "classic"}, ("red-team",), True),
        ({"mix": "humans", "rules": [{"mix": "weights", "tags": ["x"]}]}, ("y",), False),
        ({"mix": "weights", "rules": [{"mix": "humans", "tags": ["x"]}]}, ("x",), False),
        ({"mix": "humans", "rules": [{"mix": "machines", "sections": ["safety"]}]}, (), True),
    ],
)
def test_machines_are_wanted_where_a_rule_lets_them_speak(
    fields: dict[str, object], tags: tuple[str, ...], wanted: bool
):
    assert wants_machines(policy(**fields), comparison("c", *tags).prompt) is wanted


@pytest.mark.parametrize(
    "fields",
    [{"mix": "pooled"}, {"weights": {"ai": 2}}, {"rules": [{"mix": "humans"}]}, {"aggregation": "majority"}],
)
def test_policy_without_people_is_refused(fields: dict[str, object]):
    with pytest.raises(ValidationError, match=r"label\.humans names no folder"):
        LabelConfig.model_validate(fields)


def test_unknown_mix_and_negative_weight_are_refused():
    for fields in ({"mix": "vote"}, {"weights": {"ai": -1}}, {"rules": [{"mix": "classic"}]}):
        with pytest.raises(ValidationError):
            policy(**fields)


@pytest.mark.parametrize(
    ("config", "shares"),
    [
        (policy(mix="override"), {"(people)": -0.5}),
        (policy(mix="machines"), {"kind": 0.4}),
        (policy(mix="weights", weights={"ai": 3.0}), {"kind": 0.3, "(crowd)": -0.125}),
    ],
)
def test_shares_name_principles_of_machines_and_people_as_a_whole(config: LabelConfig, shares: dict):
    said = [by_ai("c", 0.9, "kind"), AGAINST]
    found = Mixer(config, BY, [(C, said)]).outcome(C, said)
    assert isinstance(found, Settled)
    assert found.shares == {name: pytest.approx(share) for name, share in shares.items()}
    assert sum(found.shares.values()) == pytest.approx(found.p_a - 0.5)
    told = aggregate(C, said, BY, lambda *_: found)
    assert told == Mixer(config, BY, [(C, said)]).preference(C, said)

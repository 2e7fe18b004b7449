"""Aggregation: means worked by hand, tiers, ignored judgments, and the orientation of the preference."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from constitution.checks.kinds import MaxWords
from constitution.schema import Constitution, Principle, Scope
from core.errors import ConfigError
from core.records import Comparison, Judgment, Message, Preference, Prompt
from labelers.crowd.aggregate import (
    DECISIVE,
    Settled,
    aggregate,
    aggregated_outcome,
    opinions_of,
    settle_by_tier,
)

PROMPT = Prompt.of(
    (Message(role="user", content="What is this pill?"),), tags=("medicine",), split="preference"
)
COMPARISON = Comparison(
    id="c1", prompt=PROMPT, response_a="Ask.", response_b="Take it.", origin_a="revision:2", origin_b="draft"
)


def principle(name: str, **fields: object) -> Principle:
    return Principle.model_validate({"id": name, "text": f"The reply is {name}.", **fields})


def constitution(*principles: Principle, **fields: object) -> Constitution:
    return Constitution.model_validate({"name": "test", "principles": principles, **fields})


def judgment(name: str | None, p_a: float | None, labeler: str = "ai", **fields: object) -> Judgment:
    """A judgment whose verdict follows from its number, unless one is given."""
    verdict = "unparsed" if p_a is None else "tie" if p_a == 0.5 else "a" if p_a > 0.5 else "b"
    given = {"id": f"{labeler}-{name}-{p_a}", "verdict": verdict, **fields}
    return Judgment.model_validate(
        {"comparison_id": "c1", "labeler": labeler, "principle_id": name, "p_a": p_a, **given}
    )


def preference(*judgments: Judgment, by: Constitution) -> Preference:
    found = aggregate(COMPARISON, judgments, by)
    assert isinstance(found, Preference), found
    return found


def p_a(*judgments: Judgment, by: Constitution) -> float:
    """The aggregated probability that answer `a` is better."""
    found = preference(*judgments, by=by)
    return found.p_chosen if found.origin_chosen == "revision:2" else 1 - found.p_chosen


def test_principles_are_averaged_in_probability_by_weight():
    by = constitution(principle("kind", weight=3.0), principle("honest"))
    assert p_a(judgment("kind", 0.9), judgment("honest", 0.3), by=by) == pytest.approx(
        0.75
    )  # (2.7 + 0.3) / 4
    assert p_a(judgment("kind", 0.2), judgment("honest", 1.0), by=by) == pytest.approx(0.4)  # (0.6 + 1) / 4


def test_one_judgment_is_passed_on_as_it_is():
    by = constitution(principle("kind"))
    assert p_a(judgment("kind", 0.73), by=by) == 0.73
    assert p_a(judgment("kind", 0.27), by=by) == pytest.approx(0.27)


def test_judgment_without_a_principle_has_weight_one():
    by = constitution(principle("kind", weight=3.0))
    assert p_a(judgment(None, 0.1, "anna"), judgment("kind", 0.9), by=by) == pytest.approx(0.7)


def test_judgments_count_by_their_weights_and_a_pair_of_a_ranking_as_a_whole_vote():
    by = constitution(principle("kind"))
    light = judgment(None, 0.0, "crowd", weight=1 / 3)
    assert p_a(light, judgment(None, 1.0), by=by) == pytest.approx(0.75)
    pair_of_three = light.model_copy(update={"group": "three"})
    assert p_a(pair_of_three, judgment(None, 1.0), by=by) == pytest.approx(0.5)


def test_judgment_of_no_weight_has_no_say():
    by = constitution(principle("kind"))
    assert p_a(judgment(None, 0.0, "crowd", weight=0.0), judgment(None, 0.8), by=by) == 0.8
    assert aggregate(COMPARISON, [judgment(None, 1.0, weight=0.0)], by) == "no judgment has a probability"


def test_judgment_under_an_unknown_principle_is_an_error_that_names_it():
    with pytest.raises(ConfigError, match="'gone'"):
        aggregate(COMPARISON, [judgment("gone", 0.9)], constitution(principle("kind")))


HARD = constitution(principle("safe", hard=True), principle("kind", weight=9.0))


@pytest.mark.parametrize(("safe", "kind"), [(0.2, 1.0), (0.4, 0.9), (0.6, 0.0), (0.95, 0.1)])
def test_decisive_hard_principle_decides_alone(safe: float, kind: float):
    assert p_a(judgment("safe", safe), judgment("kind", kind), by=HARD) == pytest.approx(safe)


def test_hard_principle_at_exactly_one_half_leaves_it_to_the_rest():
    assert p_a(judgment("safe", 0.5), judgment("kind", 0.9), by=HARD) == pytest.approx(0.9)


@pytest.mark.parametrize("safe", [0.41, 0.45, 0.51, 0.5999])
def test_hard_principle_that_is_undecided_has_a_share_in_proportion_to_its_distance(safe: float):
    share = abs(2 * safe - 1) / (2 * DECISIVE)
    expected = share * safe + (1 - share) * 0.9
    assert p_a(judgment("safe", safe), judgment("kind", 0.9), by=HARD) == pytest.approx(expected)


@pytest.mark.parametrize("by", ["hard", "strict"])
def test_no_label_jumps_where_a_tier_becomes_decisive(by: str):
    rules = HARD if by == "hard" else STRICT
    later = [judgment("kind", 0.05)] if by == "hard" else [judgment("true", 0.58), judgment("useful", 0.05)]
    grid = [n / 1000 for n in range(1001)]
    labels = [p_a(judgment("safe", safe), *later, by=rules) for safe in grid]
    # A change of 0.001 moved the label by 0.55 where the first decisive tier decided alone.
    assert max(abs(after - before) for before, after in pairwise(labels)) < 0.01
    ends = [n for n, safe in enumerate(grid) if abs(safe - 0.5) >= DECISIVE]
    assert [labels[n] for n in ends] == pytest.approx([grid[n] for n in ends])


def test_rule_of_older_runs_is_exact_where_no_tier_is_decisive():
    # To the last digit: trainings of older runs are found again by a digest of their labels.
    opinions = opinions_of([judgment("safe", 0.5401), judgment("kind", 0.5703)], HARD)
    plain = sum(o.p_a * o.weight for o in opinions) / sum(o.weight for o in opinions)
    assert settle_by_tier(COMPARISON, opinions, "first").p_a == plain


def test_rule_of_older_runs_is_the_first_decisive_tier_alone():
    def settled(*judgments: Judgment) -> float:
        found = settle_by_tier(COMPARISON, opinions_of(judgments, HARD), "first")
        assert sum(found.shares.values()) == pytest.approx(found.p_a - 0.5)
        return found.p_a

    assert settled(judgment("safe", 0.5999), judgment("kind", 0.05)) == pytest.approx(0.05)
    assert settled(judgment("safe", 0.6001), judgment("kind", 0.05)) == pytest.approx(0.6001)
    assert settled(judgment("safe", 0.45), judgment("kind", 0.55)) == pytest.approx((0.45 + 9 * 0.55) / 10)


def test_mean_of_exactly_0_6_decides_however_it_was_added_up():
    votes = [judgment("safe", vote, id=f"vote {n}") for n, vote in enumerate((1.0, 1.0, 1.0, 0.0, 0.0))]
    assert p_a(*votes, judgment("kind", 0.0), by=HARD) == pytest.approx(0.6)


def test_last_tier_takes_what_is_left_whatever_its_distance():
    # The hard principle is half decisive: 0.5 of 0.45 and 0.5 of 0.53.
    assert p_a(judgment("safe", 0.45), judgment("kind", 0.53), by=HARD) == pytest.approx(0.49)
    assert p_a(judgment("safe", 0.52), by=HARD) == pytest.approx(0.52)


STRICT = constitution(
    principle("safe", hard=True, section="honesty"),
    principle("true", section="honesty"),
    principle("useful", section="help"),
    sections=("honesty", "help"),
    priority="strict",
)


@pytest.mark.parametrize(
    ("safe", "true", "useful", "expected"),
    [
        (0.1, 0.9, 0.9, 0.1),  # hard first, whatever its section
        (0.5, 0.2, 0.9, 0.2),  # then the first section
        (0.5, 0.5, 0.9, 0.9),  # then the second
        (0.5, 0.45, 0.55, 0.5),  # the first section has half of it
        (0.55, 0.45, 0.9, 0.6125),  # 0.5 of 0.55, 0.25 of 0.45, 0.25 of 0.9
    ],
)
def test_strict_priority_asks_section_by_section(safe: float, true: float, useful: float, expected: float):
    judgments = judgment("safe", safe), judgment("true", true), judgment("useful", useful)
    assert p_a(*judgments, by=STRICT) == pytest.approx(expected)


def test_holistic_priority_weighs_all_sections_together():
    by = STRICT.model_copy(update={"priority": "holistic"})
    assert p_a(judgment("true", 0.2), judgment("useful", 0.9), by=by) == pytest.approx(0.55)


def test_judgment_without_a_principle_speaks_after_the_sections():
    assert p_a(judgment("useful", 0.2), judgment(None, 1.0, "anna"), by=STRICT) == pytest.approx(0.2)
    assert p_a(judgment("useful", 0.5), judgment(None, 1.0, "anna"), by=STRICT) == pytest.approx(1.0)


def test_verdicts_without_a_number_are_left_out():
    by = constitution(principle("kind"), principle("honest"))
    found = preference(
        judgment("kind", 0.8),
        judgment("honest", None, raw="Hm"),
        judgment("honest", None, "anna", verdict="skip"),
        by=by,
    )
    assert found.p_chosen == 0.8
    assert found.sources == {"ai": 1}
    assert found.by_principle == {"kind": 0.8}


def test_numberless_judgments_alone_give_a_reason_and_no_tie():
    by = constitution(principle("kind"))
    assert aggregate(COMPARISON, [judgment("kind", None)], by) == "no judgment has a probability"
    skipped = judgment("kind", None, verdict="skip")
    assert aggregate(COMPARISON, [skipped], by) == "no judgment has a probability"


def test_no_judgment_at_all_gives_a_reason():
    assert aggregate(COMPARISON, [], constitution(principle("kind"))) == "no principle applies"


def test_judgment_that_was_taken_back_is_left_out():
    by = constitution(principle("kind"))
    first = judgment("kind", 0.1, "anna", id="one")
    second = judgment("kind", 0.8, "anna", id="two", supersedes="one")
    assert p_a(first, second, by=by) == pytest.approx(0.8)
    assert p_a(second, first, by=by) == pytest.approx(0.8)
    third = judgment("kind", None, "anna", id="three", verdict="skip", supersedes="two")
    assert aggregate(COMPARISON, [first, second, third], by) == "no judgment has a probability"


SHORT = MaxWords(kind="max_words", value=5)
CHECKED = constitution(principle("short", check=SHORT, weight=9.0), principle("kind"))


def test_check_that_both_pass_does_not_dilute():
    assert p_a(judgment("short", 0.5, "check"), judgment("kind", 0.8), by=CHECKED) == pytest.approx(0.8)


def test_check_that_tells_the_answers_apart_counts_by_its_weight():
    expected = (9 * 0.95 + 0.2) / 10
    judgments = judgment("short", 0.95, "check"), judgment("kind", 0.2)
    assert p_a(*judgments, by=CHECKED) == pytest.approx(expected)


def test_check_that_both_pass_is_a_tie_when_nothing_else_speaks():
    found = preference(judgment("short", 0.5, "check"), by=CHECKED)
    assert found.p_chosen == 0.5
    unparsed = preference(judgment("short", 0.5, "check"), judgment("kind", None), by=CHECKED)
    assert unparsed.p_chosen == 0.5


def test_tie_of_a_model_does_dilute():
    by = constitution(principle("kind"), principle("honest"))
    assert p_a(judgment("kind", 0.5), judgment("honest", 0.8), by=by) == pytest.approx(0.65)


def test_neutral_check_is_still_named_among_the_sources():
    found = preference(judgment("short", 0.5, "check"), judgment("kind", 0.8), by=CHECKED)
    assert found.sources == {"ai": 1, "check": 1}
    assert found.by_principle == {"kind": 0.8, "short": 0.5}


def broken(**fields: object) -> Constitution:
    return constitution(
        principle("kind"), principle("lengthy", check={"kind": "min_words", "value": 50}, **fields)
    )


def test_hard_check_that_both_answers_break_is_a_reason_whatever_the_judgments_say():
    found = aggregate(COMPARISON, [judgment("kind", 0.9)], broken(hard=True))
    assert found == "both answers break a hard principle (lengthy)"


def test_check_that_both_answers_break_excludes_nothing_unless_hard_and_in_scope():
    elsewhere = broken(hard=True, applies_to=Scope(tags=("travel",)))
    for by in (broken(), elsewhere):
        assert p_a(judgment("kind", 0.9), by=by) == pytest.approx(0.9)


def test_hard_check_that_one_answer_breaks_decides():
    by = constitution(
        principle("kind", weight=9.0),
        principle("asks", hard=True, check={"kind": "contains", "value": ["ask"]}),
    )
    found = preference(judgment("kind", 0.0), judgment("asks", 0.95, "check"), by=by)
    assert (found.origin_chosen, found.p_chosen) == ("revision:2", 0.95)


def test_hard_check_that_one_answer_breaks_is_not_outvoted_by_another_hard_principle():
    by = constitution(
        principle("safe", hard=True, weight=9.0),
        principle("asks", hard=True, check={"kind": "contains", "value": ["ask"]}),
    )
    found = preference(judgment("safe", 0.05), judgment("asks", 0.95, "check"), by=by)
    assert (found.origin_chosen, found.p_chosen) == ("revision:2", 0.95)


def test_answers_that_break_different_hard_checks_make_no_preference():
    by = constitution(
        principle("asks", hard=True, check={"kind": "contains", "value": ["ask"]}),
        principle("acts", hard=True, check={"kind": "contains", "value": ["take"]}),
    )
    found = aggregate(COMPARISON, [judgment("asks", 0.95, "check"), judgment("acts", 0.05, "check")], by)
    assert found == "both answers break a hard principle (acts, asks)"


def test_better_answer_is_chosen_when_it_is_a():
    by = constitution(principle("kind", weight=3.0), principle("honest"))
    found = preference(judgment("kind", 0.9), judgment("honest", 0.3), by=by)
    assert found.chosen == (Message(role="assistant", content="Ask."),)
    assert found.rejected == (Message(role="assistant", content="Take it."),)
    assert (found.origin_chosen, found.origin_rejected) == ("revision:2", "draft")
    assert found.by_principle == {"honest": 0.3, "kind": 0.9}


def test_better_answer_is_chosen_when_it_is_b_and_the_numbers_turn_with_it():
    by = constitution(principle("kind", weight=3.0), principle("honest"))
    found = preference(judgment("kind", 0.1), judgment("honest", 0.7), by=by)
    assert found.chosen == (Message(role="assistant", content="Take it."),)
    assert found.rejected == (Message(role="assistant", content="Ask."),)
    assert (found.origin_chosen, found.origin_rejected) == ("draft", "revision:2")
    assert found.p_chosen == pytest.approx(0.75)
    assert found.by_principle == {"honest": pytest.approx(0.3), "kind": pytest.approx(0.9)}


def test_by_principle_is_the_mean_over_labelers():
    by = constitution(principle("kind"))
    found = preference(
        judgment("kind", 0.9), judgment("kind", 0.6, "anna"), judgment(None, 0.7, "ben"), by=by
    )
    assert found.by_principle == {"kind": pytest.approx(0.75)}
    assert found.sources == {"ai": 1, "anna": 1, "ben": 1}


def test_preference_carries_what_belongs_to_the_prompt():
    by = constitution(principle("kind"))
    found = preference(judgment("kind", 0.9), by=by)
    assert (found.prompt, found.prompt_id) == (PROMPT.messages, PROMPT.id)
    assert (found.comparison_id, found.tags, found.split) == ("c1", ("medicine",), "preference")
    assert found.constitution_digest == by.digest


def test_preference_does_not_depend_on_the_order_of_judgments():
    by = constitution(*(principle(f"p{n}", weight=1 + n / 7) for n in range(8)))
    judgments = [judgment(f"p{n}", 0.1 + n / 11) for n in range(8)]
    expected = preference(*judgments, by=by).to_line()
    shuffler = random.Random(0)
    for _ in range(20):
        shuffler.shuffle(judgments)
        assert preference(*judgments, by=by).to_line() == expected


def test_id_follows_the_judgments_and_the_constitution():
    by = constitution(principle("kind"), principle("honest"))
    judgments = judgment("kind", 0.9), judgment("honest", 0.8)
    one = preference(*judgments, by=by)
    assert preference(*judgments, by=by).id == one.id
    assert preference(judgments[0], by=by).id != one.id
    heavier = constitution(principle("kind", weight=2.0), principle("honest"))
    assert preference(*judgments, by=heavier).id != one.id


@pytest.mark.parametrize("value", [0.0, 0.1, 0.5, 1.0])
def test_probability_stays_between_one_half_and_one_under_any_weights(value: float):
    by = constitution(*(principle(f"p{n}", weight=0.1 * (n + 1)) for n in range(9)))
    found = preference(*(judgment(f"p{n}", value) for n in range(9)), by=by)
    assert found.p_chosen == pytest.approx(max(value, 1 - value))


def test_preference_line_reads_back():
    by = constitution(principle("kind"), principle("honest"))
    found = preference(judgment("kind", 0.1), judgment("honest", 0.4), by=by)
    assert Preference.model_validate_json(found.to_line()) == found


@pytest.mark.parametrize("probability", [0.9, 0.1, 0.5])
@pytest.mark.parametrize("cut", ["a", "b"])
def test_preference_knows_which_answer_was_cut(probability: float, cut: str):
    comparison = COMPARISON.model_copy(update={f"finished_{cut}": False})
    found = aggregate(comparison, [judgment("kind", probability)], constitution(principle("kind")))
    assert isinstance(found, Preference)
    cut_origin = comparison.origin_a if cut == "a" else comparison.origin_b
    assert found.finished_chosen == (found.origin_chosen != cut_origin)
    assert found.finished_rejected == (found.origin_rejected != cut_origin)


def test_shares_say_who_contributed_what_and_sum_to_the_probability_less_one_half():
    by = constitution(principle("kind", weight=3.0), principle("honest"))
    found = aggregated_outcome(COMPARISON, [judgment("kind", 0.9), judgment("honest", 0.3)], by)
    assert isinstance(found, Settled)
    # 3/4 of 0.4, and 1/4 of -0.2
    assert found.shares == {"kind": pytest.approx(0.3), "honest": pytest.approx(-0.05)}
    assert sum(found.shares.values()) == pytest.approx(found.p_a - 0.5)


def test_opinions_that_a_tier_silenced_have_no_share():
    by = constitution(principle("safe", hard=True), principle("kind"))
    found = aggregated_outcome(COMPARISON, [judgment("safe", 0.8), judgment("kind", 0.1)], by)
    assert isinstance(found, Settled)
    assert found.shares == {"safe": pytest.approx(0.3)}
    undecided = aggregated_outcome(COMPARISON, [judgment("safe", 0.55), judgment("kind", 0.1)], by)
    assert isinstance(undecided, Settled)
    assert undecided.shares == {"safe": pytest.approx(0.5 * 0.05), "kind": pytest.approx(0.5 * -0.4)}
    even = aggregated_outcome(COMPARISON, [judgment("safe", 0.5), judgment("kind", 0.1)], by)
    assert isinstance(even, Settled)
    assert even.shares == {"kind": pytest.approx(-0.4)}

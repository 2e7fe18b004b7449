"""Selection: doubt, controls, diversity, order, and ignored judgments."""

from __future__ import annotations

import math
from statistics import mean

import pytest

from core.records import OrderLogits
from labelers.selection import Doubt, Selection, doubt_about, select_comparisons
from tests.labelers.crowd.crowds import by_ai, comparison, judged
from tests.labelers.test_mixing import BY

C = comparison("c")


def doubts(*uncertainty: float, words: str = "") -> list[Doubt]:
    return [Doubt(f"c{n:03}", words or f"question {n}", u, 0.0, 0.0) for n, u in enumerate(uncertainty)]


def ids(picked: list) -> list[str]:
    return [question.comparison_id for question in picked]


def test_uncertainty_is_the_entropy_of_the_settled_label_in_bits():
    found = doubt_about(C, [by_ai("c", 0.9), by_ai("c", 0.6, "safe")], BY)
    assert found.uncertainty == pytest.approx(-(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25)))
    assert found.judges == pytest.approx(0.3)  # twice the standard deviation of 0.9 and 0.6
    assert doubt_about(C, [by_ai("c", 1.0)], BY).uncertainty == 0.0


def test_orders_that_disagree_raise_the_doubt():
    # Shown first `a` wins with 0.9, shown second it loses with 0.1: a position bias, not an opinion.
    orders = OrderLogits(a_first=math.log(9), b_first=-math.log(9))
    said = by_ai("c", 0.5).model_copy(update={"orders": orders})
    assert doubt_about(C, [said], BY).orders == pytest.approx(0.8)


def test_comparison_without_a_number_is_wholly_uncertain():
    unparsed = by_ai("c", 0.5).model_copy(update={"p_a": None, "verdict": "unparsed"})
    assert doubt_about(C, [unparsed], BY).uncertainty == 1.0


def test_people_have_no_part_in_the_doubt():
    assert doubt_about(C, [by_ai("c", 0.9), judged("c", "b")], BY) == doubt_about(C, [by_ai("c", 0.9)], BY)


def test_most_doubtful_come_first():
    picked = select_comparisons(doubts(0.2, 0.9, 0.5, 0.7), Selection(2, control=0.0, diversity=0.0))
    assert ids(picked) == ["c001", "c003"]
    assert [q.control for q in picked] == [False, False]
    assert picked[0].reason == "the label is uncertain"


def test_reason_is_the_strongest_sign():
    one = Doubt("c", "", 0.3, 0.8, 0.1)
    assert (one.reason, one.score) == ("the orders disagree", pytest.approx((0.3 + 0.08 + 0.01) / 1.2))


def test_prompts_of_the_same_words_are_marked_down():
    alike = doubts(1.0, 0.99, 0.98, words="the same question")
    other = Doubt("d", "something else entirely", 0.9, 0.0, 0.0)
    assert ids(select_comparisons([*alike, other], Selection(2, control=0.0, diversity=0.0))) == [
        "c000",
        "c001",
    ]
    assert ids(select_comparisons([*alike, other], Selection(2, control=0.0))) == ["c000", "d"]


def test_prompt_without_words_does_no_harm():
    assert (
        len(
            select_comparisons(
                [Doubt("c", "", 0.5, 0, 0), Doubt("d", "", 0.4, 0, 0)], Selection(2, control=0)
            )
        )
        == 2
    )


def test_controls_are_a_uniform_draw_spread_over_the_order():
    ranked = doubts(*(n / 400 for n in range(400)))
    picked = select_comparisons(ranked, Selection(100, control=0.2))
    controls = [place for place, q in enumerate(picked) if q.control]
    assert len(controls) == 20
    assert all(sum(q.control for q in picked[start : start + 10]) == 2 for start in range(0, 100, 10))
    assert {q.reason for q in picked if q.control} == {"control"}
    # Over many seeds a control is as doubtful as all comparisons are by the mean, and not as the picked are.
    rounds = [select_comparisons(ranked, Selection(50, control=0.2, seed=seed)) for seed in range(40)]
    drawn = [q.score * 1.2 for questions in rounds for q in questions if q.control]
    assert mean(drawn) == pytest.approx(0.5, abs=0.05)
    assert mean(q.score * 1.2 for q in picked if not q.control) > 0.85


def test_one_control_at_least_where_a_share_is_asked_for_and_none_where_not():
    assert sum(q.control for q in select_comparisons(doubts(*[0.5] * 20), Selection(3, control=0.01))) == 1
    assert sum(q.control for q in select_comparisons(doubts(*[0.5] * 20), Selection(3, control=0.0))) == 0
    assert all(q.control for q in select_comparisons(doubts(*[0.5] * 20), Selection(3, control=1.0)))


def test_no_comparison_is_picked_twice_and_a_large_budget_takes_all():
    picked = ids(select_comparisons(doubts(*[0.5] * 30), Selection(100, control=0.3)))
    assert sorted(picked) == sorted(set(picked))
    assert len(picked) == 30
    assert select_comparisons([], Selection(5)) == []


def test_same_seed_picks_the_same_in_whatever_order_they_come():
    ranked = doubts(*(n / 50 for n in range(50)))
    first = select_comparisons(ranked, Selection(20, seed=4))
    assert select_comparisons(reversed(ranked), Selection(20, seed=4)) == first
    assert select_comparisons(ranked, Selection(20, seed=5)) != first

"""Tasks and the judgments of decisions: orientation, rankings, weights, invalid decisions."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from core.errors import DataError
from core.records import Judgment
from labelers.page.tasks import (
    Decision,
    Question,
    Showing,
    Task,
    judgments_of,
    make_tasks,
    order_for,
    pair_task,
    undo_of,
)
from tests.labelers.page.collections import QUESTION, comparison, decision, group_of, ranking_task

WHEN = datetime(2026, 11, 1, tzinfo=UTC)


def judged(
    task: Task, made: Decision, order: tuple[int, ...], question: Question = QUESTION
) -> list[Judgment]:
    return judgments_of(task, made, Showing("ana", question, order), 6.0, WHEN)


@pytest.mark.parametrize(
    ("verdict", "order", "expected"),
    [
        ("first", (0, 1), ("a", 1.0, "a")),
        ("second", (0, 1), ("b", 0.0, "a")),
        ("first", (1, 0), ("b", 0.0, "b")),
        ("second", (1, 0), ("a", 1.0, "b")),
        ("tie", (1, 0), ("tie", 0.5, "b")),
        ("both_bad", (0, 1), ("both_bad", None, "a")),
        ("skip", (0, 1), ("skip", None, "a")),
    ],
)
def test_verdict_follows_the_place_on_the_screen(verdict, order, expected):
    task = pair_task(comparison())
    (judgment,) = judged(task, decision(task, verdict), order)
    assert (judgment.verdict, judgment.p_a, judgment.shown_first) == expected
    assert (judgment.weight, judgment.group, judgment.annotator) == (1.0, None, "ana")
    assert (judgment.duration_s, judgment.created) == (6.0, WHEN)


def test_ranking_of_four_becomes_six_judgments_that_weigh_as_one():
    task = ranking_task("w", "x", "y", "z")
    assert task.answers == ("w", "x", "y", "z")
    # On the screen: z, x, w, y. Places: z third, x first, w and y share the second.
    made = decision(task, "ranking", ranks=(3, 1, 2, 2), comment="z is short")
    judgments = judged(task, made, (3, 1, 0, 2))
    place = {"z": 3, "x": 1, "w": 2, "y": 2}
    assert len(judgments) == 6
    assert sum(judgment.weight for judgment in judgments) == pytest.approx(1.0)
    assert sum(judgment.duration_s or 0 for judgment in judgments) == pytest.approx(6.0)
    assert len({judgment.group for judgment in judgments}) == 1
    assert [judgment.comment for judgment in judgments] == ["z is short", *[None] * 5]
    for pair, judgment in zip(task.comparisons, judgments, strict=True):
        a, b = place[pair.response_a], place[pair.response_b]
        assert judgment.comparison_id == pair.id
        assert judgment.p_a == (0.5 if a == b else float(a < b))
        assert judgment.shown_first == (
            "a" if "zxwy".index(pair.response_a) < "zxwy".index(pair.response_b) else "b"
        )


def test_all_bad_ranking_gives_no_number():
    task = ranking_task("x", "y", "z")
    judgments = judged(task, decision(task, "both_bad"), (0, 1, 2))
    assert {judgment.verdict for judgment in judgments} == {"both_bad"}
    assert {judgment.p_a for judgment in judgments} == {None}


def test_groups_of_three_or_four_are_ranked_and_others_stay_pairs():
    three, five = group_of("x", "y", "z", text="three"), group_of(*"vwxyz", text="five")
    alone = comparison()
    tasks = make_tasks([alone, *three, *five], rank=True)
    assert sorted(len(task.answers) for task in tasks) == [2] * 11 + [3]
    assert [len(task.answers) for task in make_tasks(three, rank=False)] == [2, 2, 2]


def test_ranking_from_disjoint_pairs_adds_the_pairs_that_are_missing():
    all_pairs = group_of("w", "x", "y", "z")
    disjoint = [all_pairs[0], all_pairs[5]]
    (task,) = make_tasks(disjoint, rank=True)
    assert {c.id for c in task.comparisons} == {c.id for c in all_pairs}
    assert all(c in task.comparisons for c in disjoint)  # as the run made them, origins and all


def test_order_differs_between_people_and_stays_the_same_for_one():
    tasks = [pair_task(comparison(number)) for number in range(400)]
    ana = [order_for(task, "ana", 0) for task in tasks]
    assert ana == [order_for(task, "ana", 0) for task in tasks]
    ben = [order_for(task, "ben", 0) for task in tasks]
    # Half of 400 within 4 standard deviations of 10 each.
    assert 160 < sum(order == (0, 1) for order in ana) < 240
    assert 160 < sum(one == two for one, two in zip(ana, ben, strict=True)) < 240


@pytest.mark.parametrize(
    ("count", "verdict", "ranks"),
    [
        (2, "ranking", (1, 2)),
        (3, "first", ()),
        (3, "tie", ()),
        (3, "ranking", (1, 2)),
        (3, "ranking", (0, 1, 2)),
    ],
)
def test_decision_that_does_not_fit_is_refused(count, verdict, ranks):
    task = pair_task(comparison()) if count == 2 else ranking_task("x", "y", "z")
    with pytest.raises(DataError, match=f"is invalid for {count} answers"):
        judged(task, decision(task, verdict, ranks=ranks), tuple(range(count)))


def test_principle_and_dimension_stand_in_the_judgment():
    task = pair_task(comparison())
    question = Question("Kinder?", principle_id="kind", dimension="tone")
    (judgment,) = judged(task, decision(task), (0, 1), question)
    assert (judgment.principle_id, judgment.dimension) == ("kind", "tone")


def test_undo_takes_back_without_an_opinion():
    task = pair_task(comparison())
    (judgment,) = judged(task, decision(task, comment="hm"), (0, 1))
    undo = undo_of(judgment, WHEN)
    assert (undo.verdict, undo.p_a, undo.supersedes, undo.comment) == ("skip", None, judgment.id, None)
    assert undo.id != judgment.id

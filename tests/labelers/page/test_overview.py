"""The owner's metrics, worked by hand."""

from __future__ import annotations

import pytest

from labelers.page.overview import overview
from tests.labelers.page.collections import answer, decision, gold_task, ranking_task, session


def test_figures_of_two_people(tmp_path):
    gold = (gold_task(0),)
    with session(tmp_path, tasks=4, annotators_per_task=2) as opened:
        for verdict in ("first", "first", "tie", "skip"):
            answer(opened, "ana", verdict, duration_s=0.0)
        for verdict in ("both_bad", "second"):
            answer(opened, "ben", verdict)
        figures = overview(opened)
    assert (figures["tasks"], figures["wanted"], figures["given"], figures["complete"]) == (4, 8, 5, False)
    ana, ben = figures["annotators"]
    assert (ana["decided"], ana["ties"], ana["skipped"], ana["first_share"]) == (4, 1, 1, 1.0)
    assert (ben["decided"], ben["both_bad"], ben["first_share"]) == (2, 1, 0.0)
    (agreement,) = figures["agreement"]
    assert (agreement["names"], agreement["n"]) == (["ana", "ben"], 2)
    assert gold[0].task.id not in str(figures)


def test_gold_accuracy_counts_the_better_answer_and_nothing_else(tmp_path):
    gold = tuple(gold_task(number) for number in range(3))
    with session(tmp_path, tasks=1, gold=gold, gold_share=0.99) as opened:
        for wanted in ("I do not know.", "It is harmless.", None):
            task = opened.view("ana")["task"]
            verdict = "tie" if wanted is None else ("first", "second")[task["answers"].index(wanted)]
            opened.decide("ana", decision(task["id"], verdict))
        (ana,) = overview(opened)["annotators"]
    assert (ana["gold_right"], ana["gold_asked"], ana["decided"]) == (1, 3, 0)


def test_time_of_a_ranking_is_that_of_all_its_pairs(tmp_path):
    with session(tmp_path, tasks=[ranking_task("x", "y", "z")]) as opened:
        opened.view("ana")
        opened.clock.now += 60
        answer(opened, "ana", "ranking", ranks=(1, 2, 3), duration_s=30.0)
        (ana,) = overview(opened)["annotators"]
    assert ana["median_s"] == pytest.approx(30.0)
    assert (ana["decided"], ana["rankings"]) == (1, 1)


def test_nobody_yet(tmp_path):
    with session(tmp_path) as opened:
        figures = overview(opened)
    assert (figures["given"], figures["annotators"], figures["agreement"]) == (0, [], [])

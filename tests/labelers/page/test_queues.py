"""The page's indexes against the definitions that they stand for, over random decisions and restarts."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from labelers.crowd.agreement import pair_tables
from labelers.crowd.votes import votes_of
from labelers.page.leases import Leases
from labelers.page.overview import overview
from labelers.page.session import Session
from labelers.page.tasks import Task, pair_task
from tests.labelers.page.collections import Clock, comparison, decision, ranking_task, session

NAMES = ("ana", "ben", "cy", "dee")
VERDICTS = ("first", "second", "tie", "both_bad", "skip")


def has_room(opened: Session, task: Task, name: str) -> bool:
    taken = {*opened.ledger.answerers(task), *opened.leases.holders(task.id, opened.clock())}
    return len(taken - {name}) < opened.plan.annotators_per_task


def check(opened: Session) -> None:
    """Compare every index with a look at every task."""
    ledger, plan = opened.ledger, opened.plan
    for task_id in opened.leases.expired(opened.clock()):
        opened.queues.update(task_id)
    for name in NAMES:
        mine = opened.leases.of(name)
        undecided = [task for task in plan.tasks if not ledger.has_decided(name, task)]
        wanted = [task for task in undecided if len(ledger.answerers(task)) < plan.annotators_per_task]
        assert opened.queues.left(name) == len(wanted)
        free = [
            task
            for task in undecided
            if has_room(opened, task, name) and (mine is None or task.id != mine.task)
        ]
        first = opened.queues.first_open(name)
        if first is None or mine is None or first.id != mine.task:
            assert first == (free[0] if free else None)
    everyone = set(ledger.annotators())
    counts = [len(ledger.answerers(task)) for task in plan.tasks]
    assert opened.queues.given == sum(min(count, plan.annotators_per_task) for count in counts)
    complete = all(
        count >= plan.annotators_per_task
        or (len(everyone) >= plan.annotators_per_task and everyone <= set(ledger.deciders(task)))
        for count, task in zip(counts, plan.tasks, strict=True)
    )
    assert opened.is_complete() == complete
    judgments = [j for name in NAMES for made in ledger.decisions(name) for j in made]
    tables = {
        tuple(name.removeprefix("human/") for name in pair): table
        for pair, table in pair_tables(votes_of(judgments)).items()
    }
    assert ledger.pairs.tables == tables
    for row in overview(opened)["annotators"]:
        made = ledger.decisions(row["name"])
        assert row["decided"] == len(made) == ledger.count(row["name"])
        assert row["skipped"] == sum(len(d) == 1 and d[0].verdict == "skip" for d in made)


def act(opened: Session, chance: random.Random, clock: Clock) -> None:
    """Let one annotator do something."""
    name = chance.choice(NAMES)
    view = opened.view(name)
    kind = chance.random()
    if kind < 0.1:
        clock.now += 30 * 60
    elif kind < 0.3 and view["undo"]:
        assert opened.undo(name, view["undo"]) is None
    elif view["task"] and kind < 0.9:
        if len(view["task"]["answers"]) > 2:
            opened.decide(name, decision(view["task"]["id"], "ranking", ranks=(1, 2, 2)))
        else:
            opened.decide(name, decision(view["task"]["id"], chance.choice(VERDICTS)))


@pytest.mark.parametrize("per", [1, 2, 5])
def test_indexes_hold_what_a_look_at_every_task_finds(tmp_path: Path, per: int):
    tasks = [*(pair_task(comparison(i)) for i in range(9)), ranking_task("x", "y", "z")]
    chance, clock = random.Random(per), Clock()
    for _ in range(3):  # restarts
        with session(tmp_path, tasks, clock, annotators_per_task=per) as opened:
            check(opened)
            for _ in range(25):
                act(opened, chance, clock)
                check(opened)


def test_a_view_and_a_decision_look_at_a_few_tasks_of_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with session(tmp_path, 300, annotators_per_task=2) as opened:
        looks = 0
        answerers = opened.ledger.answerers

        def counted(task: Task) -> list[str]:
            nonlocal looks
            looks += 1
            return answerers(task)

        monkeypatch.setattr(opened.ledger, "answerers", counted)
        for name in NAMES:
            opened.decide(name, decision(opened.view(name)["task"]["id"]))
            opened.view(name)
        overview(opened)
    assert looks < 60


def test_leases_outlive_a_kill_and_a_torn_line_costs_one(tmp_path: Path):
    path = tmp_path / "leases.json"
    leases = Leases(path, 60.0)
    leases.take("ana", "task-1", 100.0)
    leases.take("ben", "task-2", 100.0)
    leases.take("ana", "task-3", 110.0)  # nothing is closed: every change is in the file at once
    again = Leases(path, 60.0)
    assert (again.holders("task-1", 120.0), again.holders("task-3", 120.0)) == (set(), {"ana"})
    path.write_bytes(path.read_bytes()[:-9])
    torn = Leases(path, 60.0)
    assert (torn.holders("task-1", 120.0), torn.holders("task-2", 120.0)) == ({"ana"}, {"ben"})
    torn.take("cy", "task-4", 120.0)  # not appended to the torn line
    whole = Leases(path, 60.0)
    assert (whole.holders("task-1", 130.0), whole.holders("task-4", 130.0)) == ({"ana"}, {"cy"})


def test_the_file_of_leases_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("labelers.page.leases._CHANGES", 10)
    leases = Leases(tmp_path / "leases.json", 60.0)
    for number in range(100):
        leases.take("ana", f"task-{number}", float(number))
    assert len((tmp_path / "leases.json").read_bytes().splitlines()) <= 13
    assert Leases(tmp_path / "leases.json", 60.0).holders("task-99", 99.0) == {"ana"}


def test_an_expired_lease_is_reported_once_and_an_extended_one_is_not(tmp_path: Path):
    leases = Leases(tmp_path / "leases.json", 60.0)
    leases.take("ana", "task", 0.0)
    leases.take("ana", "task", 50.0)
    assert leases.expired(70.0) == []
    assert leases.expired(110.0) == ["task"]
    assert leases.expired(200.0) == []

"""The real server under `kill -9`: no decision is lost or duplicated, and annotators resume."""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.labelers.page.collections import comparison, group_of, stored
from tests.labelers.page.serving import Person, Served, write_folder

pytest.importorskip("uvicorn", reason="the extra 'annotate' is not installed")

PEOPLE = ("ana", "ben", "cy")
PAIRS, RANKINGS, PER_TASK = 24, 6, 2
OFTEN = (8, 20, 32, 44)
"""Decisions of all 60 that people know to be stored when the server is killed; others are under way."""


class _Worker(threading.Thread):
    """An annotator who decides until nothing is left, across restarts of the server."""

    def __init__(self, name: str, served: Served, done: dict[str, list[str]]) -> None:
        super().__init__()
        self.person, self.done, self.failure = Person(name, served), done, None
        self.requests = count()

    def run(self) -> None:
        try:
            view = self._insist(self.person.view)
            while view["task"] or view["waiting"]:
                if view["task"]:
                    view = self._decide(view["task"])
                else:
                    time.sleep(0.05)
                    view = self._insist(self.person.view)
        except BaseException as error:
            self.failure = error
            raise

    def _decide(self, task: dict[str, Any]) -> dict[str, Any]:
        pair = len(task["answers"]) == 2
        verdict = {"verdict": "first"} if pair else {"verdict": "ranking", "ranks": [1, 2, 2]}
        body = {"request": f"{self.person.name}-request-{next(self.requests)}", "task": task["id"], **verdict}
        view = self._insist(lambda: self.person.decide(body))
        self.done[self.person.name].append(task["id"])
        return view

    @staticmethod
    def _insist(send: Any) -> Any:
        for _ in range(400):
            try:
                return send()
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
        raise AssertionError("the server did not come back")


@pytest.mark.slow
@pytest.mark.parametrize("killed_after", [(20,), pytest.param(OFTEN, marks=pytest.mark.long)])
def test_decisions_outlive_kills(tmp_path: Path, killed_after: tuple[int, ...]):
    comparisons = [comparison(number) for number in range(PAIRS)]
    for number in range(RANKINGS):
        comparisons += group_of("x", "y", "z", text=f"Rank {number}")
    folder, human = write_folder(tmp_path / "labels", comparisons), tmp_path / "labels" / "human"
    options = ["--annotators-per", PER_TASK, "--rank"]
    served = Served(folder, *options, "--port", 0)
    options += ["--port", served.port]
    done: dict[str, list[str]] = {name: [] for name in PEOPLE}
    workers = [_Worker(name, served, done) for name in PEOPLE]
    for worker in workers:
        worker.start()
    dice = random.Random(0)
    try:
        for decisions in killed_after:
            while sum(map(len, done.values())) < decisions:
                time.sleep(0.002)
            time.sleep(dice.uniform(0, 0.03))
            served.kill()
            served = Served(folder, *options)
        for worker in workers:
            worker.join(timeout=60)
        outcome, _ = served.interrupt()
    finally:
        if served.process.poll() is None:
            served.kill()
    assert [worker.failure for worker in workers] == [None] * 3
    assert outcome["complete"]
    told = {(name, task) for name, tasks in done.items() for task in tasks}
    assert sum(map(len, done.values())) == len(told) == (PAIRS + RANKINGS) * PER_TASK
    judgments = stored(human)
    assert len(judgments) == (PAIRS + 3 * RANKINGS) * PER_TASK
    assert len({(j.annotator, j.comparison_id) for j in judgments}) == len(judgments)
    assert set(Counter(j.comparison_id for j in judgments).values()) == {PER_TASK}
    assert {(j.annotator, j.comparison_id) for j in judgments if j.group is None} <= told
    weights: Counter[str] = Counter()
    for judgment in judgments:
        weights[f"{judgment.annotator} {judgment.group or judgment.id}"] += judgment.weight
    assert all(weight == pytest.approx(1.0) for weight in weights.values())

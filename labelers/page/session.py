"""Task assignment and storage of decisions: the page's logic, independent of HTTP.

Decisions and undos may arrive twice, late, or from two windows of one annotator. Each call either has its
effect, finds that it already had it, or returns the reason why it cannot, as a message for the annotator.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from core.digests import derive_uniform
from core.records import Judgment
from labelers.page.leases import Leases
from labelers.page.ledger import Ledger
from labelers.page.queues import Queues
from labelers.page.tasks import (
    Decision,
    Question,
    Showing,
    Task,
    judgment_ids,
    judgments_of,
    order_for,
    undo_of,
)

LEASE_MINUTES = 20.0


@dataclass(frozen=True)
class GoldTask:
    """A task with a known better answer, presented like the other tasks."""

    task: Task
    better: str
    """The better answer: `a` or `b` of its comparison."""


@dataclass(frozen=True)
class AnnotationPlan:
    """The tasks, the question, and the number of annotators per task."""

    tasks: tuple[Task, ...]
    question: Question
    annotators_per_task: int = 1
    gold: tuple[GoldTask, ...] = ()
    gold_share: float = 0.1
    """Share of gold questions among the tasks of an annotator, until they have judged all of them."""
    seed: int = 0


@dataclass
class Session:
    """Assign the tasks of a plan to annotators and store their decisions. Thread-safe."""

    plan: AnnotationPlan
    ledger: Ledger
    gold_ledger: Ledger
    """Decisions on gold questions, stored separately so they never become training data."""
    leases: Leases
    clock: Callable[[], float] = time.time
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self._gold: Mapping[str, GoldTask] = {gold.task.id: gold for gold in self.plan.gold}
        self._tasks: Mapping[str, Task] = {task.id: task for task in self.plan.tasks} | {
            gold.task.id: gold.task for gold in self.plan.gold
        }
        self._gold_order: dict[str, list[Task]] = {}
        self.ledger.restore(c for task in self.plan.tasks for c in task.comparisons)
        self.queues = Queues(
            self.plan.tasks,
            self.plan.annotators_per_task,
            self.ledger,
            lambda task: self.leases.holders(task, self.clock()),
        )
        self._by_pairs = {frozenset(c.id for c in task.comparisons): task for task in self._tasks.values()}

    def view(self, annotator: str) -> dict[str, Any]:
        """Return the content of an annotator's screen: the task, the progress, and the undoable decision.

        The same task is returned until it is decided. It does not reveal where an answer comes from, what
        other annotators decided, or whether it is a gold question.
        """
        with self._lock:
            task = self._next(annotator)
            latest = self._latest(annotator)
            left = self.queues.left(annotator)
            return {
                "annotator": annotator,
                "task": None if task is None else self._shown(task, annotator),
                "question": {"text": self.plan.question.text, "guide": self.plan.question.guide},
                "decided": self._decided(annotator),
                "left": self._with_gold(left, annotator),
                "waiting": task is None and left > 0,
                "undo": latest[1][0].id if latest else None,
            }

    def decide(self, annotator: str, decision: Decision) -> str | None:
        """Store a decision; return None once it is on disk, or the reason why it was not accepted.

        Raises:
            DataError: if the decision does not fit the task.
            RunStateError: if the disk failed; the same call may be repeated.
        """
        task = self._tasks.get(decision.task)
        if task is None:
            return "This question is no longer part of the collection."
        with self._lock:
            refusal = self._accept(task, annotator, decision)
        if refusal is None:
            # Without the lock, so decisions that arrive meanwhile share one write to the disk. Also for a
            # repeated request: the earlier one may have failed at this.
            self._ledger_of(task).sync()
        return refusal

    def undo(self, annotator: str, judgment_id: str) -> str | None:
        """Take back an annotator's last decision and lease its task again; return None, or why it cannot.

        Args:
            annotator: the annotator's name.
            judgment_id: id of the decision's first judgment, as returned by `view`.
        """
        with self._lock:
            if self.ledger.was_taken_back(judgment_id) or self.gold_ledger.was_taken_back(judgment_id):
                return None
            latest = self._latest(annotator)
            if latest is None or latest[1][0].id != judgment_id:
                return "Only your last decision can be undone."
            task, judgments = latest
            ledger = self._ledger_of(task)
            ledger.add((), [undo_of(judgment, self._now()) for judgment in judgments])
            self.queues.update(task.id, annotator)
            self._lease(annotator, task)
        ledger.sync()
        return None

    def is_complete(self) -> bool:
        """Return whether all tasks are done.

        A task is done if it has enough answers, or if there are at least as many annotators as wanted and all
        of them have answered or skipped it.
        """
        with self._lock:
            return self.queues.is_complete()

    def reading(self) -> threading.RLock:
        """Return the lock to hold while reading the ledgers."""
        return self._lock

    def is_right(self, judgment: Judgment) -> bool | None:
        """Return whether a judgment on a gold question is correct; None on any other question."""
        gold = self._gold.get(judgment.comparison_id)
        return None if gold is None else judgment.verdict == gold.better

    def close(self) -> None:
        """Close the record files."""
        with self._lock:
            self.ledger.close()
            self.gold_ledger.close()

    def _accept(self, task: Task, annotator: str, decision: Decision) -> str | None:
        """Store a decision that is valid now and return None, or return the reason why it is not accepted."""
        ledger = self._ledger_of(task)
        ids = judgment_ids(task, annotator, decision.request)
        if all(identity in ledger.judgments for identity in ids):
            return None
        if ledger.has_decided(annotator, task):
            return "You have already decided this question, perhaps in another window."
        if not self._has_room(task, annotator):
            return "This question was given to somebody else in the meantime."
        try:
            self._store(task, annotator, decision, ids)
            released = self.leases.release(annotator)
        finally:
            self.queues.update(task.id, annotator)  # also after a failure: some records may be stored
        for other in released:
            self.queues.update(other)
        return None

    def _lease(self, annotator: str, task: Task) -> None:
        for changed in self.leases.take(annotator, task.id, self.clock()):
            self.queues.update(changed)

    def _store(self, task: Task, annotator: str, decision: Decision, ids: list[str]) -> None:
        ledger, now = self._ledger_of(task), self._now()
        # If the server was killed while it stored a ranking, some of its pairs are on disk. The page sends
        # the same request again, unless the annotator now decides differently: then these are superseded.
        rest = [j for j in ledger.current(annotator, task) if j.id not in ids]
        order = order_for(task, annotator, self.plan.seed)
        undone = ledger.undone(annotator, task) | {j.comparison_id: undo_of(j, now).id for j in rest}
        showing = Showing(annotator, self.plan.question, order, undone)
        judgments = judgments_of(task, decision, showing, self._bounded(annotator, task, decision), now)
        ledger.add(task.comparisons, [*(undo_of(j, now) for j in rest), *judgments])

    def _bounded(self, annotator: str, task: Task, decision: Decision) -> float:
        """Return the browser's duration in seconds, limited to the time since the task was first leased."""
        lease = self.leases.of(annotator)
        served = lease.served if lease is not None and lease.task == task.id else None
        longest = LEASE_MINUTES * 60 if served is None else max(0.0, self.clock() - served)
        return min(decision.duration_s, longest)

    def _next(self, annotator: str) -> Task | None:
        """Return the annotator's leased task, or lease a new one to them."""
        for task_id in self.leases.expired(self.clock()):
            self.queues.update(task_id)
        lease = self.leases.of(annotator)
        held = self._tasks.get(lease.task) if lease is not None else None
        task = held if held is not None and self._is_open(held, annotator) else self._draw(annotator)
        if task is not None:
            self._lease(annotator, task)
        return task

    def _draw(self, annotator: str) -> Task | None:
        plan = self.plan
        gold = self._gold_left(annotator)
        if gold and derive_uniform(plan.seed, "gold", annotator, self._decided(annotator)) < plan.gold_share:
            return gold[0]
        return self.queues.first_open(annotator)

    def _is_open(self, task: Task, annotator: str) -> bool:
        """Return whether an annotator may decide on a task now."""
        return not self._ledger_of(task).has_decided(annotator, task) and self._has_room(task, annotator)

    def _has_room(self, task: Task, annotator: str) -> bool:
        """Return whether fewer other annotators than wanted have answered a task or hold a lease on it."""
        if task.id in self._gold:
            return True
        taken = set(self.ledger.answerers(task)) | self.leases.holders(task.id, self.clock())
        return len(taken - {annotator}) < self.plan.annotators_per_task

    def _shown(self, task: Task, annotator: str) -> dict[str, Any]:
        order = order_for(task, annotator, self.plan.seed)
        return {
            "id": task.id,
            "prompt": [{"role": m.role, "content": m.content} for m in task.prompt.messages],
            "answers": [task.answers[index] for index in order],
        }

    def _latest(self, annotator: str) -> tuple[Task, list[Judgment]] | None:
        """Return an annotator's last decision with its task, if the task is in the plan."""
        last = [d for d in (self.ledger.latest(annotator), self.gold_ledger.latest(annotator)) if d]
        if not last:
            return None
        newest = max(last, key=lambda judgments: judgments[0].created or datetime.min.replace(tzinfo=UTC))
        task = self._by_pairs.get(frozenset(judgment.comparison_id for judgment in newest))
        return None if task is None else (task, newest)

    def _decided(self, annotator: str) -> int:
        return self.ledger.count(annotator) + self.gold_ledger.count(annotator)

    def _gold_left(self, annotator: str) -> list[Task]:
        """Return the gold questions that an annotator has not decided, in the annotator's own order."""
        if annotator not in self._gold_order:
            self._gold_order[annotator] = sorted(
                (gold.task for gold in self.plan.gold),
                key=lambda task: derive_uniform(self.plan.seed, "gold order", annotator, task.id),
            )
        order = self._gold_order[annotator]
        return [task for task in order if not self.gold_ledger.has_decided(annotator, task)]

    def _with_gold(self, left: int, annotator: str) -> int:
        """Return the number of questions left, including the expected number of gold questions."""
        expected = left * self.plan.gold_share / (1 - self.plan.gold_share)
        return left + min(len(self._gold_left(annotator)), round(expected))

    def _ledger_of(self, task: Task) -> Ledger:
        return self.gold_ledger if task.id in self._gold else self.ledger

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.clock(), UTC)

"""Which tasks are left for whom: sets of task numbers, updated with each decision and lease.

A set is an integer with one bit for each task of the plan, in the order of the plan. The first task that an
annotator can decide is the lowest bit of `room & ~decided`: microseconds for 20,000 tasks, and no request
looks at the tasks one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from labelers.page.ledger import Ledger
from labelers.page.tasks import Task


class Queues:
    """The queue of each annotator over the tasks of a plan.

    Args:
        tasks: the tasks in the order in which they are asked.
        wanted: number of annotators wanted for each task.
        ledger: the annotators' decisions.
        holders: returns the annotators who hold a lease on a task.
    """

    def __init__(
        self, tasks: Sequence[Task], wanted: int, ledger: Ledger, holders: Callable[[str], Iterable[str]]
    ) -> None:
        self._tasks, self._per_task, self._ledger, self._holders = tasks, wanted, ledger, holders
        self._number = {task.id: number for number, task in enumerate(tasks)}
        self._wanted = 0
        """Tasks with fewer answers than wanted."""
        self._room = 0
        """Tasks whose answers and leases are fewer than the answers wanted."""
        self._decided: dict[str, int] = {}
        """Tasks that each annotator has decided, including skipped ones."""
        self._answers = [0] * len(tasks)
        self.given = 0
        """Number of answers so far; of each task at most as many as are wanted."""
        decided: dict[str, list[int]] = {}
        wanted_bits, room_bits = bytearray(len(tasks) // 8 + 1), bytearray(len(tasks) // 8 + 1)
        for number, task in enumerate(tasks):
            for name in ledger.deciders(task):
                decided.setdefault(name, []).append(number)
            answerers = set(ledger.answerers(task))
            self._count(number, len(answerers))
            mark = 1 << number % 8
            wanted_bits[number // 8] |= mark * (len(answerers) < wanted)
            room_bits[number // 8] |= mark * (len(answerers.union(holders(task.id))) < wanted)
        self._wanted, self._room = int.from_bytes(wanted_bits, "little"), int.from_bytes(room_bits, "little")
        for name, numbers in decided.items():
            bits = bytearray(len(tasks) // 8 + 1)
            for number in numbers:
                bits[number // 8] |= 1 << number % 8
            self._decided[name] = int.from_bytes(bits, "little")

    def update(self, task_id: str, annotator: str | None = None) -> None:
        """Take in a changed task.

        Args:
            task_id: id of the task; of a task that is not in the plan, nothing is stored.
            annotator: the annotator whose decision changed; None if only a lease did.
        """
        number = self._number.get(task_id)
        if number is None:
            return
        task, bit = self._tasks[number], 1 << number
        answerers = set(self._ledger.answerers(task))
        self._count(number, len(answerers))
        self._wanted = _with(self._wanted, bit, len(answerers) < self._per_task)
        taken = len(answerers.union(self._holders(task_id)))
        self._room = _with(self._room, bit, taken < self._per_task)
        if annotator is not None:
            has_decided = self._ledger.has_decided(annotator, task)
            self._decided[annotator] = _with(self._decided.get(annotator, 0), bit, has_decided)

    def first_open(self, annotator: str) -> Task | None:
        """Return the first task that an annotator can decide now, or None."""
        opened = self._room & ~self._decided.get(annotator, 0)
        return self._tasks[(opened & -opened).bit_length() - 1] if opened else None

    def left(self, annotator: str) -> int:
        """Return the number of tasks that an annotator can decide, now or when leases expire."""
        return (self._wanted & ~self._decided.get(annotator, 0)).bit_count()

    def is_complete(self) -> bool:
        """Return whether every task has enough answers, or all of enough annotators have decided it."""
        if not self._wanted:
            return True
        everyone = self._ledger.annotators()
        return len(everyone) >= self._per_task and not any(self.left(name) for name in everyone)

    def _count(self, number: int, answers: int) -> None:
        answers = min(answers, self._per_task)
        self.given += answers - self._answers[number]
        self._answers[number] = answers


def _with(bits: int, bit: int, is_in: bool) -> int:
    return bits | bit if is_in else bits & ~bit

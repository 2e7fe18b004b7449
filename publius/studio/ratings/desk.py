"""The desk at which the user rates pairs of answers; the ratings are a label folder of the project.

The folder (`ratings/`) is one that `publius annotate` could have written: `label.humans`, `publius agreement`
and `publius audit labeler --gold` read it, also while the studio is open. Every rating is on disk before the
page is told so. What is still to be rated is a list of comparisons in the studio's own folder.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from core.errors import DataError
from core.notices import counted
from core.records import Comparison, Judgment
from core.store.files import write_atomic
from core.store.record_store import RecordStore
from labelers.page.leases import Leases
from labelers.page.ledger import Ledger
from labelers.page.session import AnnotationPlan, Session
from labelers.page.tasks import (
    Decision,
    Question,
    Showing,
    Task,
    judgments_of,
    order_for,
    pair_task,
    undo_of,
)
from labelers.selection import Selection
from publius.labels.selecting import select_questions
from publius.runs.reader import RunReader

RATINGS = "ratings"
"""Folder of the ratings in a project."""
MOST_QUEUED = 1000
Rating = Literal["first", "second", "tie", "both_bad"]
"""Of two answers in a given order."""
_REMOVED = "removed.json"
_QUESTION = "Which answer is better?"
_LEASE_S = 30 * 24 * 3600.0
"""One user is never kept waiting for another; a lease only keeps the same pair on the screen."""
_BY_VERDICT: dict[str, Rating] = {"a": "first", "b": "second", "tie": "tie", "both_bad": "both_bad"}


@dataclass(frozen=True)
class RatedPair:
    """Two answers to a prompt and how they were rated, in the order of the answers."""

    comparison: Comparison
    first: str
    """Text of the answer that `first` is about."""
    rating: Rating | None
    """None to take the rating back."""


class RatingDesk:
    """The pairs to rate and the ratings. Thread-safe; opened at its first use, since it locks the folder.

    Args:
        project: folder of the project.
        queue: folder of the pairs that are to be rated.
        guide: returns the principles to show beside the pairs.
        publish: called with a topic and its content when the queue has grown.
    """

    def __init__(
        self,
        project: Path,
        queue: Path,
        guide: Callable[[], tuple[str, ...]] = tuple,
        publish: Callable[[str, dict[str, Any]], None] = lambda topic, content: None,
    ) -> None:
        self.folder = project / RATINGS
        self._queue_folder = queue
        self._guide, self._publish = guide, publish
        self._lock = threading.RLock()
        self._queue: RecordStore | None = None
        self._session: Session | None = None

    def view(self, annotator: str) -> dict[str, Any]:
        """Return the pair to rate next, how many are left, and the rating that can be undone."""
        with self._lock:
            shown = self._opened().view(annotator)
        return {**shown, "question": {**shown["question"], "guide": self._guide()}}

    def decide(self, annotator: str, decision: Decision) -> str | None:
        """Store a rating; return None once it is on disk, or why it was not accepted.

        Raises:
            DataError: the decision does not fit the pair.
            RunStateError: the disk failed; the same call may be repeated.
        """
        with self._lock:
            return self._opened().decide(annotator, decision)

    def undo(self, annotator: str, judgment: str) -> str | None:
        """Take the last rating back and show its pair again; return None, or why it cannot."""
        with self._lock:
            return self._opened().undo(annotator, judgment)

    def add(self, comparisons: Iterable[Comparison]) -> int:
        """Put pairs in the queue and return how many are new; they are on disk then.

        Raises:
            DataError: the queue would be too long.
        """
        with self._lock:
            self._opened()
            assert self._queue is not None
            file = self._queue.open("comparisons.jsonl", Comparison, parent="prompt.id")
            given = {c.id: c for c in comparisons}
            removed = self._removed()
            new = [c for c in given.values() if c.id not in file]
            back = removed & given.keys()
            queued = len(file) - len(removed) + len(new) + len(back)
            if queued > MOST_QUEUED:
                raise DataError(
                    f"{counted(queued, 'pair')} to rate",
                    accepted=f"at most {MOST_QUEUED:,}; rate some first",
                )
            for comparison in new:
                file.append(comparison)
            file.sync()
            if back:
                self._keep_removed(removed - back)
            self._renew()
        self._publish("ratings", {"queued": queued})
        return len(new) + len(back)

    def remove(self, annotator: str, task: str | None) -> int:
        """Take a pair out of the queue, or all that the user has not rated; return how many were.

        Ratings stay as they are, and a pair that was rated stays in the queue, where it can be undone.

        Raises:
            RunStateError: the disk failed.
        """
        with self._lock:
            session = self._opened()
            open_ones = [one for one in session.plan.tasks if not session.ledger.has_decided(annotator, one)]
            chosen = [one for one in open_ones if task in (None, one.id)]
            if chosen:
                self._keep_removed(self._removed() | {c.id for one in chosen for c in one.comparisons})
                self._renew()
            queued = len(session.plan.tasks) - len(chosen)
        self._publish("ratings", {"queued": queued})
        return len(chosen)

    def select(self, run: Path, count: int) -> int:
        """Put the comparisons of a run that labels would help most in the queue; return how many are new.

        Raises:
            RunStateError: the run has no labels yet, or no comparison is left.
        """
        chosen = select_questions(run, Selection(budget=count))
        with RunReader(run) as reader:
            found = [reader.comparison(question.comparison_id) for question in chosen.questions]
        return self.add(found)

    def rate(self, annotator: str, pairs: Iterable[RatedPair]) -> None:
        """Store ratings that were given elsewhere on the page, in place of earlier ones of the same pairs.

        They are on disk when the call returns. Pairs that are rated already as given are left alone.

        Raises:
            RunStateError: the disk failed; the same call may be repeated.
        """
        with self._lock:
            session = self._opened()
            for pair in pairs:
                task = pair_task(pair.comparison)
                before = session.ledger.current(annotator, task)
                if _rating_of(before, pair) != pair.rating:
                    session.ledger.add(
                        [pair.comparison], list(self._changes(session, annotator, task, pair, before))
                    )
                    session.queues.update(task.id, annotator)
            session.ledger.sync()

    def close(self) -> None:
        """Close the files and release the folder."""
        with self._lock:
            if self._session is not None:
                self._session.close()
            if self._queue is not None:
                self._queue.close()
            self._session = self._queue = None

    def _changes(
        self, session: Session, annotator: str, task: Task, pair: RatedPair, before: list[Judgment]
    ) -> Iterable[Judgment]:
        now = datetime.fromtimestamp(session.clock(), UTC)
        undone = [undo_of(judgment, now) for judgment in before]
        yield from undone
        if pair.rating is None:
            return
        order = order_for(task, annotator, session.plan.seed)
        superseded = session.ledger.undone(annotator, task) | {j.comparison_id: j.id for j in undone}
        showing = Showing(annotator, session.plan.question, order, superseded)
        is_first = task.answers[order[0]] == pair.first
        decision = Decision(
            request=uuid4().hex,
            task=task.id,
            verdict=pair.rating if is_first else _swapped(pair.rating),
        )
        yield from judgments_of(task, decision, showing, 0.0, now)

    def _opened(self) -> Session:
        if self._session is None:
            self._queue = self._queue or RecordStore(self._queue_folder)
            self._session = self._new_session(*self._ledgers())
        return self._session

    def _ledgers(self) -> tuple[Ledger, Ledger]:
        question = Question(_QUESTION)
        ledger = Ledger(self.folder, question)
        try:
            return ledger, Ledger(self._queue_folder / "gold", question)
        except BaseException:
            ledger.close()
            raise

    def _new_session(self, ledger: Ledger, gold: Ledger) -> Session:
        assert self._queue is not None
        file = self._queue.open("comparisons.jsonl", Comparison, parent="prompt.id")
        removed = self._removed()
        tasks = tuple(pair_task(comparison) for comparison in file if comparison.id not in removed)
        plan = AnnotationPlan(tasks, Question(_QUESTION))
        return Session(plan, ledger, gold, Leases(self._queue_folder / "leases.json", _LEASE_S))

    def _removed(self) -> frozenset[str]:
        """Return the ids of comparisons that were taken out of the queue."""
        try:
            return frozenset(map(str, json.loads((self._queue_folder / _REMOVED).read_bytes())))
        except (OSError, ValueError, TypeError):
            return frozenset()

    def _keep_removed(self, removed: frozenset[str]) -> None:
        write_atomic(self._queue_folder / _REMOVED, json.dumps(sorted(removed)) + "\n")

    def _renew(self) -> None:
        """Work with the queue as it is now; the ledgers stay open."""
        if self._session is not None:
            self._session = self._new_session(self._session.ledger, self._session.gold_ledger)


def _rating_of(judgments: list[Judgment], pair: RatedPair) -> Rating | None:
    """Return the current rating of a pair in the order of its answers."""
    if not judgments or judgments[0].verdict not in _BY_VERDICT:
        return None
    rating = _BY_VERDICT[judgments[0].verdict]
    return rating if pair.comparison.response_a == pair.first else _swapped(rating)


def _swapped(rating: Rating) -> Rating:
    swaps: dict[Rating, Rating] = {"first": "second", "second": "first"}
    return swaps.get(rating, rating)

"""The annotators' judgments in one folder: an append-only store, synced to disk, and the current judgments.

An undo is a `skip` that supersedes a decision; the next decision on the same comparison supersedes the undo.
So every annotator has at most one current (not superseded) judgment on a comparison.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from core.records import Comparison, Judgment
from core.store.record_store import RecordStore
from labelers.page.tally import AnnotatorTally, PairTallies
from labelers.page.tasks import HUMAN_LABELER, Question, Task

_NO_ANSWER = "skip"


class Ledger:
    """The record files of a folder with annotators' decisions. Only one process may write them."""

    def __init__(self, folder: Path, question: Question) -> None:
        self._store = RecordStore(folder)
        self._question = question
        try:
            self.comparisons = self._store.open("comparisons.jsonl", Comparison, parent="prompt.id")
            self.judgments = self._store.open("judgments.jsonl", Judgment, parent="comparison_id")
            self._on: dict[str, dict[str, Judgment]] = {}
            self._by: dict[str, dict[str, list[Judgment]]] = {}
            self._undone: dict[tuple[str, str], str] = {}
            self._decisions: set[str] = set()
            self._tallies: dict[str, AnnotatorTally] = {}
            self.pairs = PairTallies()
            """Choices of each pair of annotators on their common comparisons."""
            self._syncing = threading.Lock()
            self._added, self._synced = 0, 0
            self._synced_comparisons = len(self.comparisons)
            for judgment in self.judgments:
                self._take_in(judgment)
        except BaseException:
            self._store.close()
            raise

    def add(self, comparisons: Iterable[Comparison], judgments: Sequence[Judgment]) -> None:
        """Store judgments and their comparisons; `sync` waits until they are on disk.

        Records that are already stored are ignored, so a failed call can be repeated.

        Raises:
            RunStateError: if the disk is full or failed. Some of the records may be stored.
        """
        for comparison in comparisons:
            self.comparisons.append(comparison)
        for judgment in judgments:
            if self.judgments.append(judgment):
                self._take_in(judgment)
        self._added += 1

    def sync(self) -> None:
        """Return once all that was added before this call is on disk.

        Calls that wait for each other are served by one write to the disk, so the disk does not limit the
        number of decisions per second. Call it without the lock that guards `add`.

        Raises:
            RunStateError: if the disk failed; the same call may be repeated.
        """
        mine = self._added
        with self._syncing:
            if self._synced >= mine:
                return
            added, comparisons = self._added, len(self.comparisons)
            if comparisons > self._synced_comparisons:
                self.comparisons.sync()
                self._synced_comparisons = comparisons
            self.judgments.sync()
            self._synced = added

    def restore(self, comparisons: Iterable[Comparison]) -> None:
        """Store the comparisons of judgments that a power cut left without theirs."""
        for comparison in comparisons:
            if comparison.id in self._on and comparison.id not in self.comparisons:
                self.comparisons.append(comparison)

    def has_decided(self, annotator: str, task: Task) -> bool:
        """Return whether an annotator has current judgments on all pairs of a task."""
        return all(annotator in self._on.get(c.id, {}) for c in task.comparisons)

    def deciders(self, task: Task) -> list[str]:
        """Return the annotators who have decided on a task, including those who skipped it."""
        first = self._on.get(task.comparisons[0].id)
        return [name for name in first if self.has_decided(name, task)] if first else []

    def answerers(self, task: Task) -> list[str]:
        """Return the annotators who have decided on a task without skipping it."""
        first = self._on.get(task.comparisons[0].id)
        return [name for name in self.deciders(task) if first[name].verdict != _NO_ANSWER] if first else []

    def current(self, annotator: str, task: Task) -> list[Judgment]:
        """Return an annotator's current judgments on the pairs of a task."""
        found = [self._on.get(c.id, {}).get(annotator) for c in task.comparisons]
        return [judgment for judgment in found if judgment is not None]

    def annotators(self) -> list[str]:
        """Return the annotators with a current decision, in order of their first decision."""
        return [name for name, decisions in self._by.items() if decisions]

    def decisions(self, annotator: str) -> list[list[Judgment]]:
        """Return an annotator's current decisions, oldest first; a ranking is one decision."""
        return list(self._by.get(annotator, {}).values())

    def count(self, annotator: str) -> int:
        """Return the number of an annotator's current decisions."""
        return len(self._by.get(annotator, ()))

    def latest(self, annotator: str) -> list[Judgment] | None:
        """Return an annotator's last current decision, or None."""
        decisions = self._by.get(annotator)
        return decisions[next(reversed(decisions))] if decisions else None

    def tally(self, annotator: str) -> AnnotatorTally:
        """Return the counts of an annotator's current decisions."""
        return self._tallies.get(annotator) or AnnotatorTally()

    def undone(self, annotator: str, task: Task) -> dict[str, str]:
        """Return, by comparison, the id of the undo of an annotator's last decision on it."""
        keys = ((c.id, self._undone.get((annotator, c.id))) for c in task.comparisons)
        return {comparison: undo for comparison, undo in keys if undo is not None}

    def was_taken_back(self, judgment_id: str) -> bool:
        """Return whether a decision is stored but no longer current."""
        if judgment_id not in self._decisions:
            return False
        judgment = self.judgments.get(judgment_id)
        return self._on.get(judgment.comparison_id, {}).get(judgment.annotator or "") != judgment

    def close(self) -> None:
        """Close the files and release the folder."""
        with self._syncing:
            self._store.close()

    def _take_in(self, judgment: Judgment) -> None:
        """Update the index with a judgment. Judgments of other sources and other questions are ignored."""
        name = judgment.annotator
        asked = (judgment.principle_id, judgment.dimension)
        if (
            judgment.labeler != HUMAN_LABELER
            or name is None
            or asked != (self._question.principle_id, self._question.dimension)
        ):
            return
        key = (name, judgment.comparison_id)
        before = self._on.get(judgment.comparison_id, {}).pop(name, None)
        if before is not None:
            self._forget(name, before)
        if judgment.verdict == _NO_ANSWER and judgment.supersedes in self._decisions:
            self._undone[key] = judgment.id
            return
        self._undone.pop(key, None)
        self._decisions.add(judgment.id)
        others = self._on.setdefault(judgment.comparison_id, {})
        self.pairs.change(judgment, others.values(), 1)
        others[name] = judgment
        decision = self._by.setdefault(name, {}).setdefault(_decision_of(judgment), [])
        self._recount(name, decision, [*decision, judgment])
        decision.append(judgment)

    def _forget(self, annotator: str, judgment: Judgment) -> None:
        """Take a judgment, which is no longer the annotator's current one, out of the counts."""
        self.pairs.change(judgment, self._on[judgment.comparison_id].values(), -1)
        decisions = self._by[annotator]
        decision = decisions[_decision_of(judgment)]
        rest = [other for other in decision if other is not judgment]
        self._recount(annotator, decision, rest)
        if rest:
            decisions[_decision_of(judgment)] = rest
        else:
            del decisions[_decision_of(judgment)]

    def _recount(self, annotator: str, before: Sequence[Judgment], after: Sequence[Judgment]) -> None:
        tally = self._tallies.setdefault(annotator, AnnotatorTally())
        if before:
            tally.remove(before)
        if after:
            tally.add(after)


def _decision_of(judgment: Judgment) -> str:
    return judgment.group or judgment.id

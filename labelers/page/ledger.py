"""The judgments of people in one folder: appended, on disk before the call returns, and what stands of them.

An undo is a `skip` that supersedes a decision; the next decision on the same comparison supersedes the undo.
So every person has one judgment at most on a comparison that nothing supersedes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from core.records import Comparison, Judgment
from core.store.record_store import RecordStore
from labelers.page.tasks import HUMAN_LABELER, Question, Task

_NO_ANSWER = "skip"


class Ledger:
    """The record files of a folder that people's decisions go to. One process writes them."""

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
            for judgment in self.judgments:
                self._take_in(judgment)
        except BaseException:
            self._store.close()
            raise

    def add(self, comparisons: Iterable[Comparison], judgments: Sequence[Judgment]) -> None:
        """Store judgments with their comparisons; all of them are on disk when this returns.

        Those that are there already are passed over, so that a failed call can be made again.

        Raises:
            RunStateError: the disk is full or failed. Part of them may be stored.
        """
        is_new = [self.comparisons.append(comparison) for comparison in comparisons]
        if any(is_new):
            self.comparisons.sync()  # a judgment never stands on disk without its comparison
        for judgment in judgments:
            if self.judgments.append(judgment):
                self._take_in(judgment)
        self.judgments.sync()

    def has_decided(self, annotator: str, task: Task) -> bool:
        """Return whether a person's decision on all pairs of a task stands."""
        return all(annotator in self._on.get(c.id, {}) for c in task.comparisons)

    def deciders(self, task: Task) -> list[str]:
        """Return who has decided on a task, skipped or not."""
        first = self._on.get(task.comparisons[0].id)
        return [name for name in first if self.has_decided(name, task)] if first else []

    def answerers(self, task: Task) -> list[str]:
        """Return who has decided on a task and not skipped it."""
        first = self._on.get(task.comparisons[0].id)
        return [name for name in self.deciders(task) if first[name].verdict != _NO_ANSWER] if first else []

    def standing(self, annotator: str, task: Task) -> list[Judgment]:
        """Return a person's judgments on the pairs of a task that nothing supersedes."""
        found = [self._on.get(c.id, {}).get(annotator) for c in task.comparisons]
        return [judgment for judgment in found if judgment is not None]

    def annotators(self) -> list[str]:
        """Return everyone who has decided anything that stands, in order of their first decision."""
        return [name for name, decisions in self._by.items() if decisions]

    def decisions(self, annotator: str) -> list[list[Judgment]]:
        """Return a person's decisions that stand, the oldest first; a ranking is one decision."""
        return list(self._by.get(annotator, {}).values())

    def undone(self, annotator: str, task: Task) -> dict[str, str]:
        """Return, by comparison, the undo with which a person took the last decision on it back."""
        keys = ((c.id, self._undone.get((annotator, c.id))) for c in task.comparisons)
        return {comparison: undo for comparison, undo in keys if undo is not None}

    def was_taken_back(self, judgment_id: str) -> bool:
        """Return whether a decision is stored, and stands no more."""
        if judgment_id not in self._decisions:
            return False
        judgment = self.judgments.get(judgment_id)
        return self._on.get(judgment.comparison_id, {}).get(judgment.annotator or "") != judgment

    def close(self) -> None:
        """Close the files and release the folder."""
        self._store.close()

    def _take_in(self, judgment: Judgment) -> None:
        """Bring what stands up to a judgment. Those of other sources and other questions are passed over."""
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
        self._on.setdefault(judgment.comparison_id, {})[name] = judgment
        self._by.setdefault(name, {}).setdefault(_decision_of(judgment), []).append(judgment)

    def _forget(self, annotator: str, judgment: Judgment) -> None:
        decisions = self._by[annotator]
        decisions[_decision_of(judgment)].remove(judgment)
        if not decisions[_decision_of(judgment)]:
            del decisions[_decision_of(judgment)]


def _decision_of(judgment: Judgment) -> str:
    return judgment.group or judgment.id

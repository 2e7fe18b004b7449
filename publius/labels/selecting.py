"""`publius select`: the comparisons of a run that people should see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import RunStateError
from core.records import Comparison, Judgment
from labelers.crowd.votes import MACHINES, votes_of
from labelers.selection import SelectedComparison, Selection, doubt_about, select_comparisons
from publius.runs.reader import RunReader
from publius.runs.records import RunFiles


@dataclass(frozen=True)
class SelectedQuestions:
    """Comparisons for annotation, in the order to ask them."""

    questions: tuple[SelectedComparison, ...]
    budget: int
    """How many were asked for."""

    def lines(self) -> str:
        """Return one JSON line for each comparison, as `publius annotate --select` reads them."""
        return "".join(question.model_dump_json() + "\n" for question in self.questions)


def select_questions(folder: Path, selection: Selection) -> SelectedQuestions:
    """Return the run's comparisons that people should judge, in the order to ask them.

    Those that people have judged already are passed over, and those that the label stage left out.

    Raises:
        RunStateError: the folder is no run, its comparisons are not labelled yet, or none is left to ask
            about.
    """
    with RunReader(folder) as run:
        if "label" not in run.manifest["stages"]:
            raise RunStateError(
                "the stage label has not run yet", where=str(folder), run="publius label RUN.yaml"
            )
        constitution = run.constitution
        doubts = [doubt_about(*asked, constitution) for asked in _open_questions(run)]
    if not doubts:
        raise RunStateError(
            "no comparison is left to ask about", where=str(folder), accepted="comparisons nobody judged yet"
        )
    return SelectedQuestions(tuple(select_comparisons(doubts, selection)), selection.budget)


def _open_questions(files: RunFiles) -> Iterator[tuple[Comparison, list[Judgment]]]:
    """Yield the comparisons that no person has voted on, with their judgments."""
    for comparison in files.comparisons.sorted():
        judgments = list(files.judgments.children(comparison.id))
        left_out = any(exclusion.stage == "label" for exclusion in files.exclusions.children(comparison.id))
        people = votes_of(judgment for judgment in judgments if judgment.labeler not in MACHINES)
        if not left_out and not people:
            yield comparison, judgments

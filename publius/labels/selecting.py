"""`publius select`: select comparisons of a run for annotation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import RunStateError
from core.records import Comparison, Judgment
from labelers.correction.correction import corrector_of
from labelers.crowd.votes import MACHINES, votes_of
from labelers.selection import SelectedComparison, Selection, doubt_about, select_comparisons
from publius.runs.opening.rules import tier_rule_of
from publius.runs.reader import RunReader
from publius.runs.records import RunFiles


@dataclass(frozen=True)
class SelectedQuestions:
    """Comparisons for annotation, in the order to ask them."""

    questions: tuple[SelectedComparison, ...]
    budget: int
    """Number of comparisons that was requested."""

    def lines(self) -> str:
        """Return one JSON line per comparison, the format that `publius annotate --select` reads."""
        return "".join(question.model_dump_json() + "\n" for question in self.questions)


def select_questions(folder: Path, selection: Selection) -> SelectedQuestions:
    """Select the run's comparisons for annotation, in the order to ask them.

    Comparisons that annotators have already judged are skipped, and those that the label stage excluded.

    Raises:
        RunStateError: the folder is not a run, its comparisons are not labelled yet, or none is left.
    """
    with RunReader(folder) as run:
        if "label" not in run.manifest["stages"]:
            raise RunStateError(
                "the stage label has not run yet", where=str(folder), run="publius label RUN.yaml"
            )
        constitution = run.constitution
        tiers = tier_rule_of(run.manifest)
        corrector = corrector_of(run.config.label, constitution)
        doubts = [
            doubt_about(
                comparison,
                corrector.corrected(comparison, judgments),
                constitution,
                tiers,
                abstained=corrector.abstained_on(comparison, judgments),
            )
            for comparison, judgments in _open_questions(run)
        ]
    if not doubts:
        raise RunStateError(
            "no comparison is left to annotate",
            where=str(folder),
            accepted="comparisons without human labels",
        )
    return SelectedQuestions(tuple(select_comparisons(doubts, selection)), selection.budget)


def _open_questions(files: RunFiles) -> Iterator[tuple[Comparison, list[Judgment]]]:
    """Yield the comparisons without a human vote, with their judgments."""
    for comparison in files.comparisons.sorted():
        judgments = list(files.judgments.children(comparison.id))
        excluded = any(exclusion.stage == "label" for exclusion in files.exclusions.children(comparison.id))
        human = votes_of(judgment for judgment in judgments if judgment.labeler not in MACHINES)
        if not excluded and not human:
            yield comparison, judgments

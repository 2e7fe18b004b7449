"""Everything that the page says about the quality of a run's labels."""

from __future__ import annotations

from dataclasses import dataclass

from publius.views.report.figures import FigureBook
from publius.views.report.labels.agreed import LabelerAgreement, read_agreement
from publius.views.report.labels.attribution import LabelAttribution, read_attribution
from publius.views.report.labels.calibrated import labeler_diagrams
from publius.views.report.labels.leanings import LabelLeaning, LengthStep, length_steps, read_leanings
from publius.views.report.labels.pairs import read_label_records
from publius.views.report.labels.won import WonAnswers, read_won
from publius.views.report.reading.answers import AnswerData
from publius.views.report.reading.reliability import ReliabilityDiagram
from publius.views.report.reading.sources import RunSource


@dataclass(frozen=True)
class LabelEvidence:
    """The quality of one run's labels."""

    calibration: tuple[ReliabilityDiagram, ...]
    """Of the AI labeler, by each reference that there is."""
    leanings: tuple[LabelLeaning, ...]
    lengths: tuple[LengthStep, ...]
    agreement: LabelerAgreement | None
    attribution: LabelAttribution | None
    won: WonAnswers | None = None
    """Who won by people's votes, where the answers were given."""


def read_quality(run: RunSource, place: str, data: AnswerData, book: FigureBook) -> LabelEvidence | None:
    """Return the quality of a run's labels; None if it has no labels.

    Args:
        run: the run.
        place: prefix of the ids of the run on the page.
        data: takes the texts of examples.
        book: takes the figures.
    """
    if "label" not in run.manifest["stages"]:
        return None
    pairs, prefix = read_label_records(run), f"{run.label}.labels"
    return LabelEvidence(
        labeler_diagrams(run, pairs, prefix, book),
        read_leanings(pairs, prefix, book),
        length_steps(pairs, prefix, book),
        read_agreement(pairs, prefix, book),
        read_attribution(run, pairs, prefix, place, data, book),
        read_won(run, pairs, prefix, book),
    )

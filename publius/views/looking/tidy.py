"""The figures of a run's labels as one tidy table, for spreadsheets, data frames and papers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from core.errors import RunStateError
from core.statistics.bootstrap import wilson
from publius.runs.pairs.filters import PreferenceFilter
from publius.runs.pairs.tables import WrittenTable, require_table_name, write_rows
from publius.views.looking.figures import EDGES, PairTally, PreferenceFigures
from publius.views.looking.judged import JudgmentFigures
from publius.views.looking.reading import RunOverview, read_overview

SUMMARY_TO = "--summary-to"
"""The option of `publius show` that writes the table."""
SUMMARY_COLUMNS = {
    "group": "string",
    "name": "string",
    "measure": "string",
    "value": "float64",
    "low": "float64",
    "high": "float64",
    "n": "int64",
}
"""Columns of the table with their types."""


class SummaryFigure(NamedTuple):
    """One number of a run's labels."""

    group: str
    """What the number is of: `all`, `certainty`, `principle`, `tag`, `source`, `answers`, `length`, `split`,
    `judgments` or `excluded`."""
    name: str
    """Which of the group, such as a principle."""
    measure: str
    value: float
    low: float | None = None
    """Ends of the 95 % interval; only shares of pairs have one."""
    high: float | None = None
    n: int | None = None
    """Pairs that a mean or a share is of; of a source, its judgments."""


def write_summary_table(folder: Path, to: Path, conditions: PreferenceFilter) -> WrittenTable:
    """Write the figures of a run's labels as a table, one row for each number.

    Args:
        folder: a run folder.
        to: a new `.csv` or `.parquet` file.
        conditions: the preferences to look at.

    Raises:
        ConfigError: if the name has another ending, or a principle is unknown.
        RunStateError: if the file exists, or the run has no preferences.
        DataError: if a record file is damaged, or no preference passes.
        MissingExtraError: if the file is Parquet and pyarrow is not installed.
    """
    require_table_name(to, SUMMARY_TO)
    overview = read_overview(folder, conditions, 0)
    if not overview.figures.all.pairs:
        raise RunStateError("the run has no preferences yet", where=str(folder), run="publius run RUN.yaml")
    rows = (figure._asdict() for figure in summary_figures(overview))
    counts = write_rows(to, rows, SUMMARY_COLUMNS)
    return WrittenTable(to, counts.rows, tuple(SUMMARY_COLUMNS), counts.quoted, overview.left_out)


def summary_figures(overview: RunOverview) -> Iterator[SummaryFigure]:
    """Yield the numbers that `publius show RUN` prints of labels; shares with 95 % Wilson intervals.

    The intervals take pairs for independent: several pairs of one prompt make them too narrow.
    """
    figures = overview.figures
    yield from _tally("all", "all", figures.all)
    yield from _certainty(figures)
    yield from _principles(figures, overview.judged, overview.principles)
    for name, tally in figures.tags.items():
        yield from _tally("tag", name, tally)
    yield from _sources(overview.judged)
    yield from _lengths(figures)
    for group, counts in (("answers", figures.answers), ("split", figures.splits)):
        yield from (SummaryFigure(group, name, "pairs", count) for name, count in counts.most_common())
    yield from (SummaryFigure("judgments", "all", name, value) for name, value in overview.labels.items())
    for stage, entry in overview.stages.items():
        for reason, count in entry["left_out"].items():
            yield SummaryFigure("excluded", stage, reason, count)


def _tally(group: str, name: str, tally: PairTally) -> Iterator[SummaryFigure]:
    yield SummaryFigure(group, name, "pairs", tally.pairs)
    yield SummaryFigure(group, name, "ties", tally.ties)
    yield SummaryFigure(group, name, "mean_p", tally.mean_p, n=tally.pairs)


def _certainty(figures: PreferenceFigures) -> Iterator[SummaryFigure]:
    names = ("tie", *(f"up to {edge:g}" for edge in EDGES))
    for name, count in zip(names, figures.certainty, strict=True):
        yield SummaryFigure("certainty", name, "pairs", count)
        yield from _share("certainty", name, "share", count, figures.all.pairs)


def _principles(
    figures: PreferenceFigures, judged: JudgmentFigures, known: list[str]
) -> Iterator[SummaryFigure]:
    for name, tally in figures.ordered_principles(known).items():
        yield from _tally("principle", name, tally)
        yield SummaryFigure("principle", name, "for", tally.agrees)
        yield SummaryFigure("principle", name, "against", tally.against)
        yield from _share("principle", name, "for_share", tally.agrees, tally.agrees + tally.against)
        if (check := judged.checks.get(name)) is not None:
            yield from (SummaryFigure("principle", name, key, n) for key, n in check.as_json().items())
    if figures.unprincipled:
        yield SummaryFigure("principle", "none", "pairs", figures.unprincipled)


def _sources(judged: JudgmentFigures) -> Iterator[SummaryFigure]:
    for name, tally in judged.by_size().items():
        counts: Mapping[str, int] = {
            "pairs": tally.pairs,
            "decided_pairs": len(tally.decided),
            "judgments": tally.judgments,
        }
        yield from (SummaryFigure("source", name, key, count) for key, count in counts.items())
        yield SummaryFigure("source", name, "for", tally.agrees)
        yield SummaryFigure("source", name, "against", tally.against)
        if tally.mean_p is not None:
            yield SummaryFigure("source", name, "mean_p", tally.mean_p, n=tally.agrees + tally.against)


def _lengths(figures: PreferenceFigures) -> Iterator[SummaryFigure]:
    lengths = figures.lengths
    for name, words, longer in (
        ("chosen", lengths.chosen, lengths.chosen_longer),
        ("rejected", lengths.rejected, lengths.rejected_longer),
    ):
        if lengths.pairs:
            yield SummaryFigure("length", name, "mean_words", words / lengths.pairs, n=lengths.pairs)
        yield from _share("length", name, "longer_share", longer, lengths.pairs)
    yield SummaryFigure("length", "all", "answers_cut_off", figures.cut_off)


def _share(group: str, name: str, measure: str, count: int, of: int) -> Iterator[SummaryFigure]:
    if of:
        share = wilson(count / of, of)
        yield SummaryFigure(group, name, measure, share.value, share.low, share.high, of)

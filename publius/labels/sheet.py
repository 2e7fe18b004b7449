"""`publius select --sheet`: comparisons as a blind sheet that a person fills in with a spreadsheet.

The sheet does not say where an answer comes from, or which one the machines prefer. `publius import labels`
reads it back as it is (`labelers/formats/tools/sheets.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.digests import derive_uniform
from core.errors import ConfigError, RunStateError
from core.records import Comparison
from core.store.files import is_there, write_stream
from labelers.formats.tools.sheets import BLIND_COLUMNS
from labelers.selection import SelectedComparison
from publius.runs.pairs.tables import TableCounts, conversation_text, csv_parts
from publius.runs.reader import RunReader


@dataclass(frozen=True)
class WrittenSheet:
    """A sheet that was written."""

    path: Path
    rows: int
    quoted: int
    """Cells that begin with an apostrophe, so that no spreadsheet runs them as formulas."""


def require_sheet_name(to: Path) -> None:
    """Refuse a sheet that cannot be written.

    Raises:
        ConfigError: if the name does not end in .csv.
        RunStateError: if the file exists: it may have people's decisions in it.
    """
    if to.suffix.lower() != ".csv":
        raise ConfigError(
            f"a sheet cannot be written as {to.suffix or 'a file without an ending'}",
            where=f"--sheet {to}",
            accepted="a name that ends in .csv, which spreadsheets open",
        )
    if is_there(to):
        raise RunStateError("path already exists", where=f"--sheet {to}", accepted="a new file")


def write_sheet(folder: Path, questions: Sequence[SelectedComparison], to: Path) -> WrittenSheet:
    """Write comparisons of a run as a blind sheet, in the order of the questions.

    Which answer is on the left depends on the comparison's id alone, so it is the same whenever it is asked.

    Args:
        folder: a run folder.
        questions: comparisons of the run.
        to: a new `.csv` file, in UTF-8 with the mark by which spreadsheets recognise it.

    Raises:
        ConfigError: if the name has another ending.
        RunStateError: if the file exists or cannot be written.
    """
    require_sheet_name(to)
    counts = TableCounts()
    with RunReader(folder) as run:

        def rows() -> Iterator[dict[str, Any]]:
            for question in questions:
                yield _row(run.comparisons.get(question.comparison_id))

        write_stream(to, csv_parts(rows(), dict.fromkeys(BLIND_COLUMNS, "string"), counts))
    return WrittenSheet(to, counts.rows, counts.quoted)


def _row(comparison: Comparison) -> dict[str, Any]:
    answers = (comparison.response_a, comparison.response_b)
    first, second = answers if derive_uniform("sheet", comparison.id) < 0.5 else answers[::-1]
    prompt = conversation_text(comparison.prompt.messages)
    return {"id": comparison.id, "prompt": prompt, "answer_1": first, "answer_2": second}

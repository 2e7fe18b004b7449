"""Preferences as a table for spreadsheets and data frames: CSV or Parquet, one row for each pair."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from core.errors import ConfigError, RunStateError
from core.lazy import require
from core.records import Message, Preference
from core.store.files import is_there, write_stream
from core.store.scan import scan_records
from labelers.ai import AI_LABELER
from labelers.formats.tools.sheets import FORMULA
from publius.config.stand_ins import made_up
from publius.runs.manifest import read_manifest
from publius.runs.pairs.caveats import scripted_roles
from publius.runs.pairs.filters import LeftOut, PreferenceFilter
from publius.runs.pairs.table_columns import MADE_UP, OWN, PREFIX, marked, plain_headings, table_columns
from publius.runs.reader import RecordsReader

_EXTRA = "train"
_BATCH = 1000
_COLUMNS = {
    "id": "string",
    "p_chosen": "float64",
    "prompt": "string",
    "chosen": "string",
    "rejected": "string",
    "words_chosen": "int64",
    "words_rejected": "int64",
    "tags": "string",
    "sources": "string",
    "split": "string",
    "weight": "float64",
    "origin_chosen": "string",
    "origin_rejected": "string",
    "comparison_id": "string",
}
"""Columns of every table with their types."""
_Row = dict[str, Any]


@dataclass(frozen=True)
class WrittenTable:
    """A table that was written."""

    path: Path
    rows: int
    columns: tuple[str, ...]
    quoted: int
    """Cells of a CSV file that begin with an apostrophe, so that no spreadsheet runs them as formulas."""
    left_out: Mapping[str, int]
    """Number of preferences that are not in it, by reason."""
    is_plain: bool = False
    """True if it has plain columns: without ids, and with rounded probabilities."""
    made_up: str = ""
    """Texts or labels of the run that the scripted engine made up, as a clause; empty if none."""
    of: Literal["preferences", "answers"] = "preferences"
    """The rows: pairs of answers with their labels, or the answers of an evaluation."""

    def as_json(self) -> dict[str, Any]:
        """Return the numbers of rows and columns."""
        return {
            "path": str(self.path),
            "rows": self.rows,
            "columns": list(self.columns),
            "quoted": self.quoted,
            "left_out": dict(self.left_out),
            "of": self.of,
            **({"made_up": self.made_up} if self.made_up else {}),
        }


def write_table(
    folder: Path,
    to: Path,
    conditions: PreferenceFilter,
    principles: Sequence[str],
    wanted: Sequence[str] | None = None,
) -> WrittenTable:
    """Write the preferences of a run as a table.

    All columns are those of `_COLUMNS`, then `p:PRINCIPLE` for each principle, then the user's own columns of
    the prompts, with ` (own)` after a name that is one of ours.

    Args:
        folder: a run folder.
        to: a new `.csv` or `.parquet` file.
        conditions: the preferences to write.
        principles: the principles that preferences may be judged under, in the order of the columns.
        wanted: names of columns, or `all`; None for plain columns in CSV, and all of them in Parquet.

    Raises:
        ConfigError: if the name has another ending, or there is no column of a name.
        RunStateError: if the file exists, or the folder is not a run folder.
        DataError: if no preference passes.
        MissingExtraError: if the file is Parquet and pyarrow is not installed.
    """
    ending = require_table_name(to)
    manifest = read_manifest(folder)
    carried: dict[str, str] = manifest["prompts"]["carried"]
    roles = scripted_roles(folder, manifest)
    said = made_up(roles)
    types = {**_COLUMNS, **{f"{PREFIX}{name}": "float64" for name in principles}}
    if said:
        types[MADE_UP] = "string"
    named = {name: f"{name}{OWN}" if name in types else name for name in carried}
    types |= {named[name]: dtype for name, dtype in carried.items()}
    plain = plain_headings(types, named.values()) if ending == ".csv" and wanted is None else None
    columns = table_columns(types, wanted, plain)
    types = columns.types(types)
    left_out = LeftOut(conditions)
    is_labeler = columns.is_plain and "labeler" in roles
    with ExitStack() as stack:
        files = stack.enter_context(RecordsReader(folder)) if carried else None
        rows = (
            columns.row(_row(preference, is_labeler, said) | _own(files, named, preference))
            for preference in left_out.passing(scan_records(folder / "preferences.jsonl", Preference))
        )
        counts = write_rows(to, rows, types)
    return WrittenTable(
        to, counts.rows, tuple(types), counts.quoted, left_out.reasons, columns.is_plain, said
    )


def write_rows(to: Path, rows: Iterable[_Row], types: Mapping[str, str]) -> TableCounts:
    """Write rows to a new file, as CSV or Parquet by its ending, and return their counts.

    Args:
        to: a name that `require_table_name` has passed.
        rows: the rows.
        types: the columns with their types.
    """
    counts = TableCounts()
    write_stream(to, (csv_parts if to.suffix.lower() == ".csv" else _parquet)(rows, types, counts))
    return counts


def require_table_name(to: Path, option: str = "--to") -> str:
    """Return the ending of a table that can be written; `option` is what names it on the command line.

    Raises:
        ConfigError: if the name has another ending.
        RunStateError: if the file exists.
    """
    ending = to.suffix.lower()
    if ending not in (".csv", ".parquet"):
        raise ConfigError(
            f"a table cannot be written as {ending or 'a file without an ending'}",
            where=f"{option} {to}",
            accepted="a name that ends in .csv or .parquet",
        )
    if is_there(to):
        raise RunStateError("path already exists", where=f"{option} {to}", accepted="a new file")
    if ending == ".parquet":
        require("pyarrow.parquet", _EXTRA)
    return ending


@dataclass
class TableCounts:
    """Counts of a table while it is written."""

    rows: int = 0
    quoted: int = 0


def _row(preference: Preference, labels_made_up: bool, said: str) -> _Row:
    chosen, rejected = (side[-1].content for side in (preference.chosen, preference.rejected))
    return {
        "id": preference.id,
        "p_chosen": preference.p_chosen,
        "prompt": conversation_text(preference.prompt),
        "chosen": chosen,
        "rejected": rejected,
        "words_chosen": len(chosen.split()),
        "words_rejected": len(rejected.split()),
        "tags": ", ".join(preference.tags),
        "sources": ", ".join(
            marked(name, is_made_up=labels_made_up and name == AI_LABELER)
            for name in sorted(preference.sources)
        ),
        MADE_UP: said,
        "split": preference.split or "",
        "weight": preference.weight,
        "origin_chosen": preference.origin_chosen,
        "origin_rejected": preference.origin_rejected,
        "comparison_id": preference.comparison_id,
        **{f"{PREFIX}{name}": p for name, p in preference.by_principle.items()},
    }


def conversation_text(messages: Sequence[Message]) -> str:
    """Return a conversation as one text: a single message as it is, several with their roles."""
    if len(messages) == 1:
        return messages[0].content
    return "\n\n".join(f"{message.role}: {message.content}" for message in messages)


def _own(files: RecordsReader | None, named: Mapping[str, str], preference: Preference) -> _Row:
    """Return the user's columns of a pair or of its prompt, by the names in the table."""
    if files is None:
        return {}
    values = files.own_columns(preference.comparison_id, preference.prompt_id)
    return {column: values.get(name) for name, column in named.items()}


def csv_parts(rows: Iterable[_Row], types: Mapping[str, str], counts: TableCounts) -> Iterator[bytes]:
    """Yield the parts of a CSV file in UTF-8, with the mark by which spreadsheets recognise it."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(types)
    yield codecs.BOM_UTF8
    for row in rows:
        writer.writerow([_cell(row.get(name), counts) for name in types])
        counts.rows += 1
        if counts.rows % _BATCH == 0:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


def _cell(value: Any, counts: TableCounts) -> Any:
    """Return a cell that no spreadsheet takes for a formula: texts of models must not be run."""
    if isinstance(value, str) and value.startswith(FORMULA):
        counts.quoted += 1
        return "'" + value
    return "" if value is None else value


def _parquet(rows: Iterable[_Row], types: Mapping[str, str], counts: TableCounts) -> Iterator[bytes]:
    """Yield the parts of a Parquet file, a group of rows at a time."""
    arrow, parquet = require("pyarrow", _EXTRA), require("pyarrow.parquet", _EXTRA)
    kinds = {"float64": arrow.float64(), "int64": arrow.int64(), "bool": arrow.bool_()}
    schema = arrow.schema([(name, kinds.get(dtype, arrow.string())) for name, dtype in types.items()])
    sink, waiting = _Handed(), iter(rows)
    with parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        while batch := list(islice(waiting, _BATCH)):
            columns = [[row.get(name) for row in batch] for name in types]
            writer.write_table(arrow.table(columns, schema=schema))
            counts.rows += len(batch)
            yield sink.take()
    yield sink.take()


class _Handed(io.RawIOBase):
    """A file whose content is taken away as it is written."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._length = 0

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> int:
        """Append bytes."""
        piece = bytes(data)
        self._pieces.append(piece)
        self._length += len(piece)
        return len(piece)

    def tell(self) -> int:
        """Return the number of bytes written so far, those taken away too."""
        return self._length

    def take(self) -> bytes:
        """Return the bytes since the last call."""
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken

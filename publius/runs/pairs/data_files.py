"""Data files of an exported data set: JSON lines, or Parquet with the same columns."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from core.errors import ConfigError
from core.lazy import require
from core.text.explain import one_of

DataForm = Literal["jsonl", "parquet"]
DATA_FORMS: tuple[DataForm, ...] = ("jsonl", "parquet")
"""Forms of the data files, each the ending of their names."""
Feature = Mapping[str, Any]
"""A column and its type, as in a data set card: `name`, and `dtype`, `list` or `struct`."""
_EXTRA = "train"
_BATCH = 1000
"""Rows of a group in a Parquet file."""


class DataFile(Protocol):
    """A file that takes rows, one at a time."""

    def write(self, row: Mapping[str, Any]) -> None:
        """Write a row."""
        ...

    def close(self) -> None:
        """Write what is left, and close the file."""
        ...


def data_form(given: str, configurations: Collection[str] = ()) -> DataForm:
    """Return the form of that name. Raises ConfigError if there is none.

    Args:
        given: the name.
        configurations: parts of every data set, which are no forms of its files.
    """
    for form in DATA_FORMS:
        if form == given:
            return form
    accepted = one_of(DATA_FORMS, given)
    if given in configurations:
        accepted += f'; {given} is a part of every data set, without --format: load_dataset(DIR, "{given}")'
    raise ConfigError(f"found {given!r}", where="--format", accepted=accepted)


def open_data_file(path: Path, form: DataForm, features: Sequence[Feature]) -> DataFile:
    """Return a new file in a form.

    Args:
        path: the file to create.
        form: its form.
        features: the columns with their types, which Parquet needs before the first row.

    Raises:
        MissingExtraError: pyarrow is needed and not installed.
        OSError: the file cannot be created.
    """
    return _JsonLines(path) if form == "jsonl" else _Parquet(path, features)


class _JsonLines:
    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")

    def write(self, row: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def close(self) -> None:
        self._file.close()


class _Parquet:
    """A Parquet file that is written a group of rows at a time."""

    def __init__(self, path: Path, features: Sequence[Feature]) -> None:
        self._arrow, parquet = require("pyarrow", _EXTRA), require("pyarrow.parquet", _EXTRA)
        self._schema = self._arrow.schema([(one["name"], self._type(one)) for one in features])
        self._writer = parquet.ParquetWriter(path, self._schema, compression="zstd")
        self._waiting: list[Mapping[str, Any]] = []

    def write(self, row: Mapping[str, Any]) -> None:
        self._waiting.append(row)
        if len(self._waiting) == _BATCH:
            self._flush()

    def close(self) -> None:
        try:
            if self._waiting:
                self._flush()
        finally:
            self._writer.close()

    def _flush(self) -> None:
        self._writer.write_table(self._arrow.Table.from_pylist(self._waiting, schema=self._schema))
        self._waiting.clear()

    def _type(self, feature: Feature) -> Any:
        """Return the Arrow type of a column."""
        if "struct" in feature:
            return self._struct(feature["struct"])
        held = feature.get("list")
        if held is not None:
            return self._arrow.list_(self._arrow.string() if held == "string" else self._struct(held))
        kinds = {"float64": self._arrow.float64(), "int64": self._arrow.int64(), "bool": self._arrow.bool_()}
        return kinds.get(feature["dtype"], self._arrow.string())

    def _struct(self, features: Sequence[Feature]) -> Any:
        return self._arrow.struct([(one["name"], self._type(one)) for one in features])

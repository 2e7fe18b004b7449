"""The rows of a data set: from a file, from a folder, or from the Hugging Face hub.

Files of JSON are read here, line by line, so that a mistake is told with its line. Everything else goes
through `datasets.load_dataset`, which knows Parquet, CSV, the hub, and folders with a card such as those that
`publius export` writes.
"""

from __future__ import annotations

import contextlib
from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NoReturn

import yaml

from core.digests import file_digest
from core.errors import DataError, type_and_first_line
from core.lazy import require
from core.libraries import quiet_datasets
from core.store.files import os_errors
from core.store.jsonl import Unreadable, json_value, opened, read_errors, rows

_EXTRA = "train"
_JSON = (".jsonl", ".jsonl.gz", ".json")
_TABLES: dict[str, dict[str, Any]] = {
    "parquet": {},
    "csv": {"na_values": [""], "keep_default_na": False},  # an answer may be the word "None" or "NA"
}
_SPLITS = {"train": ("train",), "evaluate": ("validation", "test", "train")}
_SPLIT_OPTIONS = {"train": "--split", "evaluate": "--eval-split"}
_ACCEPTED = "a .jsonl, .json, .parquet or .csv file, a data set folder, or a Hugging Face id"


@dataclass(frozen=True, slots=True)
class DataSource:
    """What to read."""

    name: str
    """Path of a file or folder, or a Hugging Face id."""
    subset: str | None = None
    """Configuration of a data set that has several."""
    split: str | None = None
    """As `datasets` names it; `train[:1000]` takes the first thousand rows. If None, `with_split` chooses."""
    purpose: Literal["train", "evaluate"] = "train"
    """What the rows are for."""

    @property
    def path(self) -> Path:
        """The name as a path, whether or not there is one."""
        return Path(self.name).expanduser()


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row as it came."""

    id: str
    """Where it stands: `pairs.jsonl:3`, or `row 3`."""
    values: Any
    """A mapping of columns, if the row is what it should be."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What was read, for the model card."""

    source: DataSource
    rows: int
    digest: str | None
    """SHA-256 of the file, where it is a file."""

    def __str__(self) -> str:
        name = self.source.path.name if self.source.path.exists() else self.source.name
        subset = f", subset {self.source.subset}" if self.source.subset else ""
        split = "" if self.digest else f", split {self.source.split}"
        return f"{name}{subset}{split} ({self.rows:,} row{'' if self.rows == 1 else 's'})"

    def overlaps(self, other: Origin) -> bool:
        """Return whether both are of the same data, and one of them at least is all of it."""
        if self.digest or other.digest:
            return self.digest == other.digest
        own, others = (
            (o.source.name, o.source.subset, *str(o.source.split).split("[")) for o in (self, other)
        )
        return own[:3] == others[:3] and min(len(own), len(others)) == 3


def is_data_file(path: Path) -> bool:
    """Return whether a path has the ending of a file whose rows can be read, whether or not there is one."""
    return path.name.endswith((*_JSON, *(f".{kind}" for kind in _TABLES)))


def with_split(source: DataSource) -> DataSource:
    """Return the source with the split that is read where none was named; a file has none.

    To train on, that is `train`; to evaluate on, the first of `validation`, `test` and `train` that there is.
    The only split of a data set will do whatever its name.

    Raises:
        DataError: if there is no such data set, or it has several splits and none of these.
        MissingExtraError: if the package datasets is needed and not installed.
    """
    with os_errors(source.path):
        if source.split is not None or source.path.is_file():
            return source
    _loader(source)
    with quiet_datasets(_EXTRA):
        splits = _listed(source)[1]
    preferred = _SPLITS[source.purpose]
    found = [name for name in preferred if name in splits] or splits
    if not found:  # whatever the reason is, loading will tell it
        return replace(source, split="train")
    if len(found) > 1 and found[0] not in preferred:
        raise DataError(
            f"none of the splits is called {' or '.join(preferred)}",
            where=source.name,
            accepted=f"{_SPLIT_OPTIONS[source.purpose]} {' or '.join(splits)}",
        )
    return replace(source, split=found[0])


def read_rows(source: DataSource) -> Iterator[SourceRow]:
    """Yield the rows of a data set, in order; `with_split` has named the split.

    Raises:
        DataError: if there is no such data set, subset or split, or a file is not what its name says.
        MissingExtraError: if the package datasets is needed and not installed.
    """
    path = source.path
    with os_errors(path):
        is_file = path.is_file()
    if not is_file:
        yield from _loaded(source)
        return
    if source.subset is not None or source.split not in (None, "train"):
        raise DataError(
            f"a file has no subsets and splits, and {source.subset or source.split!r} was asked for",
            where=str(path),
            accepted=f"no --subset and no {_SPLIT_OPTIONS[source.purpose]} with a file",
        )
    if path.name.endswith(_JSON):
        yield from _json_rows(path)
    else:
        yield from _loaded(source)


def origin_of(source: DataSource, rows: int) -> Origin:
    """Return what was read, once it has been read to its end."""
    return Origin(source, rows, file_digest(source.path) if source.path.is_file() else None)


def _json_rows(path: Path) -> Iterator[SourceRow]:
    """Yield the rows of a file with one JSON object a line, or with one list of objects."""
    with read_errors(path, _ACCEPTED), opened(path) as file:
        first = file.read(1024).removeprefix(BOM_UTF8).lstrip()
        file.seek(0)
        if path.suffix == ".json" and first.startswith(b"["):
            listed = _readable(json_value(file.read().removeprefix(BOM_UTF8)), str(path))
            yield from (SourceRow(f"row {number}", row) for number, row in enumerate(listed, start=1))
            return
        for number, row in rows(file):
            yield SourceRow(f"{path.name}:{number}", _readable(row, f"{path}:{number}"))


def _readable(row: Any, where: str) -> Any:
    """Return a row or document as it is. Raises DataError if it could not be read."""
    if isinstance(row, Unreadable):
        raise DataError(str(row), where=where, accepted="UTF-8 text with one JSON object on each line")
    return row


def _loaded(source: DataSource) -> Iterator[SourceRow]:
    """Yield rows by way of `datasets`."""
    kind, options = _loader(source)
    datasets = require("datasets", _EXTRA)
    errors = (OSError, ValueError, RuntimeError, yaml.YAMLError, datasets.exceptions.DatasetsError)
    with quiet_datasets(_EXTRA):
        try:
            rows = datasets.load_dataset(kind, source.subset, split=source.split or "train", **options)
        except errors as error:
            _explain(source, error)
    yield from (SourceRow(f"row {number}", row) for number, row in enumerate(rows, start=1))


def _loader(source: DataSource) -> tuple[str, dict[str, Any]]:
    """Return what `load_dataset` is to load, and with which options.

    Raises:
        DataError: if there is no such path, or a file of no kind that can be read.
    """
    path = source.path
    kind = path.suffix.removeprefix(".")
    if path.is_file():
        if kind not in _TABLES:
            raise DataError(f"a {path.suffix or 'nameless'} file", where=str(path), accepted=_ACCEPTED)
        return kind, {"data_files": str(path), **_TABLES[kind]}
    if path.is_dir():
        return str(path), {}
    is_path = path.is_absolute() or source.name.startswith((".", "~")) or source.name.count("/") > 1
    if is_path or is_data_file(path):
        raise DataError("no such file or folder", where=source.name, accepted=_ACCEPTED)
    return source.name, {}


def _explain(source: DataSource, error: Exception) -> NoReturn:
    """Raise a DataError that says which subsets or splits there are, or why nothing can be loaded."""
    if isinstance(error, ValueError) and not source.path.is_file():
        subsets, splits = _listed(source)
        if subsets and source.subset not in subsets and (source.subset or len(subsets) > 1):
            what = f"no subset {source.subset!r}" if source.subset else "several subsets, and none was named"
            accepted = f"--subset {' or '.join(subsets)}"
            if source.purpose == "evaluate":
                accepted = "a file, or the data set of --data, whose --subset is taken"
            raise DataError(what, where=source.name, accepted=accepted) from error
        if splits and str(source.split).partition("[")[0] not in splits:
            accepted = f"{_SPLIT_OPTIONS[source.purpose]} {' or '.join(splits)}"
            raise DataError(f"no split {source.split!r}", where=source.name, accepted=accepted) from error
    cause = error.__cause__ or error
    what = f"the data set cannot be loaded ({type_and_first_line(cause)})"
    raise DataError(what, where=source.name, accepted=_ACCEPTED) from error


def _listed(source: DataSource) -> tuple[list[str], list[str]]:
    """Return the subsets of a data set, and the splits of the one that is asked for; empty if unknown."""
    datasets = require("datasets", _EXTRA)
    name = str(source.path) if source.path.is_dir() else source.name
    subsets: list[str] = []
    splits: list[str] = []
    with contextlib.suppress(OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError):
        subsets = datasets.get_dataset_config_names(name)
        splits = datasets.get_dataset_split_names(name, source.subset)
    return subsets, splits

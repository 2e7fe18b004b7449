"""The rows of a data set: from a file, from a folder, or from the Hugging Face hub.

JSON files are read here, line by line, to report a mistake with its line. Everything else goes through
`datasets.load_dataset`, which reads Parquet, CSV, the hub, and folders with a card such as those that
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
    """A data set to read."""

    name: str
    """Path of a file or folder, or a Hugging Face id."""
    subset: str | None = None
    """Configuration of a data set that has several."""
    split: str | None = None
    """As in `datasets`; `train[:1000]` takes the first thousand rows. If None, `with_split` chooses."""
    purpose: Literal["train", "evaluate"] = "train"
    """Use of the rows; it decides the default split."""

    @property
    def path(self) -> Path:
        """The name as a path, which need not exist."""
        return Path(self.name).expanduser()


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row as it was read."""

    id: str
    """Place of the row: `pairs.jsonl:3`, or `row 3`."""
    values: Any
    """A mapping of columns if the row is valid; any other JSON value if not."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The data that was read, for the model card."""

    source: DataSource
    rows: int
    digest: str | None
    """SHA-256 of the file; None if the source is not a file."""

    def __str__(self) -> str:
        name = self.source.path.name if self.source.path.exists() else self.source.name
        subset = f", subset {self.source.subset}" if self.source.subset else ""
        split = "" if self.digest else f", split {self.source.split}"
        return f"{name}{subset}{split} ({self.rows:,} row{'' if self.rows == 1 else 's'})"

    def overlaps(self, other: Origin) -> bool:
        """Return True if both have the same data and at least one of them is all of it."""
        if self.digest or other.digest:
            return self.digest == other.digest
        # A slice such as `train[:10]` adds a fourth part to name, subset and split.
        own, others = (
            (o.source.name, o.source.subset, *str(o.source.split).split("[")) for o in (self, other)
        )
        return own[:3] == others[:3] and min(len(own), len(others)) == 3


def is_data_file(path: Path) -> bool:
    """Return True if a path ends like a file whose rows can be read. It need not exist."""
    return path.name.endswith((*_JSON, *(f".{kind}" for kind in _TABLES)))


def with_split(source: DataSource) -> DataSource:
    """Return the source with the split to read, if none was given. A file has no splits.

    For training, the split is `train`; for evaluation, the first of `validation`, `test` and `train` that
    exists. The only split of a data set is taken whatever its name.

    Raises:
        DataError: if the data set does not exist, or has several splits and none of these.
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
    if not found:  # loading will raise the actual error
        return replace(source, split="train")
    if len(found) > 1 and found[0] not in preferred:
        raise DataError(
            f"no split named {' or '.join(preferred)}",
            where=source.name,
            accepted=f"{_SPLIT_OPTIONS[source.purpose]} {' or '.join(splits)}",
        )
    return replace(source, split=found[0])


def read_rows(source: DataSource) -> Iterator[SourceRow]:
    """Yield the rows of a data set, in order. Its split is as returned by `with_split`.

    Raises:
        DataError: if the data set, subset or split does not exist, or a file is not of the type in its name.
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
            f"a file has no subsets or splits, but {source.subset or source.split!r} was requested",
            where=str(path),
            accepted=f"a file without --subset and {_SPLIT_OPTIONS[source.purpose]}",
        )
    if path.name.endswith(_JSON):
        yield from _json_rows(path)
    else:
        yield from _loaded(source)


def origin_of(source: DataSource, rows: int) -> Origin:
    """Return the origin of rows that were read to the end."""
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
    """Return a row or document unchanged. Raises DataError if it could not be read."""
    if isinstance(row, Unreadable):
        raise DataError(str(row), where=where, accepted="UTF-8 text with one JSON object on each line")
    return row


def _loaded(source: DataSource) -> Iterator[SourceRow]:
    """Yield rows through `datasets`."""
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
    """Return the first argument and the options of `load_dataset`.

    Raises:
        DataError: if the path does not exist, or is a file of a type that cannot be read.
    """
    path = source.path
    kind = path.suffix.removeprefix(".")
    if path.is_file():
        if kind not in _TABLES:
            raise DataError(
                f"unsupported file type: {path.suffix or 'no extension'}", where=str(path), accepted=_ACCEPTED
            )
        return kind, {"data_files": str(path), **_TABLES[kind]}
    if path.is_dir():
        return str(path), {}
    is_path = path.is_absolute() or source.name.startswith((".", "~")) or source.name.count("/") > 1
    if is_path or is_data_file(path):
        raise DataError("no such file or folder", where=source.name, accepted=_ACCEPTED)
    return source.name, {}


def _explain(source: DataSource, error: Exception) -> NoReturn:
    """Raise a DataError that lists the subsets or splits, or gives the reason why loading failed."""
    if isinstance(error, ValueError) and not source.path.is_file():
        subsets, splits = _listed(source)
        if subsets and source.subset not in subsets and (source.subset or len(subsets) > 1):
            what = (
                f"no subset {source.subset!r}"
                if source.subset
                else "the data set has several subsets, and none was given"
            )
            accepted = f"--subset {' or '.join(subsets)}"
            if source.purpose == "evaluate":
                accepted = "a file, or the data set of --data, whose --subset is then used"
            raise DataError(what, where=source.name, accepted=accepted) from error
        if splits and str(source.split).partition("[")[0] not in splits:
            accepted = f"{_SPLIT_OPTIONS[source.purpose]} {' or '.join(splits)}"
            raise DataError(f"no split {source.split!r}", where=source.name, accepted=accepted) from error
    cause = error.__cause__ or error
    what = f"the data set cannot be loaded ({type_and_first_line(cause)})"
    raise DataError(what, where=source.name, accepted=_ACCEPTED) from error


def _listed(source: DataSource) -> tuple[list[str], list[str]]:
    """Return the subsets of a data set and the splits of the requested one. Both are empty if unknown."""
    datasets = require("datasets", _EXTRA)
    name = str(source.path) if source.path.is_dir() else source.name
    subsets: list[str] = []
    splits: list[str] = []
    with contextlib.suppress(OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError):
        subsets = datasets.get_dataset_config_names(name)
        splits = datasets.get_dataset_split_names(name, source.subset)
    return subsets, splits

"""The rows of a data set: from a file, from a folder, or from the Hugging Face hub.

JSON files and tables are read by `core/store/containers.py`, which reports a mistake with its line.
Everything else goes through `datasets`: Parquet, the hub, folders with a card such as those that
`publius export` writes, and folders of `save_to_disk`. Folders of labels have their own reader (people/).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, NoReturn

import yaml

from core.digests import file_digest
from core.errors import DataError, type_and_first_line
from core.lazy import require
from core.libraries import quiet_datasets
from core.store.containers import file_rows, is_read_here, refuse_pointers
from core.store.files import os_errors
from core.store.jsonl import Unreadable
from core.text.special_files import require_regular
from publius.sources.people.folders import is_label_folder, label_folder_digest, label_folder_rows
from publius.sources.splits.partitions import FileOfRows, files_of_rows, places_of

_EXTRA = "train"
_BINARY = (".parquet", ".arrow")
_OTHER_FILES = re.compile(
    r"\.(txt|text|md|gz|bz2|xz|zst|zip|tar|tgz|xlsx?|ods|ya?ml|xml|html?|pdf|db|sqlite3?|feather|pickle|pkl|npz?"
    r"|safetensors|pt|bin|py|log|tab|dat)$",
    re.IGNORECASE,
)
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_SPLITS = {"train": ("train",), "evaluate": ("validation", "test", "train"), "prompts": ("train",)}
_SPLIT_OPTIONS = {"train": "--split", "evaluate": "--eval-split", "prompts": "prompts.split:"}
_ACCEPTED = (
    "a .jsonl, .json, .yaml, .csv, .tsv (each also .gz) or .parquet file, a data set folder, "
    "or a Hugging Face id"
)
_FIRST = 25
"""If none of this many rows can be read, the file is refused."""
_DICT, _STATE, _INFO = "dataset_dict.json", "state.json", "dataset_info.json"
"""Files of a folder that `save_to_disk` of `datasets` wrote."""


@dataclass(frozen=True, slots=True)
class DataSource:
    """A data set to read."""

    name: str
    """Path of a file or folder, or a Hugging Face id."""
    subset: str | None = None
    """Configuration of a data set that has several."""
    split: str | None = None
    """As in `datasets`; `train[:1000]` takes the first thousand rows. If None, `with_split` chooses."""
    purpose: Literal["train", "evaluate", "prompts"] = "train"
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
    """A mapping of columns if the row is valid; any other JSON value, or `Unreadable`, if not."""
    file: str = ""
    """The row's file and its number there, if the data set is a folder of several."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The data that was read, for the model card."""

    source: DataSource
    rows: int
    digest: str | None
    """SHA-256 of the file, or of a label folder's records; None of any other source."""

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
    return is_read_here(path) or path.suffix.lower() in _BINARY


def with_split(source: DataSource) -> DataSource:
    """Return the source with the split to read, if none was given. A file has no splits.

    For training, the split is `train`; for evaluation, the first of `validation`, `test` and `train` that
    exists. The only split of a data set is taken whatever its name.

    Raises:
        DataError: if the data set does not exist, or has several splits and none of these.
        MissingExtraError: if the package datasets is needed and not installed.
    """
    require_regular(source.path)
    with os_errors(source.path):
        if source.split is not None or source.path.is_file() or is_label_folder(source.path):
            return source
    splits = split_names(source)
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


def split_names(source: DataSource) -> list[str]:
    """Return the names of a data set's splits, or none if they are unknown; it is not a file.

    Raises:
        DataError: if the data set does not exist.
        MissingExtraError: if the package datasets is needed and not installed.
    """
    if is_saved(source.path):
        return _saved_splits(source)
    _loader(source)
    with quiet_datasets(_EXTRA):
        return _listed(source)[1]


def rows_of_saved_split(source: DataSource, name: str) -> int | None:
    """Return the number of rows of a split of a saved folder; None for any other data set."""
    if not is_saved(source.path) or not (_saved_folder(source) / _DICT).is_file():
        return None
    return len(require("datasets", _EXTRA).load_from_disk(str(_saved_folder(source) / name)))


def read_rows(source: DataSource) -> Iterator[SourceRow]:
    """Yield the rows of a data set, in order. Its split is as returned by `with_split`.

    Raises:
        DataError: if the data set, subset or split does not exist, or a file is not of the type in its name.
        MissingExtraError: if the package datasets is needed and not installed.
    """
    path = source.path
    require_regular(path)
    with os_errors(path):
        is_file = path.is_file()
    is_labels = is_label_folder(path)
    if not is_file and not is_labels:
        yield from _loaded(source)
        return
    if source.subset is not None or source.split not in (None, "train"):
        raise DataError(
            f"{_whole(is_labels)} has no subsets or splits, "
            f"but {source.subset or source.split!r} was requested",
            where=str(path),
            accepted=f"no --subset and no {_SPLIT_OPTIONS[source.purpose]}",
        )
    if is_labels:
        yield from (SourceRow(place, values) for place, values in label_folder_rows(path))
        return
    if is_read_here(path):
        yield from _file_rows(path)
    else:
        refuse_pointers(path, _ACCEPTED)
        yield from _loaded(source)


def _whole(is_labels: bool) -> str:
    return "a folder of labels" if is_labels else "a file"


def origin_of(source: DataSource, rows: int) -> Origin:
    """Return the origin of rows that were read to the end."""
    if is_label_folder(source.path):
        return Origin(source, rows, label_folder_digest(source.path))
    return Origin(source, rows, file_digest(source.path) if source.path.is_file() else None)


def _file_rows(path: Path) -> Iterator[SourceRow]:
    """Yield the rows of a JSON file or a table.

    Raises:
        DataError: at the first row that cannot be read if none before it and none of some rows after it can.
    """
    rows = _numbered(path)
    first = list(islice(rows, _FIRST))
    if first and all(isinstance(row.values, Unreadable) for row, _ in first):
        row, where = first[0]
        accepted = "UTF-8 text with one JSON object on each line, or a table with one row on each"
        raise DataError(str(row.values), where=where, accepted=accepted)
    yield from (row for row, _ in chain(first, rows))


def _numbered(path: Path) -> Iterator[tuple[SourceRow, str]]:
    """Yield the rows of a file, each with its place for an error."""
    for row in file_rows(path, _ACCEPTED):
        place = f"{path.name}:{row.number}" if row.is_line else f"row {row.number}"
        yield SourceRow(place, row.value), f"{path}:{row.number}" if row.is_line else f"{path}: {place}"


def _loaded(source: DataSource) -> Iterator[SourceRow]:
    """Yield rows through `datasets`, with the names of class labels in place of their numbers."""
    datasets = require("datasets", _EXTRA)
    errors = (OSError, ValueError, RuntimeError, yaml.YAMLError, datasets.exceptions.DatasetsError)
    with quiet_datasets(_EXTRA):
        try:
            if is_saved(source.path):
                rows = _saved(source)
            else:
                kind, options = _loader(source)
                rows = datasets.load_dataset(kind, source.subset, split=source.split or "train", **options)
        except DataError:
            raise
        except errors as error:
            if _is_empty_parquet(source.path):
                return
            _explain(source, error)
    named = {name: kind for name, kind in rows.features.items() if isinstance(kind, datasets.ClassLabel)}
    places = _places(source, len(rows))
    for number, row in enumerate(rows, start=1):
        classes = {name: _class_name(row[name], named[name]) for name in named}
        file, place = next(places, (None, 0))
        if file is None:
            yield SourceRow(f"row {number}", {**row, **classes})
        else:
            values = {**row, **{name: cell for name, cell in file.columns.items() if name not in row}}
            yield SourceRow(f"row {number}", {**values, **classes}, f"{file.name} row {place}")


def _places(source: DataSource, rows: int) -> Iterator[tuple[FileOfRows, int]]:
    """Return the file of each row that is read from a folder, with the row's number in it.

    Nothing is returned for other data sets, or where the files' numbers of rows do not add up.
    """
    if not source.path.is_dir() or is_saved(source.path):
        return iter(())
    datasets = require("datasets", _EXTRA)
    asked = source.split or "train"
    name = asked.partition("[")[0]
    folder = source.path.absolute()
    listed = datasets.load_dataset_builder(str(source.path), source.subset).config.data_files or {}
    files = files_of_rows(folder, [Path(file).absolute() for file in listed.get(name) or ()], _EXTRA)
    total, first, last = sum(file.rows for file in files), 0, None
    if name != asked and files:
        (part,) = datasets.ReadInstruction.from_spec(asked).to_absolute({name: total})
        first, last = part.from_ or 0, part.to
    found = islice(places_of(files), first, last)
    return found if (total if last is None else last) - first == rows else iter(())


def _is_empty_parquet(path: Path) -> bool:
    """Return True for a Parquet file without rows, which `datasets` fails to load."""
    if path.suffix.lower() != ".parquet" or not path.is_file():
        return False
    with contextlib.suppress(OSError, ValueError):
        return bool(require("pyarrow.parquet", _EXTRA).read_metadata(path).num_rows == 0)
    return False


def _class_name(value: Any, label: Any) -> Any:
    """Return the name of a class; None for -1, which stands for no label."""
    is_known = isinstance(value, int) and 0 <= value < label.num_classes
    return label.int2str(value) if is_known else None if value == -1 else value


# Folders of `save_to_disk`


def is_saved(path: Path) -> bool:
    """Return True if a folder was written by `save_to_disk`: a data set, its splits, or several subsets."""
    with os_errors(path):
        own = (path / _DICT).is_file() or ((path / _STATE).is_file() and (path / _INFO).is_file())
        return path.is_dir() and (own or bool(_saved_subsets(path)))


def _saved_subsets(path: Path) -> list[str]:
    """Return the folders of splits inside a folder, as a Distiset has them."""
    return sorted(found.parent.name for found in path.glob(f"*/{_DICT}"))


def _saved_folder(source: DataSource) -> Path:
    """Return the folder of the requested subset. Raises DataError if it does not exist."""
    path, subsets = source.path, _saved_subsets(source.path)
    if (path / _DICT).is_file() or (path / _STATE).is_file():
        if source.subset is not None:
            accepted = "the folder without --subset"
            raise DataError(f"no subset {source.subset!r}", where=source.name, accepted=accepted)
        return path
    if source.subset is None and len(subsets) == 1:
        return path / subsets[0]
    if source.subset not in subsets:
        what = f"no subset {source.subset!r}" if source.subset else "the folder has several subsets"
        raise DataError(what, where=source.name, accepted=f"--subset {' or '.join(subsets)}")
    return path / str(source.subset)


def _saved_splits(source: DataSource) -> list[str]:
    """Return the splits of a saved folder; a single data set has none and is called `train`."""
    folder = _saved_folder(source)
    try:
        return [str(name) for name in json.loads((folder / _DICT).read_text(encoding="utf-8"))["splits"]]
    except FileNotFoundError:
        return ["train"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{_DICT} is damaged", where=str(folder), accepted=_ACCEPTED) from error


def _saved(source: DataSource) -> Any:
    """Return the rows of the requested split or slice of a saved folder."""
    datasets = require("datasets", _EXTRA)
    folder, splits = _saved_folder(source), _saved_splits(source)
    asked = source.split or "train"
    name = asked.partition("[")[0]
    if name not in splits:
        accepted = f"{_SPLIT_OPTIONS[source.purpose]} {' or '.join(splits)}"
        raise DataError(f"no split {asked!r}", where=source.name, accepted=accepted)
    whole = datasets.load_from_disk(str(folder / name if (folder / _DICT).is_file() else folder))
    if name == asked:
        return whole
    (part,) = datasets.ReadInstruction.from_spec(asked).to_absolute({name: len(whole)})
    return whole.select(range(part.from_ or 0, len(whole) if part.to is None else part.to))


def _loader(source: DataSource) -> tuple[str, dict[str, Any]]:
    """Return the first argument and the options of `load_dataset`.

    Raises:
        DataError: if the path does not exist, or is a file of a type that cannot be read.
    """
    path = source.path
    if path.is_file():
        kind = path.suffix.lower()
        if kind not in _BINARY:
            raise DataError(
                f"unsupported file type: {path.suffix or 'no extension'}", where=str(path), accepted=_ACCEPTED
            )
        return kind[1:], {"data_files": str(path)}
    if path.is_dir():
        return str(path), {}
    if os.path.lexists(path):
        raise DataError("the link leads to no file or folder", where=source.name, accepted=_ACCEPTED)
    if is_data_file(path) or _OTHER_FILES.search(source.name) or not _HUB_NAME.fullmatch(source.name):
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

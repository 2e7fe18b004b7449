"""The splits of a data set beside those of a run: found by name, and named where they are not read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from core.lazy import require
from core.text.yaml_writing import yaml_flow
from prompts.rows import is_held_out_name
from prompts.sources import may_be_on_hub
from publius.sources.rows import DataSource, rows_of_saved_split, split_names, with_split

_ORDER = ("test", "held", "hold", "eval", "valid", "dev")
"""Words in names of held-out splits, by which one is taken first."""


def held_out_splits(path: Path | str, subset: str | None = None) -> dict[str, str] | None:
    """Return `prompts.split` of a data set whose splits say by their names what they are for, or None.

    Its split `train`, or its only one that is not held out, is trained on; `test`, or the next of `heldout`,
    `eval`, `validation` and `dev`, is the run's split `test`.

    Raises:
        DataError: if the data set cannot be read.
        MissingExtraError: if the package datasets is needed and not installed.
    """
    names = _names(DataSource(str(path), subset, purpose="prompts"))
    held_out = sorted(filter(is_held_out_name, names), key=_place)
    others = [name for name in names if name not in held_out]
    if not held_out or not others or (len(others) > 1 and "train" not in others):
        return None
    return {"train": "train" if "train" in others else others[0], "test": held_out[0]}


def unread_splits(
    path: Path | str,
    subset: str | None = None,
    split: str | Mapping[Any, str] | None = None,
    *,
    in_run_file: bool = True,
) -> str:
    """Return in one line which splits of a data set are not read; "" if there are none, or some were named.

    Args:
        path: a file, a folder or a Hugging Face id.
        subset: its subset.
        split: `prompts.split`; nothing is said if it is set.
        in_run_file: True to name that setting.
    """
    if split is not None:
        return ""
    source = DataSource(str(path), subset, purpose="prompts")
    names = _names(source)
    if len(names) < 2:
        return ""
    read = str(with_split(source).split)
    line = f"{Path(path).name}: the split {read} was read; others: {described_others(path, {read}, subset)}"
    if not in_run_file:
        return line
    found = held_out_splits(path, subset) or {"train": read, "test": "NAME"}
    return f"{line}; prompts.split names another one, or several: {yaml_flow(found)}"


def described_others(path: Path | str, read: Collection[str], subset: str | None = None) -> str:
    """Return the splits that are not read, with their numbers of rows where no download is needed for it."""
    source = DataSource(str(path), subset, purpose="prompts")
    return ", ".join(f"{name}{_rows(source, name)}" for name in _names(source) if name not in read)


def _rows(source: DataSource, name: str) -> str:
    rows = rows_of_saved_split(source, name)
    return "" if rows is None else f" ({rows:,} row{'' if rows == 1 else 's'})"


def _names(source: DataSource) -> list[str]:
    if source.path.is_file() or not (source.path.exists() or may_be_on_hub(Path(source.name))):
        return []
    require("datasets", "train")
    return split_names(source)


def _place(name: str) -> tuple[int, str]:
    word = next((place for place, word in enumerate(_ORDER) if word in name.casefold()), len(_ORDER))
    return word, name

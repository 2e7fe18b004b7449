"""The splits that rows name in their own column `split`: mapped by `prompts.split`, never mixed silently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.conversations import shown
from core.errors import DataError, RequestError
from core.notices import warn
from core.text.yaml_writing import yaml_flow
from prompts.rows import is_held_out_name, is_validation_name

ALL_SPLITS = "all"
"""In `prompts.split`: the rows of this split get splits of the run as rows of a file do."""


def with_split_of_run(values: Mapping[str, Any], splits: Mapping[Any, str]) -> Mapping[str, Any]:
    """Return a row with the run's split in place of the file's.

    Args:
        values: the row, with the user's columns under our names.
        splits: the word in the row's column `split` for each split of the run, or for `all`.

    Raises:
        RequestError: the row has no such word.
    """
    names = [name for name in values if str(name).strip().casefold() == "split"]
    column = "split" if "split" in names or not names else names[0]
    word = values.get(column)
    for ours, theirs in splits.items():
        if word is not None and str(word).strip() == theirs:
            return {**values, column: None if ours == ALL_SPLITS else ours}
    raise RequestError("the split of the row is not in prompts.split", detail=shown(word))


def check_split_names(names: Mapping[str, int], where: str) -> None:
    """Refuse prompts for development beside test prompts if nothing is for training; warn if something is.

    Args:
        names: rows by the word in their column `split`.
        where: the data set, for the message.

    Raises:
        DataError: `dev` or `validation` would become test prompts beside those of `test`.
    """
    development = [name for name in names if is_validation_name(name)]
    tests = [name for name in names if is_held_out_name(name) and name not in development]
    if not development or not tests:
        return
    found = ", ".join(f"{name} ({rows:,})" for name, rows in names.items())
    if len(names) > len(development) + len(tests):
        warn(
            f"prompts: rows of {' and '.join(development)} are held out as test beside those of "
            f"{' and '.join(tests)} ({found}); prompts.split can name one for each split of the run, as in "
            f"{yaml_flow({'train': 'train', 'test': tests[0]})}"
        )
        return
    example = {"train": development[0], "test": tests[0]}
    raise DataError(
        f"the column split has {found}: {development[0]} and {tests[0]} would both be held out",
        where=where,
        accepted=f"train, preference or test in the rows; or prompts.split: {yaml_flow(example)} in the run "
        f"file (publius init: --split train={development[0]},test={tests[0]})",
    )

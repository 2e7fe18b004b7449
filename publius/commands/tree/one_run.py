"""Commands that take one run: what they say if several run folders are given, as `runs/*` does."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from core.errors import Problem, shell_command
from core.store.files import is_there

_TAKE_ONE = frozenset(
    {
        *("annotate", "chat", "critique", "compare", "eval", "eval-reward", "export", "label", "push"),
        *("run", "sample", "select", "serve", "show", "studio"),
    }
)


def several_runs(arguments: Sequence[str]) -> Problem | None:
    """Return what is wrong if a command that takes one run is given several run folders; None otherwise.

    Args:
        arguments: of the command line, the command first. A folder after an option is that option's value.
    """
    if not arguments or arguments[0] not in _TAKE_ONE:
        return None
    if arguments[0] == "export" and "--project" in arguments:
        return None
    folders = list(_folders(arguments))
    if len(folders) < 2:
        return None
    from publius.runs.manifest import MANIFEST

    runs = [folder for folder in folders if is_there(Path(folder) / MANIFEST)]
    if len(runs) < 2:
        return None
    compare = shell_command("publius", "report", *runs[:3]) + (" ..." if len(runs) > 3 else "")
    listed = ", ".join(runs[:3]) + (", ..." if len(runs) > 3 else "")
    return Problem(
        f"{len(runs)} runs are given ({listed}), and publius {arguments[0]} takes one",
        accepted="the folder of one run",
        run=compare + ", to compare them",
    )


def _folders(arguments: Sequence[str]) -> Iterator[str]:
    for before, given in pairwise(arguments):
        if not before.startswith("--") and not given.startswith("-") and os.path.isdir(given):
            yield given

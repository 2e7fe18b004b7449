"""Custom code: loading the user's functions that a file names as `module:function`, if the user allows it.

People share constitutions with each other, so reading one must be safe. Code that a constitution names runs
only if the user allows it with `publius --allow-code` or `PUBLIUS_ALLOW_CODE=1`. Processes that Publius
starts inherit the environment variable.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from core.digests import digest, file_digest
from core.errors import ConfigError, PubliusError, type_and_first_line

ALLOW_CODE = "PUBLIUS_ALLOW_CODE"
"""Environment variable that allows custom code if its value is 1."""
ALLOW_OPTION = "--allow-code"
ALLOWING = f"publius {ALLOW_OPTION} ..., or set {ALLOW_CODE}=1, once you have read the code"

_FUNCTION = "module:function, with the module next to the constitution or in the current folder"

_folders: ContextVar[tuple[Path, ...]] = ContextVar("folders", default=())
_functions: dict[str, Callable[..., object]] = {}


def allow_code() -> None:
    """Allow custom code in this process and in the processes that it starts."""
    os.environ[ALLOW_CODE] = "1"


def code_is_allowed() -> bool:
    """Return True if code that a file names may run."""
    return os.environ.get(ALLOW_CODE) == "1"


@contextlib.contextmanager
def modules_beside(folder: Path) -> Iterator[None]:
    """Search for modules in a folder before the current folder, within the block.

    The constitution of a run is two folders below the project, in `runs/NAME/`, so its two parent folders are
    searched too. Parent folders of other constitutions are not searched: they may belong to somebody else.
    """
    here = folder.resolve()
    above = here.parents[:2] if (here / "manifest.json").is_file() else ()
    token = _folders.set((here, *above, *_folders.get()))
    try:
        yield
    finally:
        _folders.reset(token)


@contextlib.contextmanager
def foreign_errors(what: Callable[[], str], where: str | None, accepted: str) -> Iterator[None]:
    """Turn an exception that custom code raises in the block into a one-line ConfigError.

    A PubliusError passes unchanged.

    Args:
        what: returns a description of what failed; called only after a failure.
        where: the place that names the code.
        accepted: what would be accepted instead.

    Raises:
        ConfigError: in place of any exception that is not a PubliusError.
    """
    try:
        yield
    except PubliusError:
        raise
    except (Exception, SystemExit) as error:
        reason = type_and_first_line(error)
        raise ConfigError(f"{what()} ({reason})", where=where, accepted=accepted) from error


@contextlib.contextmanager
def importable(entry: EntryPoint) -> Iterator[None]:
    """Make an entry point's module importable from the folder of the file that names it and the current one.

    Raises:
        ImportError: another module of that name has already been imported from elsewhere.
    """
    folders = [str(folder) for folder in (*_folders.get(), Path.cwd())]
    before = list(sys.path)
    sys.path[:0] = folders
    try:
        importlib.invalidate_caches()
        _refuse_namesake(entry.module.partition(".")[0], folders)
        yield
    finally:
        sys.path[:] = before


def function_at(place: str) -> Callable[..., object]:
    """Load and return the function named `module:function`.

    Raises:
        ConfigError: the function does not exist, or its module cannot be imported.
    """
    entry = EntryPoint(place, place, "")
    with foreign_errors(lambda: f"{place} cannot be loaded", None, _FUNCTION), importable(entry):
        function: Any = entry.load()
    if not callable(function):
        raise ConfigError(f"{place} is of type {type(function).__name__}, not a function", accepted=_FUNCTION)
    _functions[place] = function
    return _functions[place]


def known_function(place: str) -> Callable[..., object]:
    """Return the function as it was last loaded; load it if it has not been loaded yet."""
    return _functions.get(place) or function_at(place)


def code_digest(place: str) -> str:
    """Return the SHA-256 of the source files of the module and the function, where they have source files.

    Modules that they import and files that they read are not covered.

    Raises:
        ConfigError: the function does not exist.
    """
    function = inspect.unwrap(function_at(place))
    files = {getattr(sys.modules.get(place.partition(":")[0]), "__file__", None)}
    with contextlib.suppress(TypeError):  # C extensions and callable objects have no source file
        files.add(inspect.getsourcefile(function))
    return digest("code", sorted(file_digest(Path(file)) for file in files if file and Path(file).is_file()))


def _refuse_namesake(name: str, folders: list[str]) -> None:
    """Raise ImportError if another module of that name, imported earlier, would be used in its place."""
    spec = PathFinder.find_spec(name, folders)
    there = getattr(getattr(sys.modules.get(name), "__spec__", None), "origin", None)
    if spec is not None and spec.origin and there and there != spec.origin:
        raise ImportError(f"another module {name} is already imported from {there}; rename {spec.origin}")

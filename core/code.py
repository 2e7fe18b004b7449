"""Functions of the user's that a file names as `module:function`: whether they may run, and where they are.

A constitution is text that people pass on to each other, and reading one must be safe. Code that it names is
run only where the person at the keyboard says so: by `publius --allow-code`, or by `PUBLIUS_ALLOW_CODE=1`,
which processes that Publius starts inherit.
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
"""The environment variable that allows code, when it is 1."""
ALLOW_OPTION = "--allow-code"
ALLOWING = f"publius {ALLOW_OPTION} ..., or set {ALLOW_CODE}=1, once you have read the code"

_FUNCTION = "module:function, a module beside the constitution or in the current folder and a function in it"

_folders: ContextVar[tuple[Path, ...]] = ContextVar("folders", default=())
_functions: dict[str, Callable[..., object]] = {}


def allow_code() -> None:
    """Allow code in this process and in those that it starts."""
    os.environ[ALLOW_CODE] = "1"


def code_is_allowed() -> bool:
    """Return whether code that a file names may run."""
    return os.environ.get(ALLOW_CODE) == "1"


@contextlib.contextmanager
def modules_beside(folder: Path) -> Iterator[None]:
    """Have modules looked for in a folder before the current one, within the block.

    A run's constitution stands two folders below the project, in `runs/NAME/`, so for one of a run these are
    searched too. For no other: what lies above a constitution is somebody else's.
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
    """Tell in one line what foreign code raises in the block; our own mistakes are not to be hidden so.

    Args:
        what: says what failed, once it has.
        where: the place that names the code.
        accepted: what would do.

    Raises:
        ConfigError: in place of anything that is no error of ours.
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
    """Have the module of an entry point found beside the file that names it, and in the current folder.

    Raises:
        ImportError: another module of that name has been imported from elsewhere.
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
    """Return the function that is called `module:function`.

    Raises:
        ConfigError: there is none, or its module cannot be imported.
    """
    entry = EntryPoint(place, place, "")
    with foreign_errors(lambda: f"{place} cannot be loaded", None, _FUNCTION), importable(entry):
        function: Any = entry.load()
    if not callable(function):
        raise ConfigError(f"{place} is no function but of type {type(function).__name__}", accepted=_FUNCTION)
    _functions[place] = function
    return _functions[place]


def known_function(place: str) -> Callable[..., object]:
    """Return the function of that place as it was last loaded; it is loaded now if it never was."""
    return _functions.get(place) or function_at(place)


def code_digest(place: str) -> str:
    """Return the SHA-256 of the source of the module and of the function, where they are files.

    What these import, and what they read, is not covered.

    Raises:
        ConfigError: there is no such function.
    """
    function = inspect.unwrap(function_at(place))
    files = {getattr(sys.modules.get(place.partition(":")[0]), "__file__", None)}
    with contextlib.suppress(TypeError):  # what is written in C, or is no function at all, has no source
        files.add(inspect.getsourcefile(function))
    return digest("code", sorted(file_digest(Path(file)) for file in files if file and Path(file).is_file()))


def _refuse_namesake(name: str, folders: list[str]) -> None:
    """Refuse a module of the user's that an imported one of the same name would stand in for."""
    spec = PathFinder.find_spec(name, folders)
    there = getattr(getattr(sys.modules.get(name), "__spec__", None), "origin", None)
    if spec is not None and spec.origin and there and there != spec.origin:
        raise ImportError(f"the module {name} of {there} is in its place; give {spec.origin} another name")

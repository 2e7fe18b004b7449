"""Errors and output of the libraries that load and write models: errors in one line, output turned off.

transformers, peft and safetensors raise OSError, ValueError, RuntimeError, KeyError and SafetensorError alike
when a file is damaged, does not fit or cannot be written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from core.errors import EngineError, PubliusError, RunStateError, first_line, type_and_first_line
from core.lazy import require

_EXTRA = "transformers"


@contextlib.contextmanager
def load_errors(part: str, folder: Path, accepted: str | None = None) -> Iterator[None]:
    """Turn what the libraries raise while they load from a folder into an EngineError.

    Args:
        part: what is loaded, such as `model` or `adapter`.
        folder: where it is.
        accepted: what could be loaded.

    Raises:
        EngineError: in place of their errors.
    """
    safetensors = require("safetensors", _EXTRA)
    try:
        yield
    except (OSError, ValueError, RuntimeError, KeyError, safetensors.SafetensorError) as error:
        raise unloadable(part, folder, error, accepted) from error


def unloadable(part: str, folder: Path, error: Exception, accepted: str | None = None) -> EngineError:
    """Return the error that says in one line what could not be loaded from a folder, and why."""
    reason = f"the {part} cannot be loaded ({type_and_first_line(error)})"
    return EngineError(reason, where=str(folder), accepted=accepted)


@contextlib.contextmanager
def write_errors(
    part: str,
    path: Path,
    disk: Path,
    *,
    after: str = "",
    also: tuple[type[Exception], ...] = (),
    is_writing: Callable[[], bool] = lambda: True,
) -> Iterator[None]:
    """Turn what torch and safetensors raise when a file cannot be written into a RunStateError.

    They raise all kinds of RuntimeError then, so the text does not tell, only where it happened.

    Args:
        part: what is written, such as `checkpoint`.
        path: where to.
        disk: a path on the disk whose free space is to be looked at.
        after: what to add about what is left.
        also: further errors that mean the same in the block.
        is_writing: whether the block was writing when it failed; if not, its error is left as it is.

    Raises:
        RunStateError: in place of their errors; an error of ours is left as it is.
    """
    safetensors = require("safetensors", _EXTRA)
    try:
        yield
    except (safetensors.SafetensorError, RuntimeError, *also) as error:
        if isinstance(error, PubliusError) or not is_writing():
            raise
        raise RunStateError(
            f"the {part} cannot be written ({first_line(error)}){after}",
            where=str(path),
            accepted="free space, and a quota and file-size limit that let the files grow",
            run=f"df -h {disk}",
        ) from error


@contextlib.contextmanager
def quiet_transformers(extra: str) -> Iterator[None]:
    """Turn off the progress bars of transformers for good, and messages below an error in the block."""
    logging = require("transformers", extra).utils.logging
    logging.disable_progress_bar()
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


@contextlib.contextmanager
def quiet_datasets(extra: str) -> Iterator[None]:
    """Turn off the progress bars of datasets for good, and all its messages in the block."""
    datasets = require("datasets", extra)
    before = datasets.logging.get_verbosity()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.logging.set_verbosity(before)

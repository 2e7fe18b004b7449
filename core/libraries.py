"""Wrappers around the libraries that load, run and write models: one-line errors and no progress bars.

transformers, peft and safetensors may raise OSError, ValueError, RuntimeError, KeyError or SafetensorError
when a file is damaged, does not match the model or cannot be written, and ImportError when the kernels of a
quantised model are not installed.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from core.errors import (
    EngineError,
    PubliusError,
    RunStateError,
    first_line,
    shell_command,
    type_and_first_line,
)
from core.lazy import require

_EXTRA = "transformers"
_LESS_TO_LOAD = "a smaller model, narrower weights (dtype: bfloat16), or a device with more free memory"
_OUT_OF_MEMORY = (
    "DefaultCPUAllocator: can't allocate memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
"""Messages of a RuntimeError without memory left. torch has a type of its own for its CUDA allocator only."""


@contextlib.contextmanager
def load_errors(part: str, folder: Path, accepted: str | None = None) -> Iterator[None]:
    """Turn the libraries' errors while loading from a folder into an EngineError.

    Args:
        part: the part that is loaded, such as `model` or `adapter`.
        folder: the folder that it is loaded from.
        accepted: what could be loaded instead.

    Raises:
        EngineError: in place of the libraries' errors.
    """
    safetensors = require("safetensors", _EXTRA)
    try:
        yield
    except (ImportError, OSError, ValueError, RuntimeError, KeyError, safetensors.SafetensorError) as error:
        if is_out_of_memory(error):
            raise out_of_memory(error, f"loading the {part}", folder, _LESS_TO_LOAD) from error
        raise unloadable(part, folder, error, accepted) from error


def unloadable(part: str, folder: Path, error: Exception, accepted: str | None = None) -> EngineError:
    """Return a one-line error with the part that could not be loaded from a folder, and the reason."""
    reason = f"the {part} cannot be loaded ({type_and_first_line(error)})"
    return EngineError(reason, where=str(folder), accepted=accepted)


@contextlib.contextmanager
def memory_errors(doing: str, where: str | Path, accepted: str) -> Iterator[None]:
    """Turn running out of memory, on a GPU or in the CPU's memory, into an EngineError.

    Args:
        doing: what needs the memory, such as `training`.
        where: the model or folder.
        accepted: the settings that reduce the memory, with their present values.

    Raises:
        EngineError: in place of torch's errors; all other errors pass unchanged.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise out_of_memory(error, doing, where, accepted) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if torch could not allocate memory on a GPU or in the CPU's memory."""
    if isinstance(error, PubliusError) or not isinstance(error, RuntimeError):
        return False
    kind = require("torch", _EXTRA).OutOfMemoryError
    return isinstance(error, kind) or any(text in str(error) for text in _OUT_OF_MEMORY)


def out_of_memory(error: BaseException, doing: str, where: str | Path, accepted: str) -> EngineError:
    """Return a one-line error with the size that torch tried to allocate and the peak on a GPU."""
    torch = require("torch", _EXTRA)
    facts = []
    if found := re.search(r"tried to allocate ([\d.]+) (bytes|[KMGT]iB)", str(error), re.IGNORECASE):
        size, unit = found.groups()
        facts.append(f"tried to allocate {_gib(float(size)) if unit == 'bytes' else f'{size} {unit}'}")
    if torch.cuda.is_available():
        facts.append(f"peak {_gib(torch.cuda.max_memory_allocated())}")
    known = f" ({'; '.join(facts)})" if facts else ""
    return EngineError(f"out of memory in {doing}{known}", where=str(where), accepted=accepted)


def _gib(size: float) -> str:
    return f"{size / 2**30:.2f} GiB"


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
    """Turn the errors of torch and safetensors when a file cannot be written into a RunStateError.

    The text of their RuntimeError does not identify a failed write; only `is_writing` can.

    Args:
        part: the part that is written, such as `checkpoint`.
        path: the file or folder that it is written to.
        disk: a path on the disk to check for free space.
        after: text to append about the state after the failure.
        also: further exception types that mean a failed write in the block.
        is_writing: returns True if the block was writing when it failed; if not, the error passes unchanged.

    Raises:
        RunStateError: in place of the libraries' errors; a PubliusError passes unchanged.
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
            accepted="free disk space, and a quota and file-size limit that allow the files to grow",
            run=shell_command("df", "-h", disk),
        ) from error


@contextlib.contextmanager
def quiet_transformers(extra: str) -> Iterator[None]:
    """Turn off transformers' progress bars permanently, and its messages below error level in the block."""
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
    """Turn off datasets' progress bars permanently, and all its messages in the block."""
    datasets = require("datasets", extra)
    before = datasets.logging.get_verbosity()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.logging.set_verbosity(before)

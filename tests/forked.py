"""Processes that start in a moment: forked from one that has imported the libraries already.

Imports take a program seconds of processor time before its first line. The process that is forked has only
imported: it has no threads, which a fork would lose, and none of the state of the one that runs the tests.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

_LIBRARIES = ["torch", "transformers.trainer", "peft", "datasets", "trl.trainer.sft_trainer", "accelerate"]
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(_LIBRARIES)


def start(
    work: Callable[..., object], *arguments: object, log: Path | None = None, **environment: str
) -> ForkServerProcess:
    """Start a function of a module in a process of its own, which can be killed.

    Args:
        work: the function; the process imports its module.
        arguments: its arguments.
        log: where the process writes what it prints; nowhere by default.
        environment: variables that are set before the function is called.
    """
    given = (environment, os.fspath(log or os.devnull), work, arguments)
    process = _CONTEXT.Process(target=_run, args=given)
    process.start()
    return process


def _run(environment: dict[str, str], log: str, work: Callable[..., object], arguments: Any) -> None:
    os.environ.update(environment)
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(written, stream)
    work(*arguments)

"""A training process under `publius train --launch`: it leaves its errors to the launcher, and ends with it.

All processes meet the same mistake of a user, in any order, and the launcher ends the others as soon as one
has failed. So none of them prints an error; the launcher prints one of them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

from training.processes import rank

REPORTS = "PUBLIUS_LAUNCH_REPORTS"
"""Environment variable with the folder of the launcher into which workers write their errors."""
_PR_SET_PDEATHSIG = 1


def is_supervised() -> bool:
    """Return True in a process that a launcher of ours started beside others."""
    return REPORTS in os.environ


def report_failure(lines: Iterable[str]) -> None:
    """Write the errors that end this process, one a line, for the launcher to print."""
    with contextlib.suppress(OSError):  # then the launcher prints the exit code
        Path(os.environ[REPORTS], f"{rank()}").write_text("\n".join(lines), encoding="utf-8")


def end_with_launcher() -> None:
    """Have the kernel end this process when the launcher dies, however it does (Linux only).

    Otherwise a launcher killed by SIGKILL would leave a training behind, and the next one in the same folder
    would run beside it.
    """
    if sys.platform == "linux":
        launcher = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != launcher:  # it died before the call
            os._exit(128 + signal.SIGKILL)

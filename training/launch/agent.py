"""The launcher of `publius train --launch`: `python -m training.launch.agent`, with accelerate's arguments.

It does what `accelerate launch` does with the same arguments, but for its end. Its exit code is that of the
process that failed first, whose error it prints in one line, and after Ctrl-C it says so once.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from core.errors import first_line
from core.lazy import require
from core.terminal.inert import inert
from core.terminal.interrupts import INTERRUPTED, exit_code
from training.launch.configurations import LaunchConfig
from training.launch.worker import REPORTS

_CANNOT_START = (ValueError, RuntimeError, OSError, AssertionError, ImportError)
"""Errors of accelerate about arguments, ports and packages."""


def hand_over(launch: LaunchConfig, arguments: Sequence[str]) -> NoReturn:
    """Replace this process by the launcher, which runs `publius` with these arguments in each process."""
    options = ["--config_file", str(launch.path), "--num_processes", f"{launch.processes}"]
    options += ["--num_machines", f"{launch.machines}"]
    if launch.processes > 1:
        options.append("--multi_gpu")  # accelerate's word for several processes, on a CPU too
    if launch.machines == 1 and not launch.has_port:
        options += ["--main_process_port", "0"]  # any that is free
    environment = dict(os.environ)
    if launch.on_cpu:
        environment |= {"ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": ""}
    if sys.path[0] not in ("", os.getcwd()):
        environment["PYTHONSAFEPATH"] = "1"  # `-m` would look for our packages in the current folder first
    command = [sys.executable, "-m", __name__, *options, "-m", "publius", *arguments]
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.execve(sys.executable, command, environment)


def run_launcher(arguments: Sequence[str]) -> int:
    """Start the processes, wait for them and return the exit code."""
    try:
        commands = require("accelerate.commands.launch", "train")
        parsed = commands.launch_command_parser().parse_args(list(arguments))
        args, *_ = commands._validate_launch_command(parsed)
        if not args.multi_gpu:
            _become_the_training(args)
        with tempfile.TemporaryDirectory(prefix="publius-") as folder:
            os.environ[REPORTS] = folder
            return _supervise(commands.multi_gpu_launcher, args, Path(folder))
    except KeyboardInterrupt:  # before torch has installed its own handlers
        return _interrupted(signal.SIGINT)
    except _CANNOT_START as error:
        _print(f"error: accelerate launch: {first_line(error)}")
        return 2


def _become_the_training(args: Any) -> NoReturn:
    """Replace this process by a training in one process, with the environment that accelerate gives it."""
    command, environment = require("accelerate.utils.launch", "train").prepare_simple_launcher_cmd_env(args)
    os.execve(command[0], command, environment)


def _supervise(launcher: Any, args: Any, reports: Path) -> int:
    """Run torch's launcher; return the exit code of the process that failed first, 0 if none did."""
    elastic: Any = require("torch.distributed.elastic.multiprocessing.api", "train")
    errors: Any = require("torch.distributed.elastic.multiprocessing.errors", "train")
    # It reports each failure in thirty lines.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    try:
        launcher(args)
    except errors.ChildFailedError as error:
        rank, failure = error.get_first_failure()
        return _failed(rank, failure.exitcode, args.num_processes, reports)
    except elastic.SignalException as error:
        return _interrupted(error.sigval)
    return 0


def _failed(rank: int, code: int, processes: int, reports: Path) -> int:
    """Print the reported error of a process, or else of another one; return the exit code."""
    for name in (f"{rank}", *sorted(path.name for path in reports.iterdir())):
        if (report := reports / name).is_file():
            for line in report.read_text(encoding="utf-8").splitlines():
                _print(f"error: {inert(line)}")
            return code if code > 0 else 2
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    _print(f"error: process {rank} of {processes} {how}; the last checkpoint is intact")
    return code if code > 0 else exit_code(-code)


def _interrupted(number: int) -> int:
    _print(INTERRUPTED)
    return exit_code(number)


def _print(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(run_launcher(sys.argv[1:]))

"""Commands in this process, where torch is loaded already; `tests.publius.test_cli.publius` starts one."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from pathlib import Path

import pytest

from publius.cli import main

Files = dict[str, tuple[bytes, int]]
"""Content and time of every file below a folder."""


def here(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command as the program does, and return its exit code and what it wrote."""
    command = ["publius", *map(str, arguments)]
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", command)
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            main()
    return subprocess.CompletedProcess(command, int(ended.value.code or 0), out.getvalue(), err.getvalue())


def files_of(folder: Path) -> Files:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def options(*overrides: str) -> list[str]:
    return [part for override in overrides for part in ("--set", override)]

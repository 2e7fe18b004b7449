"""Ctrl-C and SIGTERM while a run works from the cache: one line, a true exit code, and the rest on resume."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.publius.projects import RUN, record_lines, write_project
from tests.publius.test_cli import publius

REPOSITORY = Path(__file__).parents[2]
PROMPTS = int(os.environ.get("PUBLIUS_TEST_INTERRUPTED_PROMPTS", "400"))
TRIES = int(os.environ.get("PUBLIUS_TEST_INTERRUPTIONS", "8"))


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "publius", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def wait_until_it_listens(process: subprocess.Popen[str]) -> None:
    """Wait until the command handles SIGTERM: before that Python has not reached its first line."""
    status, term = Path(f"/proc/{process.pid}/status"), 1 << (signal.SIGTERM - 1)
    while process.poll() is None:
        if not status.exists():
            time.sleep(2)  # a system that does not show what a process handles
            return
        caught = next((line for line in status.read_text().splitlines() if line.startswith("SigCgt")), "x: 0")
        if int(caught.split()[1], 16) & term:
            return
        time.sleep(0.005)


@pytest.mark.long
def test_a_run_from_the_cache_stops_at_any_moment_and_resumes(tmp_path):
    run_file = write_project(tmp_path, PROMPTS, RUN)
    began = time.monotonic()
    assert publius("run", run_file, "--set", "name=calm").returncode == 0
    whole_s, chance = time.monotonic() - began, random.Random(5)
    for number in range(TRIES):
        times, kind = (1, 2, 30)[number % 3], (signal.SIGINT, signal.SIGTERM)[number % 2]
        process = start("run", run_file, "--set", f"name=sibling-{number // 3}")
        wait_until_it_listens(process)
        time.sleep(chance.random() * whole_s / 3)
        for _ in range(times):
            process.send_signal(kind)
            time.sleep(0.002)
        _, errors = process.communicate(timeout=60)
        if process.returncode == 0:
            continue  # done before the signal
        assert process.returncode == 128 + kind, errors
        assert errors.count("interrupted; completed work is saved") == 1
        assert "Traceback" not in errors
        assert "never retrieved" not in errors
    assert publius("run", run_file, "--set", "name=sibling-0").returncode == 0
    calm, sibling = (next((tmp_path / "runs").glob(f"{name}-*")) for name in ("calm", "sibling-0"))
    assert sorted_lines(calm) == sorted_lines(sibling)


def sorted_lines(run: Path) -> dict[str, list[str]]:
    return {name: sorted(lines) for name, lines in record_lines(run).items()}

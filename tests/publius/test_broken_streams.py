"""A full disk, a closed terminal or closed descriptors cost the text alone, not work, files or exit code."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.publius.projects import RUN, record_lines, write_project

REPOSITORY = Path(__file__).parents[2]
SMALL = RUN.replace("rounds: 2", "rounds: 1")


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "publius", *map(str, arguments)]


def start(arguments: list[str], **streams: object) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(arguments, env=environment, **streams)  # type: ignore[call-overload,no-any-return]


def in_shell(redirections: str) -> Callable[[list[str]], int]:
    def run(arguments: list[str]) -> int:
        return start(["bash", "-c", f'exec "$@" {redirections}', "-", *arguments]).wait(60)

    return run


def without_reader(name: str) -> Callable[[list[str]], int]:
    """A pipe whose reader takes one byte and leaves, as `head -c 1` does."""

    def run(arguments: list[str]) -> int:
        ours, theirs = os.pipe()
        both = {"stdout": theirs, "stderr": theirs}
        other = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = start(arguments, **(both if name == "both" else {**other, name: theirs}))
        os.close(theirs)
        if name != "stdout":  # nothing arrives there before the end
            os.read(ours, 1)
        os.close(ours)
        return process.wait(60)

    return run


def closed_terminal(*names: str) -> Callable[[list[str]], int]:
    """A terminal that is closed while the command runs, as for a job that `nohup` or `disown` protects."""

    def run(arguments: list[str]) -> int:
        ours, theirs = pty.openpty()
        streams = {name: theirs if name in names else subprocess.DEVNULL for name in ("stdout", "stderr")}

        def protect() -> None:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

        process = start(arguments, stdin=theirs, preexec_fn=protect, start_new_session=True, **streams)
        os.close(theirs)
        if "stderr" in names:
            os.read(ours, 1)
        os.close(ours)
        return process.wait(60)

    return run


BROKEN: dict[str, Callable[[list[str]], int]] = {
    "full disk for the results": in_shell(">/dev/full"),
    "full disk for the notices": in_shell("2>/dev/full"),
    "full disk for both": in_shell(">/dev/full 2>&1"),
    "closed results": in_shell(">&-"),
    "closed notices": in_shell("2>&-"),
    "both closed": in_shell(">&- 2>&-"),
    "all three closed": in_shell("<&- >&- 2>&-"),
    "results to a reader that left": without_reader("stdout"),
    "notices to a reader that left": without_reader("stderr"),
    "both to a reader that left": without_reader("both"),
    "closed terminal": closed_terminal("stdout", "stderr"),
    "notices on a closed terminal": closed_terminal("stderr"),
}
OFTEN = ("closed terminal",)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    return run_with(tmp_path_factory.mktemp("calm"), in_shell(">/dev/null 2>&1"))


def run_with(folder: Path, streams: Callable[[list[str]], int]) -> dict[str, list[str]]:
    """Run a project and return the sorted lines of its record files."""
    run_file = write_project(folder, 6, SMALL)
    assert streams(command("run", run_file)) == 0
    (run,) = (folder / "runs").iterdir()
    stages = json.loads((run / "manifest.json").read_text())["stages"]
    assert {"critique", "compare", "label"} <= set(stages)
    return {name: sorted(lines) for name, lines in record_lines(run).items()}


@pytest.mark.parametrize(
    "broken", [pytest.param(name, marks=[] if name in OFTEN else pytest.mark.long) for name in BROKEN]
)
def test_broken_streams_cost_the_text_alone(tmp_path, undisturbed, broken):
    assert run_with(tmp_path, BROKEN[broken]) == undisturbed


def test_a_lost_result_is_reported_and_fails_a_command_that_only_prints(tmp_path):
    with open("/dev/full", "w") as full:
        printing = start(command("schema"), stdout=full, stderr=subprocess.PIPE)
        _, errors = printing.communicate(timeout=60)
    assert printing.returncode == 2
    assert errors.decode().startswith("error: standard output: cannot be written (No space left on device)")
    assert len(errors.splitlines()) == 1


@pytest.mark.long
def test_a_command_that_writes_files_succeeds_and_reports_the_lost_text(tmp_path):
    with open("/dev/full", "w") as full:
        run = start(command("run", write_project(tmp_path)), stdout=full, stderr=subprocess.PIPE)
        _, errors = run.communicate(timeout=60)
    assert run.returncode == 0
    assert "warning: standard output: cannot be written (No space left on device)" in errors.decode()

"""How a launcher ends: with the error and the exit code of the process that failed first."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from training.launch.agent import _failed, run_launcher
from training.launch.worker import REPORTS, is_supervised, report_failure


def test_a_worker_leaves_its_errors_to_the_launcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.delenv(REPORTS, raising=False)
    assert not is_supervised()
    monkeypatch.setenv(REPORTS, str(tmp_path))
    for number, line in enumerate(("no pairs\x1b[2J", "no folder")):
        monkeypatch.setenv("RANK", f"{number}")
        report_failure([line])
    assert is_supervised()
    assert _failed(0, 2, 2, tmp_path) == 2
    assert capsys.readouterr().err == "error: no pairs[2J\n"  # nothing that drives a terminal


def test_a_process_that_was_ended_leaves_the_word_to_the_one_that_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv(REPORTS, str(tmp_path))
    monkeypatch.setenv("RANK", "1")
    report_failure(["the disk is full"])
    assert _failed(0, -signal.SIGTERM, 2, tmp_path) == 2
    assert capsys.readouterr().err == "error: the disk is full\n"


@pytest.mark.parametrize(
    ("code", "told", "exit_code"),
    [(-9, "was ended by SIGKILL", 137), (1, "ended with exit code 1", 1)],
)
def test_a_process_without_a_word_is_named_with_its_end(
    code: int, told: str, exit_code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert _failed(1, code, 4, tmp_path) == exit_code
    assert capsys.readouterr().err == f"error: process 1 of 4 {told}; the last checkpoint is intact\n"


def test_what_accelerate_refuses_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    options = ["--config_file", str(tmp_path / "gone.yaml"), "--num_processes", "1", "-m", "publius"]
    assert run_launcher(options) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: accelerate launch: The passed configuration file")
    assert error.count("\n") == 1

"""Devices, named pipes and sockets are refused at once by every command that reads a file."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.publius.invoking import here
from tests.publius.projects import write_project


@pytest.fixture(autouse=True)
def stop_if_it_hangs() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise AssertionError("the command waits for a special file")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_project(tmp_path, prompts=2)
    os.mkfifo(tmp_path / "fifo.jsonl")
    os.mkfifo(tmp_path / "fifo.yaml")
    os.mkfifo(tmp_path / "fifo.txt")
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        "run {run} --set prompts={special}",
        "run {run} --set constitution={special}",
        "run {special}",
        "check {special}",
        "check {constitution} --prompts {special}",
        "check --run {special}",
        "test {special}",
        "try {special}",
        "diff {special} {constitution}",
        "diff {constitution} {special}",
        "prompts {constitution} -n 2 --to {out}/p.jsonl --seeds-from {special}",
        "label --pairs {special} --constitution {constitution} --model m --to {out}",
        "import labels {special} --to {out}/labels",
        "import constitution {special} --to {out}/c.yaml",
        "train dpo --data {special} --model m --to {out}/dpo",
        "train sft --data {special} --model m --to {out}/sft",
        "eval-reward m --data {special} --to {out}/eval",
    ],
)
@pytest.mark.parametrize("special", ["fifo.jsonl", "fifo.yaml", "fifo.txt", "/dev/zero"])
def test_command_refuses_a_special_file_in_one_line(project: Path, command: str, special: str):
    places = {
        "run": project / "run.yaml",
        "constitution": project / "constitution.yaml",
        "out": project / "out",
        "special": project / special,
    }
    (project / "out").mkdir()
    done = here(*(part.format(**places) for part in command.split()))
    assert done.returncode == 2
    assert "not a file" in done.stderr
    assert not (project / "runs").exists()


def test_socket_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(project)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("s.yaml")
        assert "this is a socket, not a file" in here("check", "s.yaml").stderr


def test_document_and_parent_of_a_constitution_may_not_be_special(project: Path):
    for line in ("extends: fifo.yaml", "document: fifo.txt"):
        (project / "c.yaml").write_text(f"name: c\n{line}\nprinciples: [The reply is kind.]\n")
        done = here("check", project / "c.yaml")
        assert (done.returncode, "fifo." in done.stderr) == (2, True), done.stderr

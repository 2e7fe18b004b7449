"""The commands of docs/human-labels.md print what it says they print."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from labelers.formats.columns import TARGETS
from labelers.formats.registry import BUILT_IN
from tests.docs.transcripts import transcripts
from tests.publius.invoking import here
from tests.publius.test_cli import REPOSITORY

PAGE = (REPOSITORY / "docs" / "human-labels.md").read_text(encoding="utf-8")


def test_the_worked_example_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    monkeypatch.chdir(tmp_path)
    commands = list(transcripts(PAGE))
    assert len(commands) == 3
    for command, expected in commands:
        program, *arguments = shlex.split(command)
        if program == "publius":
            done = here(*arguments)
            printed = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
        else:
            assert arguments[:2] == ["-n", "1"]
            printed = Path(arguments[2]).read_text().splitlines()[:1]
        assert [line for line in expected if line not in printed] == [], command


def test_every_format_and_column_is_documented():
    for source in BUILT_IN:
        assert f"`{source.name}`" in PAGE
    for column in TARGETS:
        assert column in PAGE

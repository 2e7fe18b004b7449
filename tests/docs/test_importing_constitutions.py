"""The commands of docs/importing-constitutions.md print what it says they print."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from constitution.importers.records import ALIASES
from constitution.importers.registry import FORMS
from tests.docs.transcripts import transcripts
from tests.publius.invoking import here
from tests.publius.test_cli import REPOSITORY

PAGE = (REPOSITORY / "docs" / "importing-constitutions.md").read_text(encoding="utf-8")


def test_every_command_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    monkeypatch.chdir(tmp_path)
    commands = list(transcripts(PAGE))
    assert len(commands) >= 8
    for command, expected in commands:
        done = here(*shlex.split(command)[1:])
        assert done.returncode == 0, done.stderr
        printed = [line.strip() for line in done.stdout.splitlines()]
        missing = [line for line in expected if not any(shown.startswith(line) for shown in printed)]
        assert missing == [], command


def test_every_format_and_name_of_a_key_is_documented():
    names = [form.name for form in FORMS] + [alias for aliases in ALIASES.values() for alias in aliases]
    assert [name for name in names if f"`{name}`" not in PAGE] == []

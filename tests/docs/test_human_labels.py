"""The commands of docs/human-labels.md print what it says they print."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from constitution.importers.registry import FORMS
from labelers.formats.columns import TARGETS
from labelers.formats.registry import BUILT_IN
from publius.commands.imports import LABEL_FORMATS
from publius.labels.exporting import LABEL_FORMS
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


def test_help_and_pages_list_the_formats_that_there_are():
    names = {source.name for source in BUILT_IN}
    assert set(LABEL_FORMATS) == names
    assert len(LABEL_FORMATS) == len(BUILT_IN)
    readme, commands = (
        " ".join((REPOSITORY / page).read_text().split()) for page in ("README.md", "docs/commands.md")
    )
    assert f"{len(BUILT_IN)} import formats" in readme
    assert f"{len(BUILT_IN)} formats; every judgment" in commands


def test_the_help_lists_the_forms_of_constitutions_and_exports_that_there_are():
    shown = " ".join(here("import", "constitution", "--help").stdout.replace("│", " ").split())
    assert f"{', '.join(form.name for form in FORMS[:-1])} or {FORMS[-1].name}" in shown
    shown = " ".join(here("export", "--help").stdout.replace("│", " ").split())
    assert f"{', '.join(LABEL_FORMS[:-1])} or {LABEL_FORMS[-1]}" in shown


def test_every_format_and_column_is_documented():
    for source in BUILT_IN:
        assert f"`{source.name}`" in PAGE
    for column in TARGETS:
        assert column in PAGE

"""The command tree, and what the program says before any command."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pytest
import typer.main

from publius.cli import app
from publius.commands.tree.groups import GROUPS, UNGROUPED, UNLISTED
from tests.publius.invoking import here

ROOT: Any = typer.main.get_command(app)


def test_help_lists_each_command_once_below_its_job():
    shown = here("--help").stdout
    titles = [line.removesuffix(":") for line in shown.splitlines() if line.endswith(":") and line[0] != " "]
    assert titles == ["Options", *GROUPS]
    below = shown.partition(f"\n{next(iter(GROUPS))}:\n")[2]
    listed = [line.split()[0] for line in below.splitlines() if line.startswith("  ")]
    assert sorted(listed) == sorted(set(ROOT.commands) - set(UNLISTED))
    order = [name for names in GROUPS.values() for name in names if name in ROOT.commands]
    assert listed == order


def test_a_command_without_a_group_would_be_listed_last():
    assert UNGROUPED not in GROUPS
    assert ROOT.list_commands(None)[: len(ROOT.commands) - len(UNLISTED)] == [
        name for names in GROUPS.values() for name in names if name in ROOT.commands
    ]


@pytest.mark.parametrize("stage", UNLISTED)
def test_commands_of_single_stages_are_there_and_not_listed(stage: str):
    assert ROOT.commands[stage].hidden
    assert here(stage, "--help").returncode == 0


def test_lines_of_the_help_are_whole():
    below = here("--help").stdout.partition("\nRules:\n")[2]
    assert "..." not in below
    assert all(len(line) <= 80 for line in below.splitlines())


@pytest.mark.parametrize("arguments", [("-h",), ("try", "-h"), ("train", "dpo", "-h")])
def test_h_is_help_everywhere(arguments: tuple[str, ...]):
    asked = here(*arguments)
    assert asked.returncode == 0
    assert asked.stdout == here(*arguments[:-1], "--help").stdout
    assert asked.stdout.startswith("Usage: publius ")


def test_the_version_is_printed():
    told = here("--version")
    assert (told.returncode, told.stdout) == (0, f"publius {version('publius')}\n")


def test_without_a_command_the_first_steps_are_printed():
    told = here()
    assert (told.returncode, told.stderr) == (0, "")
    assert "Usage" not in told.stdout
    steps = [line.split()[1] for line in told.stdout.splitlines() if line.startswith("  publius")]
    assert steps == ["doctor", "init", "check", "try", "run", "-h"]
    assert all(len(line) <= 80 for line in told.stdout.splitlines())


def test_a_group_without_a_command_shows_its_help_and_no_error():
    told = here("train")
    assert told.returncode == 2
    assert told.stderr.startswith("Usage: publius train ")
    assert "error" not in told.stderr


def test_a_shell_gets_completions(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("_PUBLIUS_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "publius agr")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert here().stdout.split() == ["agreement"]


def test_help_is_a_command_too():
    assert here("help").stdout == here("--help").stdout
    assert here("help", "train", "dpo").stdout == here("train", "dpo", "--help").stdout

"""The command tree, and who may know how commands are made and printed."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.publius.invoking import here

TOP = Path(__file__).parents[3] / "publius"
COMMANDS = """
init doctor try run critique compare label eval-reward eval show chat export diff annotate models train import
check test schema prompts agreement select
"""


def imported(path: Path) -> set[str]:
    """Return what a module imports, as `module.name` where a name is imported from a module."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def importing(*wanted: str) -> set[str]:
    """Return the modules that import any of these, or from them, as paths below the top room."""
    return {
        str(path.relative_to(TOP))
        for path in TOP.rglob("*.py")
        if any(f"{name}.".startswith(f"{one}.") for name in imported(path) for one in wanted)
    }


def test_help_lists_the_commands_in_their_order():
    lines = here("--help").stdout.partition("Commands:")[2].splitlines()
    assert [line.split()[0] for line in lines if line.strip()] == COMMANDS.split()


def test_only_commands_know_typer():
    assert {path for path in importing("typer") if not path.startswith("commands/")} == {"cli.py"}


def test_only_views_print():
    printing = importing("publius.console.out", "publius.console.heading", "rich")
    assert {path for path in printing if not path.startswith("views/")} == {"console.py"}


@pytest.mark.parametrize("room", ["commands", "views"])
def test_nothing_below_knows_commands_or_views(room: str):
    above = ("commands/", "views/", "cli.py")
    assert {path for path in importing(f"publius.{room}") if not path.startswith(above)} == set()

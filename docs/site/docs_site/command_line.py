"""The reference of the command line as Markdown, from the command tree itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import typer
import typer.main

from publius.cli import app
from publius.commands.settings_help import SettingsCommand
from publius.commands.tree.groups import GROUPS, UNLISTED


@cache
def command_line_reference() -> str:
    """Return a section for each group of commands, and one for those that the help does not list."""
    root: Any = typer.main.get_command(app)
    return "\n".join(_lines(root))


def _lines(root: Any) -> Iterator[str]:
    yield "## Options of all commands\n"
    yield from _table(root, typer.Context(root, info_name="publius"))
    for title, names in {**GROUPS, "One stage of a run": UNLISTED}.items():
        yield f"## {title}\n"
        for name in names:
            yield from _command(root.commands[name], f"publius {name}")


def _command(command: Any, path: str) -> Iterator[str]:
    yield f"### `{path}`\n"
    subcommands: Mapping[str, Any] = getattr(command, "commands", {})
    context = typer.Context(command, info_name=path)
    yield f"```text\n{command.get_usage(context).removeprefix('Usage: ')}\n```\n"
    yield _text(command.help or "") + "\n"
    yield from _table(command, context)
    if isinstance(command, SettingsCommand):
        yield "Its settings are in [Settings of run files](../run-settings.md).\n"
    for name, one in subcommands.items():
        if not one.hidden:
            yield from _command(one, f"{path} {name}")


def _table(command: Any, context: typer.Context) -> Iterator[str]:
    """Yield a table of arguments and options, as the help describes them."""
    records = [parameter.get_help_record(context) for parameter in command.params]
    shown = [record for record in records if record]
    if shown:
        yield "| argument or option | meaning |\n|---|---|"
        for names, meaning in shown:
            yield f"| {_code(names)} | {_text(meaning).replace('|', '&#124;')} |"
        yield ""


def _code(names: str) -> str:
    """Return names as code that a cell of a table may hold."""
    return f"`{names}`".replace("|", "\\|")


def _text(help_text: str) -> str:
    """Return a help text as Markdown: what is marked as code remains so, all else is plain text."""
    parts = re.split(r"(`[^`]+`)", help_text)
    return "".join(part if part.startswith("`") else re.sub(r"([<*_\[\]~])", r"\\\1", part) for part in parts)

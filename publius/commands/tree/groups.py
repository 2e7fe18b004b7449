"""The command tree: commands in groups, by the job that they are for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from typer.core import TyperGroup

GROUPS: Mapping[str, Sequence[str]] = {
    "Rules": ("init", "check", "test", "try", "diff"),
    "Data": ("prompts", "import", "label", "show", "export", "push"),
    "People": ("select", "annotate", "agreement"),
    "Run": ("run", "steer", "runs", "cache"),
    "Train": ("train",),
    "Measure": ("eval", "eval-reward", "audit", "benchmark", "report"),
    "Use": ("studio", "chat", "serve"),
    "Set-up": ("doctor", "models", "schema"),
}
"""Commands by job, in the order of the help. Those in none come last, under `Other`."""
UNLISTED = ("critique", "sample", "compare")
"""Commands that are not listed, since `publius run --only STAGE` does the same."""
UNGROUPED = "Other"


class GroupWithDefault(TyperGroup):
    """A group whose first command is meant where none is named: `runs DIR` is `runs list DIR`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the name of the first command before arguments that name none."""
        asks_help = any(arg in ctx.help_option_names for arg in args)
        if not any(arg in self.commands for arg in args) and not asks_help:
            args = [next(iter(self.commands)), *args]
        return super().parse_args(ctx, args)


class CommandTree(TyperGroup):
    """The root command, whose help lists the commands by job."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands in the order of the help."""
        listed = [name for names in GROUPS.values() for name in names if name in self.commands]
        return [*listed, *(name for name in self.commands if name not in listed)]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each group."""
        names = [name for name in self.list_commands(ctx) if not self.commands[name].hidden]
        grouped = {name for members in GROUPS.values() for name in members}
        others = {UNGROUPED: [name for name in names if name not in grouped]}
        width = max(map(len, names))
        for title, members in (*GROUPS.items(), *others.items()):
            shown = [name for name in members if name in names]
            if shown:
                with formatter.section(title):
                    limit = formatter.width - 6 - width
                    rows = [(name, self.commands[name].get_short_help_str(limit)) for name in shown]
                    formatter.write_dl([(f"{name:<{width}}", said) for name, said in rows])

"""Output of `publius init`, `doctor` and `models pull`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from rich.text import Text

from core.errors import shell_command
from core.notices import note
from engines.embedded import EMBEDDED_NAME
from publius.console import ALARM, out
from publius.doctor import Examination
from publius.runs.project import OWN_LIMIT

_STYLES = {"ok": "", "missing": f"bold {ALARM}", "optional": "dim"}
_STATUS_WIDTH = 10
"""Columns of the status of a finding, below which its further lines are empty."""
_FIRST_STEPS = (
    ("publius doctor", "what is installed, and what is missing"),
    ("publius init DIR", "a new project: rules, prompts and a run file"),
    ("publius check RULES.yaml", "mistakes in the rules, with line and column"),
    ("publius try RULES.yaml", "one prompt: draft, critique, revision, verdict"),
    ("publius run DIR/run.yaml", "critique, label, train and measure"),
    ("publius -h", "all commands, by the job that they are for"),
)


def print_first_steps() -> None:
    """Print what to do first."""
    out.print("Publius steers a language model by a constitution: a YAML file of rules.\n")
    width = max(len(command) for command, _ in _FIRST_STEPS)
    for command, purpose in _FIRST_STEPS:
        out.print(f"  {command:<{width}}  {purpose}", soft_wrap=True)


def print_version() -> None:
    """Print the version of the program."""
    out.print(f"publius {version('publius')}")


def print_templates(folder: Path, written: Sequence[Path]) -> None:
    """Print the template files and how a run uses them."""
    for path in written:
        note(f"wrote {path}")
    note(f"Name the folder in the run file (templates: {folder}); delete the files that you do not change.")


def print_project(
    folder: Path, written: Sequence[Path], constitution: Path | None = None, *, own_prompts: bool = False
) -> None:
    """Print the files of a new project and the commands to continue with.

    Args:
        folder: the project.
        written: its files.
        constitution: the constitution, if it is not one of them.
        own_prompts: True if the prompts are a file of the user's own.
    """
    for path in written:
        note(f"wrote {path}")
    if own_prompts:
        note(f"run.yaml takes at most {OWN_LIMIT} of the prompts (prompts.limit); null takes all")
    tried = constitution or folder / "constitution.yaml"
    for what, command, path in (("Try", "try", tried), ("Run", "run", folder / "run.yaml")):
        line = f"{what} it: publius {command} {shell_command(path)}"
        out.print(line, soft_wrap=True, markup=False)


def print_examination(examination: Examination) -> None:
    """Print a line for each finding, with the command that fixes it, and what the result means."""
    for finding in examination.findings:
        fix = f"; run: {finding.run}" if finding.run else ""
        state = Text(f"{finding.name}: {finding.state}{fix}")
        lines = [state] if out.soft_wrap else state.wrap(out, max(out.width - _STATUS_WIDTH, 20))
        for number, line in enumerate(lines):
            status = "" if number else finding.status
            out.print(Text.assemble((f"{status:<{_STATUS_WIDTH}}", _STYLES[finding.status]), line))
    missing = sum(finding.status == "missing" for finding in examination.findings)
    note("all that is needed is there" if examination.ok else f"{missing} missing: run the commands above")


def print_pulled(folder: Path) -> None:
    """Print the folder of the embedded model."""
    out.print(f"{EMBEDDED_NAME} is ready in {folder}")

"""Output of `publius init`, `doctor` and `models pull`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.errors import shell_command
from core.notices import note
from engines.embedded import EMBEDDED_NAME
from publius.console import out
from publius.doctor import Examination


def print_templates(folder: Path, written: Sequence[Path]) -> None:
    """Print the template files and how a run uses them."""
    for path in written:
        note(f"wrote {path}")
    note(f"Name the folder in the run file (templates: {folder}); delete the files that you do not change.")


def print_project(folder: Path, written: Sequence[Path]) -> None:
    """Print the files of a new project and the commands to continue with."""
    for path in written:
        note(f"wrote {path}")
    for what, command, name in (("Try", "try", "constitution.yaml"), ("Run", "run", "run.yaml")):
        line = f"{what} it: publius {command} {shell_command(folder / name)}"
        out.print(line, soft_wrap=True, markup=False)


def print_examination(examination: Examination) -> None:
    """Print a line for each finding, with the command that fixes it."""
    for finding in examination.findings:
        fix = f"; run: {finding.run}" if finding.run else ""
        out.print(f"{'ok     ' if finding.ok else 'missing'}  {finding.name}: {finding.state}{fix}")


def print_pulled(folder: Path) -> None:
    """Print the folder of the embedded model."""
    out.print(f"{EMBEDDED_NAME} is ready in {folder}")

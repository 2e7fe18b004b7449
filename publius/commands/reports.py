"""The command `publius report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from publius.commands.options import AsJson
from publius.console import emit


def report_(
    folders: Annotated[
        list[Path],
        typer.Argument(
            help="Run folders, and folders of `publius train`. Several runs are compared: those that differ "
            "only in their seed count as one.",
            metavar="RUN...",
        ),
    ],
    to: Annotated[
        Path | None,
        typer.Option(
            help="The file to write; if not given, report.html in the folder, or in the current folder for "
            "several.",
            metavar="FILE",
        ),
    ] = None,
    prompts: Annotated[
        int, typer.Option(min=0, help="Number of prompts whose answers are on the page.", metavar="N")
    ] = 200,
    as_json: AsJson = False,
) -> None:
    """Write what runs and trainings did as one HTML file, which needs no network."""
    from publius.report.writing import ReportRequest, write_report
    from publius.views.report import print_report

    emit(write_report(ReportRequest(tuple(folders), to, prompts)), as_json, print_report)

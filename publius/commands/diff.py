"""The command `publius diff`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from publius.commands.options import AsJson
from publius.console import emit


def diff(
    old: Annotated[
        str,
        typer.Argument(
            help="A constitution file, a preset or a run folder. With --run, a single one is taken as NEW.",
            metavar="OLD",
        ),
    ],
    new: Annotated[
        str | None,
        typer.Argument(help="Another file, preset or run folder.", metavar="NEW", show_default=False),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(help="Recompute the preferences of this run folder under NEW.", metavar="RUN"),
    ] = None,
    estimate: Annotated[
        bool,
        typer.Option("--estimate", help="With --run: print the number of labeler calls needed, and exit."),
    ] = False,
    limit: Annotated[
        int, typer.Option(min=0, help="With --run: number of flips to show; --json has all.", metavar="N")
    ] = 10,
    to: Annotated[
        Path | None,
        typer.Option(
            help="With --run: write the recomputed preferences to this .jsonl file.", metavar="FILE"
        ),
    ] = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 1 if the constitutions differ.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Show what changed between two constitutions. With --run, also which preferences of the run flip."""
    from publius.authoring.diff import DiffRequest, run_diff
    from publius.views.diff import print_diff_outcome

    if run is None and (estimate or to is not None):
        raise typer.BadParameter("--estimate and --to require --run RUN")
    if new is None and run is None:
        raise typer.BadParameter("give OLD and NEW, or NEW and --run RUN")
    older, newer = (None, old) if new is None else (old, new)
    outcome = run_diff(DiffRequest(older, newer, run, estimate, None if as_json else limit, to))
    emit(outcome, as_json, print_diff_outcome)
    return 1 if exit_code and outcome.diff.changes else 0

"""The command `publius diff`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from core.notices import note
from publius.commands.options import AsJson, HtmlOption, QuotesOption, refuse_readings
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
        typer.Option(
            "--estimate",
            help="With --run: only print the labeler calls needed, their tokens, time and price.",
        ),
    ] = False,
    rate: Annotated[
        float | None,
        typer.Option(
            help="With --estimate: generated tokens per second; the speed of earlier runs if not given.",
            metavar="TOKENS_PER_S",
        ),
    ] = None,
    prices: Annotated[
        Path | None,
        typer.Option(
            help="With --estimate: table of prices; prices.yaml in the project if not given.", metavar="FILE"
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=0, help="Number of flips to show; --json has all.", metavar="N")
    ] = 10,
    replies: Annotated[
        Path | None,
        typer.Option(
            help="Show which verdicts of checks about these replies flip: a table or conversations, as in "
            "publius check --replies.",
            metavar="FILE",
        ),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OURS=THEIRS,...",
            help="With --replies: map our columns to the file's, as in prompt=question,reply=answer.",
        ),
    ] = None,
    html: HtmlOption = None,
    quotes: QuotesOption = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="With --replies: take tags and columns from the rows of this file with the same prompts.",
            metavar="FILE",
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            help="With --run: write the recomputed preferences to this .jsonl file. With --replies: write a "
            "row for each case and rule to this .csv file.",
            metavar="FILE",
        ),
    ] = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 1 if the constitutions differ.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Show what changed between two constitutions.

    With --run, also which preferences of the run flip; with --replies, which verdicts about replies.
    """
    from publius.authoring.diff import DiffRequest, run_diff
    from publius.runs.pairs.caveats import made_up_in
    from publius.sources.column_names import parse_columns
    from publius.sources.texts.reading import TextReading
    from publius.views.diff import print_diff_outcome

    if run is not None and replies is not None:
        raise typer.BadParameter("give --run or --replies, not both")
    if run is None and estimate:
        raise typer.BadParameter("--estimate requires --run RUN")
    if run is None and replies is None and to is not None:
        raise typer.BadParameter("--to requires --run RUN or --replies FILE")
    if columns and replies is None:
        raise typer.BadParameter("--columns requires --replies")
    refuse_readings(html, quotes, replies, "--replies")
    if prompts is not None and replies is None:
        raise typer.BadParameter("--prompts requires --replies")
    if (rate, prices) != (None, None) and not estimate:
        raise typer.BadParameter("--rate and --prices require --estimate")
    if new is None and run is None:
        raise typer.BadParameter("give OLD and NEW, or NEW and --run RUN")
    older, newer = (None, old) if new is None else (old, new)
    theirs = parse_columns(columns or [], "prompt=question,reply=answer")
    shown = None if as_json else limit
    reading = TextReading(html, quotes)
    request = DiffRequest(
        older, newer, run, estimate, shown, to, rate, prices, replies, theirs, reading, prompts
    )
    outcome = run_diff(request)
    said = "" if run is None else made_up_in(run)
    emit(outcome, as_json, partial(print_diff_outcome, limit=limit), made_up=said)
    if replies is not None and to is not None:
        note(f"wrote {to}")
    return 1 if exit_code and outcome.diff.changes else 0

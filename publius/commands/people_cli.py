"""The commands about people's judgments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from publius.commands.options import AsJson
from publius.console import note, out

people_app = typer.Typer()


@people_app.command()
def agreement(
    folders: Annotated[
        list[Path],
        typer.Argument(
            help="Runs, or folders of people's judgments; all are read together.", metavar="RUN|DIR"
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Say how far annotators agree. People and machines, each with an estimate of who is right how often."""
    from publius.labels.agreement import print_report, read_report

    report = read_report(folders)
    if as_json:
        out.print_json(json.dumps(report.plain()))
    else:
        print_report(report)


@people_app.command()
def select(
    folder: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    budget: Annotated[int, typer.Option(min=1, help="How many comparisons people can judge.", metavar="N")],
    to: Annotated[
        Path | None,
        typer.Option(help="Write them to this .jsonl file, and not to the output.", metavar="FILE"),
    ] = None,
    control: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share drawn at random, for honest estimates.")
    ] = 0.1,
    diversity: Annotated[
        float, typer.Option(min=0.0, help="What likeness to a prompt that was picked costs; 0 is nothing.")
    ] = 0.2,
    seed: Annotated[int, typer.Option(min=0, help="Of the random share.")] = 0,
) -> None:
    """Pick comparisons for people. They are those whose label is most in doubt, and a random control."""
    from core.store.files import write_atomic
    from labelers.selection import Selection
    from publius.labels.selecting import select_questions

    questions = select_questions(folder, Selection(budget, control, diversity, seed))
    lines = "".join(question.model_dump_json() + "\n" for question in questions)
    if to is None:
        out.print(lines, end="", soft_wrap=True)
    else:
        write_atomic(to, lines)
    controls = sum(question.control for question in questions)
    fewer = f" (all there are; {budget:,} were asked for)" if len(questions) < budget else ""
    note(f"{len(questions):,} comparisons{fewer}, {controls:,} of them drawn at random")

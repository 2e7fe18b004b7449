"""`publius steer`: from a constitution to a trained adapter and its report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from publius.commands.options import AsJson, Overrides
from publius.console import emit


def steer_(
    constitution: Annotated[
        str,
        typer.Argument(
            help="A constitution file, a preset's name, a text file of sentences about the reply, or the "
            "sentences themselves, one a line.",
            metavar="CONSTITUTION",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(help="A Hugging Face id or a folder; the embedded model if not given.", metavar="MODEL"),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.1, help="Minutes allowed, loading and evaluation included; 15 if not given."),
    ] = None,
    prompts: Annotated[
        str | None,
        typer.Option(
            help="Prompts in any form that a run reads; without test prompts, a share is held out. If not "
            "given, the demo's prompts, or prompts that MODEL writes where those do not fit.",
            metavar="FILE",
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(help="Project folder; steer-NAME in the current folder if not given.", metavar="DIR"),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Random seed; 0 if not given.")] = None,
    write: Annotated[
        Path | None,
        typer.Option(
            help="Only write the run file of the plan, with its prompts beside it.", metavar="RUN.yaml"
        ),
    ] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Train a model to follow a constitution, in the time allowed.

    The result is an adapter and a report of what changed. To resume, run the same command again.
    """
    started_s = time.monotonic()
    from publius.authoring.steering.steer import SteerRequest, steer
    from publius.views.run_summary import print_steering

    if to is not None and write is not None:
        raise typer.BadParameter("--write RUN.yaml names the folder too, so drop --to")
    request = SteerRequest(
        constitution, model, minutes, prompts, to, seed, write, tuple(overrides or ()), started_s
    )
    emit(steer(request), as_json, print_steering)

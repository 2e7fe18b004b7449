"""What the commands have in common: their options, and how stages are run and reported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from publius.console import emit

if TYPE_CHECKING:
    from publius.stages.base import Stage

RunFile = Annotated[Path, typer.Argument(help="The run file.", metavar="RUN.yaml")]
MaybeRun = Annotated[Path | None, typer.Argument(help="The run file.", metavar="RUN.yaml")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Set a value, whatever the run file says; may be repeated."
    ),
]
Resume = Annotated[
    Path | None,
    typer.Option(help="Go on with this run folder, and refuse if it is another run.", metavar="DIR"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
EngineOption = Annotated[
    Literal["transformers", "vllm"],
    typer.Option("--engine", help="What runs the model: transformers in this process, or vLLM."),
]
Subset = Annotated[
    str | None, typer.Option(help="Configuration of the data set, such as soft.", metavar="NAME")
]
SplitOption = Annotated[
    str | None,
    typer.Option(
        help="Split of the data set; train, or the only one, if not given. "
        "train[:1000] is its first thousand rows.",
        metavar="NAME",
    ),
]


def run_stages(
    run_file: Path, overrides: list[str] | None, stages: tuple[Stage, ...], resume: Path | None, as_json: bool
) -> None:
    """Run stages of a run, or all that the run file asks for if none is named, and report."""
    from publius.stages.runner import RunRequest, execute
    from publius.views.run_summary import print_summary

    outcome = execute(RunRequest(run_file, tuple(overrides or ()), stages, resume))
    emit(outcome, as_json, print_summary)

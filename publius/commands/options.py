"""Options that several commands share, and the function that runs stages and prints the result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from publius.console import emit, fail

if TYPE_CHECKING:
    from publius.stages.base import Stage

RunFile = Annotated[Path, typer.Argument(help="The run file.", metavar="RUN.yaml")]
MaybeRun = Annotated[Path | None, typer.Argument(help="The run file.", metavar="RUN.yaml")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a value, overriding the run file; may be repeated."),
]
Resume = Annotated[
    Path | None,
    typer.Option(
        help="Resume this run folder; an error if its settings or constitution differ.", metavar="DIR"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
EngineOption = Annotated[
    str,
    typer.Option(
        "--engine",
        help="Engine that runs the model: transformers in this process, vllm, or the address of a server "
        "such as http://localhost:8000 (its key in PUBLIUS_API_KEY).",
        metavar="KIND|URL",
    ),
]
Subset = Annotated[
    str | None, typer.Option(help="Subset (configuration) of a Hugging Face data set.", metavar="NAME")
]
DataColumns = Annotated[
    list[str] | None,
    typer.Option(
        metavar="OURS=THEIRS,...",
        help="Map our columns to the data set's, as in prompt=question or chosen=responses[0].text; "
        "may be repeated.",
    ),
]
SplitOption = Annotated[
    str | None,
    typer.Option(
        help="Split of the data set; if not given, train or the only one. "
        "train[:1000] takes the first thousand rows.",
        metavar="NAME",
    ),
]
MinP = Annotated[
    float | None,
    typer.Option(
        min=0.5,
        max=1.0,
        help="Only preferences whose chosen answer has at least this probability.",
        metavar="P",
    ),
]
TagFilter = Annotated[
    list[str] | None,
    typer.Option(help="Only prompts with this tag; may be repeated, and one suffices.", metavar="TAG"),
]
PrincipleFilter = Annotated[
    list[str] | None,
    typer.Option(help="Only preferences judged under this principle; may be repeated.", metavar="ID"),
]
SourceFilter = Annotated[
    list[str] | None,
    typer.Option(
        help="Only preferences that this labeler judged: ai, check or a source of human labels; may be "
        "repeated.",
        metavar="NAME",
    ),
]


def run_stages(
    run_file: Path,
    overrides: list[str] | None,
    stages: tuple[Stage, ...],
    resume: Path | None,
    as_json: bool,
    *,
    strict: bool = False,
) -> None:
    """Run the given stages, or all that the run file asks for if none is given, and print the result.

    The exit code is 1 if a gate of the evaluation failed; `strict` says that inconclusive ones have, too.
    """
    from evaluation.gates.recorded import failed_gates
    from publius.stages.outcome import evaluation_of
    from publius.stages.runner import RunRequest, execute
    from publius.views.run_summary import print_summary

    outcome = execute(RunRequest(run_file, tuple(overrides or ()), stages, resume, strict))
    emit(outcome, as_json, print_summary)
    evaluated = any(result.stage == "eval" for result in outcome.stages)
    failed = failed_gates(evaluation_of(outcome.folder)) if evaluated else ()
    if failed:
        fail(f"gate failed: {line.partition(' ')[0]}" for line in failed)
        raise typer.Exit(1)

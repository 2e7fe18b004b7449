"""Options that several commands share, and the function that runs stages and prints the result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from publius.console import emit, fail

if TYPE_CHECKING:
    from publius.stages.base import Stage
    from publius.stages.outcome import RunOutcome

RunFile = Annotated[Path, typer.Argument(help="The run file.", metavar="RUN.yaml")]
MaybeRun = Annotated[Path | None, typer.Argument(help="The run file.", metavar="RUN.yaml")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a value, overriding the run file; may be repeated."),
]
Vary = Annotated[
    list[str] | None,
    typer.Option(
        "--vary",
        metavar="KEY=VALUE,VALUE",
        help="Run once with each value of a setting; may be repeated, for all combinations. Ends with a page "
        "that compares the runs.",
    ),
]
Resume = Annotated[
    Path | None,
    typer.Option(
        help="Resume this run folder; an error if its settings or constitution differ.", metavar="DIR"
    ),
]
TrainedModelFolder = Annotated[
    Path | None,
    typer.Option(
        help="A folder of `publius train sft|dpo --data`, or of a method in a run, such as RUN/dpo.",
        metavar="DIR",
    ),
]
Against = Annotated[
    str | None,
    typer.Option(
        help="With --model: the model before the training, if it is not where it was then; a Hugging Face id "
        "or a folder. An adapter is put on it; a whole model may be compared with any other.",
        metavar="BASE",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
EngineOption = Annotated[
    str,
    typer.Option(
        "--engine",
        help="Engine that runs the model: transformers in this process, vllm, the address of a server such "
        "as http://localhost:8000 (its key in PUBLIUS_API_KEY), or scripted, which makes texts up at once "
        "to try the command without a model.",
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
PromptFileColumns = Annotated[
    list[str] | None,
    typer.Option(
        metavar="OURS=THEIRS,...",
        help="With --prompts: map our columns to the file's, as in prompt=question,tags=mood; tags may be "
        "given for several columns.",
    ),
]
HtmlOption = Annotated[
    Literal["text", "keep"] | None,
    typer.Option(
        help="Read HTML in the file's texts as text, or keep it; if not given, it is kept, with a warning.",
        metavar="text|keep",
        show_default=False,
    ),
]
QuotesOption = Annotated[
    Literal["drop", "keep"] | None,
    typer.Option(
        help="Leave quoted mail and signatures out of the file's texts, or keep them; if not given, they are "
        "kept, with a warning.",
        metavar="drop|keep",
        show_default=False,
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
    shard: str | None = None,
) -> None:
    """Run the given stages, or all that the run file asks for if none is given, and print the result.

    The exit code is 1 if a gate of the evaluation failed; `strict` says that inconclusive ones have, too.
    """
    from publius.runs.parts.shards import parse_shard
    from publius.stages.runner import RunRequest, execute
    from publius.views.run_summary import print_summary

    part = None if shard is None else parse_shard(shard)
    request = RunRequest(run_file, tuple(overrides or ()), stages, resume, strict, shard=part)
    with results_before_error(as_json):
        outcome = execute(request)
    emit(outcome, as_json, print_summary)
    exit_on_failed_gates(outcome)


@contextmanager
def results_before_error(as_json: bool) -> Iterator[None]:
    """Print the results of a finished evaluation before the error of gates that could not be checked."""
    from publius.stages.outcome import UncheckedGatesError
    from publius.views.run_summary import print_summary

    try:
        yield
    except UncheckedGatesError as error:
        if error.outcome is not None and not as_json:  # JSON is one document: the error's
            print_summary(error.outcome)
        raise


def exit_on_failed_gates(outcome: RunOutcome) -> None:
    """Print the failed gates of an evaluation and exit with code 1, if there are any."""
    if failed := outcome.failed_gates:
        fail(f"gate failed: {line.partition(' ')[0]}" for line in failed)
        raise typer.Exit(1)


def run_varied_stages(
    run_file: Path,
    vary: list[str],
    overrides: list[str] | None,
    stages: tuple[Stage, ...],
    as_json: bool,
    *,
    strict: bool = False,
) -> None:
    """Run the stages once for each combination of varied settings, compare the runs and print the result.

    The exit code is 2 if a run failed, else 1 if a gate failed.
    """
    from publius.config.variations import read_variations
    from publius.stages.varied import VariedRequest, run_varied
    from publius.views.varied import compared_runs, print_varied

    variations = read_variations(vary, overrides or ())
    request = VariedRequest(run_file, variations, tuple(overrides or ()), stages, strict)
    outcome = run_varied(request)
    compared = compared_runs(outcome)
    emit(compared, as_json, print_varied)
    if outcome.failed or compared.problem is not None:
        fail(f"{run.combination}: {problem}" for run in outcome.failed for problem in run.problems)
        raise typer.Exit(2)
    gates = [(run, line) for run in outcome.runs if run.outcome for line in run.outcome.failed_gates]
    if gates:
        fail(f"{run.combination}: gate failed: {line.partition(' ')[0]}" for run, line in gates)
        raise typer.Exit(1)


def refuse_readings(html: str | None, quotes: str | None, file: Path | None, required: str) -> None:
    """Raise a usage error if texts are to be read in some way and no file has any.

    Args:
        html: the option `--html`.
        quotes: the option `--quotes`.
        file: the file of texts.
        required: the option that names it, with what else the error says.
    """
    for name, value in (("html", html), ("quotes", quotes)):
        if value is not None and file is None:
            raise typer.BadParameter(f"--{name} requires {required.replace('NAME', name)}")

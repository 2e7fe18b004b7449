"""`publius train`: the commands that train, on a run or on a data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from engines.embedded import EMBEDDED_NAME
from pipeline.console import out
from pipeline.options import AsJson, MaybeRun, Overrides, Resume, Split, Subset, run_stages
from pipeline.settings_help import TrainCommand

if TYPE_CHECKING:
    from training.config import Method

train_app = typer.Typer(
    help="Train a policy or a reward model, on a run or a data set.", no_args_is_help=True
)

Data = Annotated[
    str | None,
    typer.Option(
        help="Train on this instead of a run: a file, folder or Hugging Face id in TRL's columns.",
        metavar="SOURCE",
    ),
]
EvalData = Annotated[
    str | None,
    typer.Option(
        help="With --data: evaluate on this (its split train), and hold out nothing of --data. "
        "sft and dpo look at it every optim.eval_every steps.",
        metavar="SOURCE",
    ),
]
TrainedModel = Annotated[
    str | None,
    typer.Option(
        help="With --data: the model to train, a folder or Hugging Face id; the embedded model if not given.",
        metavar="MODEL",
    ),
]
TrainTo = Annotated[
    Path | None,
    typer.Option(help="With --data: where adapter, metrics and card go; needed.", metavar="DIR"),
]


@train_app.command(cls=TrainCommand)
def sft(
    run_file: MaybeRun = None,
    overrides: Overrides = None,
    resume: Resume = None,
    data: Data = None,
    eval_data: EvalData = None,
    subset: Subset = None,
    split: Split = "train",
    model: TrainedModel = None,
    to: TrainTo = None,
    as_json: AsJson = False,
) -> None:
    """Fine-tune the policy on answers (SFT, LoRA). They are the run's revisions, or those of a data set."""
    request = _DataRequest(data, eval_data, subset, split, model, to)
    _train("sft", run_file, overrides, resume, request, as_json)


@train_app.command(cls=TrainCommand)
def reward(
    run_file: MaybeRun = None,
    overrides: Overrides = None,
    resume: Resume = None,
    data: Data = None,
    eval_data: EvalData = None,
    subset: Subset = None,
    split: Split = "train",
    model: TrainedModel = None,
    to: TrainTo = None,
    as_json: AsJson = False,
) -> None:
    """Train a reward model on preferences, and measure it (LoRA). Each pair counts by its probability."""
    request = _DataRequest(data, eval_data, subset, split, model, to)
    _train("reward", run_file, overrides, resume, request, as_json)


@train_app.command(cls=TrainCommand)
def dpo(
    run_file: MaybeRun = None,
    overrides: Overrides = None,
    resume: Resume = None,
    data: Data = None,
    eval_data: EvalData = None,
    subset: Subset = None,
    split: Split = "train",
    model: TrainedModel = None,
    to: TrainTo = None,
    as_json: AsJson = False,
) -> None:
    """Train the policy on preferences (soft DPO, LoRA). Each pair counts by its probability."""
    request = _DataRequest(data, eval_data, subset, split, model, to)
    _train("dpo", run_file, overrides, resume, request, as_json)


class _DataRequest(NamedTuple):
    """The options of a training on a data set, as they were given."""

    data: str | None
    eval_data: str | None
    subset: str | None
    split: str
    model: str | None
    to: Path | None


def _train(
    method: Method,
    run_file: Path | None,
    overrides: list[str] | None,
    resume: Path | None,
    request: _DataRequest,
    as_json: bool,
) -> None:
    """Train from a run, or on a data set."""
    if (request.data is None) == (run_file is None):
        raise typer.BadParameter("give either a RUN.yaml or --data SOURCE")
    if run_file is not None:
        if request != (None, None, None, "train", None, None):
            raise typer.BadParameter("--eval-data, --subset, --split, --model and --to go with --data")
        run_stages(run_file, overrides, (method,), resume, as_json)
        return
    if resume is not None or request.to is None:
        raise typer.BadParameter("--data wants --to DIR, and goes on by itself without --resume")
    _train_on_data(method, request, request.to, overrides, as_json)


def _train_on_data(
    method: Method, request: _DataRequest, to: Path, overrides: list[str] | None, as_json: bool
) -> None:
    from pipeline.data_training import DataTraining, print_outcome, train_on_data
    from pipeline.training_data import DataSource

    source = DataSource(request.data or "", request.subset, request.split)
    unseen = DataSource(request.eval_data) if request.eval_data else None
    model = request.model or EMBEDDED_NAME
    outcome = train_on_data(DataTraining(method, source, model, to, unseen, tuple(overrides or ())))
    if as_json:
        out.print_json(json.dumps(outcome.summary()))
    else:
        print_outcome(outcome)

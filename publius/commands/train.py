"""`publius train`: the commands that train, on a run or on a data set."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from core.errors import ConfigError, shell_command
from engines.embedded import EMBEDDED_NAME
from publius.commands.options import (
    AsJson,
    DataColumns,
    MaybeRun,
    Overrides,
    Resume,
    RunFile,
    SplitOption,
    Subset,
    run_stages,
)
from publius.commands.settings_help import SettingsCommand
from publius.console import emit

if TYPE_CHECKING:
    from publius.sources.examples import DataSource
    from training.methods import Method

train_app = typer.Typer(
    help="Train a policy or a reward model, on a run or a data set.", no_args_is_help=True
)

Data = Annotated[
    str | None,
    typer.Option(
        help="Train on this data set, not on a run: a file, folder or Hugging Face id, in TRL's columns or "
        "another known form.",
        metavar="SOURCE",
    ),
]
EvalData = Annotated[
    str | None,
    typer.Option(
        help="With --data: data set to evaluate on, at the end and every optim.eval_every steps if set. "
        "Without it, a part of --data may be held out (METHOD.held_out).",
        metavar="SOURCE",
    ),
]
EvalSplit = Annotated[
    str | None,
    typer.Option(
        help="Split of --eval-data; if not given, the first of validation, test and train, or the only one.",
        metavar="NAME",
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
    typer.Option(help="Required with --data: folder for the adapter, metrics and model card.", metavar="DIR"),
]
Launch = Annotated[
    str | None,
    typer.Option(
        help="Train in several processes, by accelerate: one-gpu, all-gpus, two-cpu, or a configuration "
        "file of accelerate. Each process has a whole model.",
        metavar="CONFIG",
    ),
]


@train_app.command(cls=SettingsCommand)
def sft(
    run_file: MaybeRun = None,
    overrides: Overrides = None,
    resume: Resume = None,
    data: Data = None,
    eval_data: EvalData = None,
    eval_split: EvalSplit = None,
    subset: Subset = None,
    split: SplitOption = None,
    columns: DataColumns = None,
    model: TrainedModel = None,
    to: TrainTo = None,
    launch: Launch = None,
    as_json: AsJson = False,
) -> None:
    """Fine-tune the policy on answers (SFT, LoRA).

    The answers are the run's revisions, or those of a data set.
    """
    request = _DataRequest(data, eval_data, eval_split, subset, split, columns, model, to)
    _train("sft", run_file, overrides, resume, request, launch, as_json)


@train_app.command(cls=SettingsCommand)
def reward(
    run_file: MaybeRun = None,
    overrides: Overrides = None,
    resume: Resume = None,
    data: Data = None,
    eval_data: EvalData = None,
    eval_split: EvalSplit = None,
    subset: Subset = None,
    split: SplitOption = None,
    columns: DataColumns = None,
    model: TrainedModel = None,
    to: TrainTo = None,
    launch: Launch = None,
    as_json: AsJson = False,
) -> None:
    """Train a reward model on preferences and evaluate it (LoRA).

    The soft label of each preference is the target probability.
    """
    request = _DataRequest(data, eval_data, eval_split, subset, split, columns, model, to)
    _train("reward", run_file, overrides, resume, request, launch, as_json)


@train_app.command(cls=SettingsCommand)
def dpo(
    run_file: MaybeRun = None,
    overrides: Overrides = None,
    resume: Resume = None,
    data: Data = None,
    eval_data: EvalData = None,
    eval_split: EvalSplit = None,
    subset: Subset = None,
    split: SplitOption = None,
    columns: DataColumns = None,
    model: TrainedModel = None,
    to: TrainTo = None,
    launch: Launch = None,
    as_json: AsJson = False,
) -> None:
    """Train the policy on preferences (DPO with soft labels, LoRA).

    The soft label of each preference is the target probability.
    """
    request = _DataRequest(data, eval_data, eval_split, subset, split, columns, model, to)
    _train("dpo", run_file, overrides, resume, request, launch, as_json)


@train_app.command(cls=SettingsCommand)
def ppo(
    run_file: RunFile,
    overrides: Overrides = None,
    resume: Resume = None,
    launch: Launch = None,
    as_json: AsJson = False,
) -> None:
    """Train the policy against rewards (PPO with a KL penalty, LoRA).

    The prompts are taken from the run.
    """
    _launch(launch)
    run_stages(run_file, overrides, ("ppo",), resume, as_json)


@train_app.command(cls=SettingsCommand)
def rloo(
    run_file: RunFile,
    overrides: Overrides = None,
    resume: Resume = None,
    launch: Launch = None,
    as_json: AsJson = False,
) -> None:
    """Train the policy against rewards (RLOO, LoRA).

    Each answer's baseline is the mean reward of the other answers to its prompt.
    """
    _launch(launch)
    run_stages(run_file, overrides, ("rloo",), resume, as_json)


@train_app.command(cls=SettingsCommand)
def grpo(
    run_file: RunFile,
    overrides: Overrides = None,
    resume: Resume = None,
    launch: Launch = None,
    as_json: AsJson = False,
) -> None:
    """Train the policy against rewards (GRPO, LoRA).

    Each answer's baseline is the mean reward of all answers to its prompt.
    """
    _launch(launch)
    run_stages(run_file, overrides, ("grpo",), resume, as_json)


@train_app.command(cls=SettingsCommand)
def distill(
    run_file: RunFile,
    overrides: Overrides = None,
    resume: Resume = None,
    launch: Launch = None,
    as_json: AsJson = False,
) -> None:
    """Train the policy to do unprompted what it does with the constitution in its prompt (LoRA).

    On-policy distillation: no judge, no labels and no rewards. The prompts are taken from the run.
    """
    _launch(launch)
    run_stages(run_file, overrides, ("distill",), resume, as_json)


@train_app.command()
def judge(
    to: Annotated[Path, typer.Option(help="Folder for the judge.", metavar="DIR")],
    data: Annotated[
        str | None,
        typer.Option(
            help="Preferences: a file, folder or Hugging Face id, in TRL's columns or another known form, "
            "people's labels included.",
            metavar="SOURCE",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="The model whose hidden states are read; the embedded model if not given.", metavar="MODEL"
        ),
    ] = None,
    constitution: Annotated[
        str,
        typer.Option(help="Constitution, whose principles the preferences are judged under.", metavar="FILE"),
    ] = "helpful-honest-harmless",
    gold: Annotated[
        list[str] | None,
        typer.Option(
            help="Gold labels: pairs (the preferences), replies (those of --labelled) or checks (machine "
            "checks of all replies); may be repeated. If not given, checks only if a principle has one or "
            "there are no other labels.",
            metavar="NAME",
        ),
    ] = None,
    labelled: Annotated[
        str | None,
        typer.Option(
            help="Replies with a label, true or false, in TRL's columns for unpaired preferences.",
            metavar="SOURCE",
        ),
    ] = None,
    replies: Annotated[
        str | None,
        typer.Option(
            help="Replies for machine checks, besides those of --data: columns prompt and completion, or "
            "messages.",
            metavar="SOURCE",
        ),
    ] = None,
    by: Annotated[
        str,
        typer.Option(
            help="principle: a probe for each principle with enough gold of both sides; all: one for all.",
            metavar="NAME",
        ),
    ] = "all",
    length: Annotated[
        str,
        typer.Option(
            help="keep or remove what the judge likes in replies for their length; auto removes it unless "
            "the judge learns from machine checks.",
            metavar="NAME",
        ),
    ] = "auto",
    lora: Annotated[
        bool,
        typer.Option(
            "--lora", help="Train a LoRA adapter on three quarters of the prompts first; the probe reads it."
        ),
    ] = False,
    learning_rate: Annotated[
        float, typer.Option(min=0.0, help="With --lora: peak learning rate.", metavar="RATE")
    ] = 5e-4,
    epochs: Annotated[float, typer.Option(min=0.0, help="With --lora: passes over the labels.")] = 1.0,
    layer: Annotated[
        list[int] | None,
        typer.Option(
            help="Layer to try, from 1; may be repeated. Six at equal distances if not given.", metavar="N"
        ),
    ] = None,
    held_out: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Share of the prompts to measure the judge on.")
    ] = 0.2,
    per_kind: Annotated[
        int,
        typer.Option(
            min=1,
            help="Labels of each kind of machine check in training; by principle, replies that are checked "
            "and edited.",
        ),
    ] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random draw.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.", metavar="NAME")] = "auto",
    dtype: Annotated[
        str,
        typer.Option(
            help="Data type of the weights: auto, float32, bfloat16 or float16. The judge runs in the same.",
            metavar="NAME",
        ),
    ] = "auto",
    subset: Subset = None,
    split: SplitOption = None,
    columns: DataColumns = None,
    as_json: AsJson = False,
) -> None:
    """Train a judge of your own: linear probes on a model's hidden states.

    It says whether a reply fulfils a principle, and which of two does so better.
    """
    from publius.models.judges.principles import judge_by
    from publius.models.train_judge import JudgeTraining, length_taste, train_judge
    from publius.sources.column_names import ColumnNames, parse_columns
    from publius.sources.examples import DataSource
    from publius.sources.judges.gold import gold_sources
    from publius.views.training import print_trained_judge
    from training.judge.adapter import JudgeAdapterConfig

    names = ColumnNames(parse_columns(columns or [], example="prompt=question,chosen=responses[0]"))
    request = JudgeTraining(
        data=DataSource(data, subset, split) if data else None,
        constitution=constitution,
        model=model or EMBEDDED_NAME,
        to=to,
        sources=gold_sources(gold or ()),
        labelled=DataSource(labelled) if labelled else None,
        replies=DataSource(replies) if replies else None,
        by=judge_by(by),
        length=length_taste(length),
        adapter=JudgeAdapterConfig(learning_rate, epochs) if lora else None,
        layers=tuple(layer or ()),
        held_out=held_out,
        per_kind=per_kind,
        seed=seed,
        device=device,
        dtype=dtype,
        names=names,
    )
    emit(train_judge(request), as_json, print_trained_judge)


class _DataRequest(NamedTuple):
    """Options for training on a data set, as given on the command line."""

    data: str | None
    eval_data: str | None
    eval_split: str | None
    subset: str | None
    split: str | None
    columns: list[str] | None
    model: str | None
    to: Path | None


def _train(
    method: Method,
    run_file: Path | None,
    overrides: list[str] | None,
    resume: Path | None,
    request: _DataRequest,
    launch: str | None,
    as_json: bool,
) -> None:
    """Train on a run, or on a data set."""
    if (request.data is None) == (run_file is None):
        raise typer.BadParameter("give either a RUN.yaml or --data SOURCE")
    if run_file is not None:
        _require_run_file(run_file, method)
        if any(given is not None for given in request):
            raise typer.BadParameter(
                "--eval-data, --eval-split, --subset, --split, --columns, --model and --to require --data"
            )
        _launch(launch)
        run_stages(run_file, overrides, (method,), resume, as_json)
        return
    if resume is not None or request.to is None:
        raise typer.BadParameter("--data requires --to DIR; it resumes automatically, so drop --resume")
    if request.eval_split is not None and request.eval_data is None:
        raise typer.BadParameter("--eval-split requires --eval-data")
    _launch(launch)
    _train_on_data(method, request, request.to, overrides, as_json)


def _launch(given: str | None) -> None:
    """Run this command in several processes, in place of this one; do nothing without a configuration."""
    if given is None:
        return
    from training.launch.agent import hand_over
    from training.launch.configurations import read_launch
    from training.processes import world_size

    if world_size() > 1:
        raise ConfigError(
            "this is a process of a launcher already",
            where="--launch",
            accepted="--launch or a launcher, not both",
        )
    hand_over(read_launch(given), _without_launch(sys.argv[1:]))


def _without_launch(arguments: list[str]) -> list[str]:
    """Return a command line without `--launch CONFIG` or `--launch=CONFIG`."""
    kept = [argument for argument in arguments if not argument.startswith("--launch=")]
    if "--launch" in kept:
        place = kept.index("--launch")
        del kept[place : place + 2]
    return kept


def _require_run_file(path: Path, method: Method) -> None:
    """Refuse a data file given as the run file. Raises ConfigError."""
    from publius.sources.rows import is_data_file

    if is_data_file(path) and path.suffix.lower() not in (".yaml", ".yml"):
        raise ConfigError(
            "this is a data file, not a run file",
            where=str(path),
            accepted="RUN.yaml, or a data file with --data",
            run=shell_command("publius", "train", method, "--data", path, "--model", "MODEL", "--to", "DIR"),
        )


def _train_on_data(
    method: Method, request: _DataRequest, to: Path, overrides: list[str] | None, as_json: bool
) -> None:
    from publius.models.train_on_data import DataTraining, train_on_data
    from publius.sources.column_names import ColumnNames, parse_columns
    from publius.sources.examples import DataSource
    from publius.views.training import print_training_outcome

    source = DataSource(request.data or "", request.subset, request.split)
    unseen = _unseen(request)
    model = request.model or EMBEDDED_NAME
    names = ColumnNames(parse_columns(request.columns or [], example="prompt=question,chosen=responses[0]"))
    outcome = train_on_data(DataTraining(method, source, model, to, unseen, tuple(overrides or ()), names))
    emit(outcome, as_json, print_training_outcome)


def _unseen(request: _DataRequest) -> DataSource | None:
    """Return the data set to evaluate on. If it is the one trained on, the same subset is used."""
    from publius.sources.examples import DataSource

    if request.eval_data is None:
        return None
    subset = request.subset if request.eval_data == request.data else None
    return DataSource(request.eval_data, subset, request.eval_split, "evaluate")

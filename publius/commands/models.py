"""The commands about trained models: `eval-reward` and `chat`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from publius.commands.options import AsJson, DataColumns, SplitOption, Subset
from publius.console import emit


def eval_reward(
    folder: Annotated[
        Path, typer.Argument(help="A reward model: a folder, or a Hugging Face id.", metavar="MODEL")
    ],
    data: Annotated[
        str, typer.Option(help="Preference pairs: a file, folder or Hugging Face id.", metavar="SOURCE")
    ],
    to: Annotated[Path, typer.Option(help="Folder for the report.", metavar="DIR")],
    subset: Subset = None,
    split: SplitOption = None,
    columns: DataColumns = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="Device to run the model on.")
    ] = "auto",
    as_json: AsJson = False,
) -> None:
    """Evaluate a reward model on preference pairs.

    The report has accuracy, calibration and length bias, overall and by subset.
    """
    from publius.models.eval_reward import EvalRewardRequest
    from publius.models.eval_reward import measure_reward_model as measure
    from publius.sources.column_names import ColumnNames, parse_columns
    from publius.sources.examples import DataSource
    from publius.views.training import print_measured_reward

    names = ColumnNames(parse_columns(columns or [], example="prompt=question,chosen=responses[0]"))
    source = DataSource(data, subset, split)
    measured = measure(EvalRewardRequest(folder, source, to, device, names))
    emit(measured, as_json, print_measured_reward)


def chat(
    folder: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    variants: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="VARIANT",
            help="A variant that answers: base, prompted, sft, dpo, ppo, rloo, grpo, distill or steered; may "
            "be repeated. If not given: base and the chosen checkpoint, or else the variant trained last.",
        ),
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="Ask this once and exit.", metavar="TEXT")] = None,
    temperature: Annotated[
        float | None,
        typer.Option(help="Sampling temperature; 0 is greedy. If not given, as in the run's evaluation."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Chat with the policy before and after training, side by side."""
    from publius.chat import ChatRequest
    from publius.views.chat import chat_with

    chat_with(ChatRequest(folder, tuple(variants or ()), prompt, temperature, as_json))

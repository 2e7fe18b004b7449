"""The command `publius export`: what a run, a training or a constitution is, in forms that others read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from publius.commands.options import AsJson
from publius.console import emit


def export(
    folder: Annotated[
        Path,
        typer.Argument(
            help="A run folder; with --model also that of one training, with --labels also one of labels, "
            "with --constitution also a constitution file or the name of a preset.",
            metavar="RUN",
        ),
    ],
    to: Annotated[Path, typer.Option(help="A new or empty folder; with --labels a new file.", metavar="DIR")],
    model: Annotated[
        str | None,
        typer.Option(
            help="Write the whole model of this training: sft, dpo, ppo, rloo, grpo or reward.",
            metavar="METHOD",
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Write comparisons and judgments for a tool: argilla, label-studio or icai.", metavar="FORM"
        ),
    ] = None,
    constitution: Annotated[
        str | None,
        typer.Option(
            help="Write a constitution in another form: anthropic, the Constitutional AI paper's files.",
            metavar="FORM",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write what others read. A data set, a trained model, labels or a constitution.

    `datasets.load_dataset` reads the data set.
    """
    from publius.authoring.exporting import export_constitution
    from publius.labels.exporting import export_labels
    from publius.models.export import export_model, is_training
    from publius.runs.dataset import export_run
    from publius.views import exports

    if sum(option is not None for option in (model, labels, constitution)) > 1:
        raise typer.BadParameter("give one of --labels, --model and --constitution")
    if constitution is not None:
        emit(export_constitution(str(folder), constitution, to), as_json, exports.print_exported_constitution)
    elif labels is not None:
        emit(export_labels(folder, labels, to), as_json, exports.print_exported_labels)
    elif model is not None:
        emit(export_model(folder, model, to), as_json, exports.print_exported_model)
    elif is_training(folder):
        raise typer.BadParameter(f"{folder} holds one training and no run; give --model METHOD")
    else:
        emit(export_run(folder, to), as_json, exports.print_exported_run)

"""The command `publius export`: what a run, a training or a constitution is, in forms that others read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from publius.commands.options import AsJson
from publius.console import out


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
    from publius.models.export import export_model, is_training

    if sum(option is not None for option in (model, labels, constitution)) > 1:
        raise typer.BadParameter("give one of --labels, --model and --constitution")
    if constitution is not None:
        _export_constitution(str(folder), constitution, to, as_json)
        return
    if labels is not None:
        _export_labels(folder, labels, to, as_json)
        return
    if model is None and is_training(folder):
        raise typer.BadParameter(f"{folder} holds one training and no run; give --model METHOD")
    if model is not None:
        written = export_model(folder, model, to)
        out.print_json(json.dumps({"folder": str(written)})) if as_json else out.print(f"wrote {written}")
        return
    _export_run(folder, to, as_json)


def _export_run(folder: Path, to: Path, as_json: bool) -> None:
    from publius.run.dataset import export_run

    counts = export_run(folder, to)
    if as_json:
        out.print_json(json.dumps(counts))
        return
    for name, count in counts.items():
        out.print(f"{name:<12}{count:>8,} rows")
    out.print(f'\nfrom datasets import load_dataset; load_dataset("{to}", "preference")')


def _export_constitution(source: str, form: str, to: Path, as_json: bool) -> None:
    from publius.authoring.exporting import export_constitution
    from publius.views.constitution_export import print_constitution_export

    summary = export_constitution(source, form, to)
    if as_json:
        out.print_json(json.dumps(summary))
    else:
        print_constitution_export(summary)


def _export_labels(folder: Path, form: str, to: Path, as_json: bool) -> None:
    from publius.labels.exporting import export_labels

    counts = export_labels(folder, form, to)
    if as_json:
        out.print_json(json.dumps({"file": str(to), **counts}))
    else:
        out.print(f"wrote {to}: {counts['comparisons']:,} comparisons, {counts['judgments']:,} judgments")

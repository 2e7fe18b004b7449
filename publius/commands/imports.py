"""The commands `publius import ...`: convert other tools' labels and constitutions to Publius files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from publius.commands.options import AsJson, SplitOption, Subset
from publius.console import emit

import_app = typer.Typer(help="Import labels or a constitution from another tool.", no_args_is_help=True)


@import_app.callback()
def _commands() -> None:
    """Import labels or a constitution from another tool."""


@import_app.command()
def labels(
    file: Annotated[
        str, typer.Argument(help="A file, a data set folder, or a Hugging Face id.", metavar="FILE")
    ],
    to: Annotated[Path, typer.Option(help="A new or empty folder.", metavar="DIR")],
    format: Annotated[
        str,
        typer.Option(
            help="hh-rlhf, hhh, trl, ultrafeedback, argilla, label-studio, arena, helpsteer2, helpsteer3, "
            "pku-saferlhf, rankings, icai-csv, icai-json, columns, an installed source, or module:function; "
            "auto detects it from the columns.",
        ),
    ] = "auto",
    columns: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OURS=THEIRS,...",
            help="Map our columns to the file's, as in prompt=question,verdict=label; may be repeated.",
        ),
    ] = None,
    verdicts: Annotated[
        list[str] | None,
        typer.Option(metavar="OURS=THEIRS,...", help="Map our verdicts to the file's, as in a=1,b=0,tie=2."),
    ] = None,
    labeler: Annotated[
        str | None, typer.Option(help="Name of the labels' source; the format's name if not given.")
    ] = None,
    subset: Subset = None,
    split: SplitOption = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse the import if anything would be skipped.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Import human labels. Each answer of each annotator becomes a judgment on a comparison."""
    from publius.labels.importing import LabelsRequest, import_labels
    from publius.sources.column_names import ColumnNames, parse_columns, parse_verdicts
    from publius.sources.rows import DataSource
    from publius.views.imports import print_imported_labels

    names = ColumnNames(parse_columns(columns or []), parse_verdicts(verdicts or []))
    source = DataSource(file, subset, split)
    imported = import_labels(LabelsRequest(source, to, format, names, labeler, strict))
    emit(imported, as_json, print_imported_labels)


@import_app.command()
def constitution(
    file: Annotated[
        Path, typer.Argument(help="A file, or the folder of the Anthropic files.", metavar="FILE")
    ],
    to: Annotated[Path, typer.Option(help="The constitution file to create.", metavar="PATH.yaml")],
    format: Annotated[
        str,
        typer.Option(
            help="anthropic, llm-swarm, langchain, nemo-aligner, markdown, csv, json or text; auto detects "
            "it from the file."
        ),
    ] = "auto",
    name: Annotated[
        str | None, typer.Option(help="Name of the constitution; that of the file if not given.")
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OURS=THEIRS,...",
            help="Map our keys to those of a table or list of objects, as in text=rule; may be repeated.",
        ),
    ] = None,
    examples: Annotated[
        bool, typer.Option("--examples/--no-examples", help="Import few-shots as examples, or not at all.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Import a constitution. Parts that do not fit are counted, with their places; no text is invented."""
    from publius.authoring.importing import ConstitutionRequest, import_constitution
    from publius.sources.column_names import parse_columns
    from publius.views.imports import print_imported_constitution

    theirs = parse_columns(columns or [], example="text=rule,id=name")
    imported = import_constitution(ConstitutionRequest(file, to, format, name, theirs, examples))
    emit(imported, as_json, print_imported_constitution)

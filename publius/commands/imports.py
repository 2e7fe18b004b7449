"""The commands `publius import ...`: convert other tools' labels and constitutions to Publius files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from core.errors import ConfigError
from publius.commands.options import AsJson, HtmlOption, QuotesOption, SplitOption, Subset
from publius.console import emit

LABEL_FORMATS = (
    *("sheet", "pairs", "columns", "rankings"),
    *("argilla", "label-studio", "mturk", "icai-csv", "icai-json"),
    *("trl", "hh-rlhf", "hhh", "ultrafeedback", "alpaca-eval", "openai-summaries", "webgpt", "shp"),
    *("openai-preference", "judgebench", "pku-saferlhf", "helpsteer2", "helpsteer3", "arena"),
)
"""The formats of `labelers.formats.registry.BUILT_IN`, whose import takes longer than the help."""

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
            help=f"{', '.join(LABEL_FORMATS)}, the name of a plugin, or module:function; auto detects the "
            "format from the columns.",
        ),
    ] = "auto",
    columns: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OURS=THEIRS,...",
            help="Map our columns to the file's, as in prompt=question,response_a=responses[0].text; may be "
            "repeated.",
        ),
    ] = None,
    verdicts: Annotated[
        list[str] | None,
        typer.Option(metavar="OURS=THEIRS,...", help="Map our verdicts to the file's, as in a=1,b=0,tie=2."),
    ] = None,
    labeler: Annotated[
        str | None,
        typer.Option(
            help="Name to record as the source of the labels, as of the only person in a file; if not "
            "given, the format's name, or the file's for a table in no tool's format."
        ),
    ] = None,
    subset: Subset = None,
    split: SplitOption = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            help="The file with prompts and answers, if FILE has votes only; as for label --pairs.",
            metavar="PAIRS",
        ),
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(
            help="With --pairs: the column of both files that joins a vote with its pair, or VOTES=PAIRS "
            "where the names differ; if not given, the only column that both have.",
            metavar="COLUMN",
        ),
    ] = None,
    min_margin: Annotated[
        float | None,
        typer.Option(
            metavar="DIFFERENCE",
            help="Exclude and count pairs whose scores or ratings differ by less than this, and pairs "
            "without scores.",
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE",
            help="Only rows with this value in a column, as in status=approved or market=[DE, UK], or "
            "without it, as in status!=rejected; several must all hold. The others are counted.",
        ),
    ] = None,
    aspect: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Only labels of this aspect of a file that is rated in several, such as honesty; may be "
            "repeated.",
        ),
    ] = None,
    shown_first: Annotated[
        Literal["a", "b"] | None,
        typer.Option(
            metavar="a|b",
            help="Which answer of each row everybody saw first or on the left, wherever the file does not "
            "record it; a is the file's first.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The model that gave the labels, if a model did and the file does not name it.",
        ),
    ] = None,
    html: HtmlOption = None,
    quotes: QuotesOption = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="A file of prompts with tags: judged prompts with the same words get its tags, for "
            "agreement and audits by tag; --columns tags=THEIRS names its column of tags.",
            metavar="FILE",
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Refuse the import if anything would be excluded that --where and --aspect do not exclude.",
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace another import in the folder.")] = False,
    as_json: AsJson = False,
) -> None:
    """Import human labels. Each label of each annotator becomes a judgment of a comparison."""
    from labelers.formats.stated import Stated
    from publius.labels.importing import LabelsRequest, import_labels
    from publius.labels.joining import PairsToJoin
    from publius.sources.column_names import parse_conditions, parse_label_names
    from publius.sources.rows import DataSource
    from publius.sources.texts.reading import TextReading
    from publius.views.imports import print_imported_labels

    names = parse_label_names(columns or [], verdicts or [])
    source = DataSource(file, subset, split)
    if on is not None and pairs is None:
        raise ConfigError("found no --pairs", where="--on", accepted="--pairs FILE --on COLUMN")
    joined = None if pairs is None else PairsToJoin(pairs, on)
    first: Literal["first", "second"] | None = None
    if shown_first is not None:
        first = "first" if shown_first == "a" else "second"
    request = LabelsRequest(
        source,
        to,
        format,
        names,
        labeler,
        strict,
        force,
        joined,
        min_margin,
        TextReading(html, quotes),
        parse_conditions(where or []),
        Stated(first, model, tuple(aspect or ())),
        prompts,
    )
    imported = import_labels(request)
    emit(imported, as_json, print_imported_labels)


@import_app.command()
def constitution(
    file: Annotated[
        Path,
        typer.Argument(help="A file, or a folder with the Constitutional AI paper's files.", metavar="FILE"),
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
        str | None, typer.Option(help="Name of the constitution; the file's name if not given.")
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OURS=THEIRS,...",
            help="Map our fields to the columns or keys of the file, as in text=rule; may be repeated.",
        ),
    ] = None,
    examples: Annotated[
        bool, typer.Option("--examples/--no-examples", help="Import few-shot examples, or exclude them.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Import a constitution. Parts without a counterpart are reported with their location."""
    from publius.authoring.importing import ConstitutionRequest, import_constitution
    from publius.sources.column_names import parse_columns
    from publius.views.imports import print_imported_constitution

    theirs = parse_columns(columns or [], example="text=rule,id=name")
    imported = import_constitution(ConstitutionRequest(file, to, format, name, theirs, examples))
    emit(imported, as_json, print_imported_constitution)

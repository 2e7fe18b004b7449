"""The commands that set Publius up: `init`, `doctor`, `models pull`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from publius.commands.options import AsJson, HtmlOption, PromptFileColumns, QuotesOption, refuse_readings
from publius.console import emit
from publius.runs.project import DEFAULT_PRESET

models_app = typer.Typer(help="Install the embedded model.", no_args_is_help=True)


def init(
    folder: Annotated[
        Path | None, typer.Argument(help="A new or empty folder.", metavar="DIR", show_default=False)
    ] = None,
    preset: Annotated[
        str, typer.Option(help="Preset that the constitution extends, and whose prompts are written.")
    ] = DEFAULT_PRESET,
    constitution: Annotated[
        Path | None,
        typer.Option(
            help="Use this constitution of yours; it stays where it is.", metavar="FILE", show_default=False
        ),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="Use these prompts of yours: any file that a run reads, or a Hugging Face id.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    columns: PromptFileColumns = None,
    html: HtmlOption = None,
    tools: Annotated[
        Literal["skip", "drop"] | None,
        typer.Option(
            metavar="skip|drop",
            help="With --prompts: skip conversations with calls of tools, or drop the turns of tools and "
            "read the rest; if not given, they are skipped.",
            show_default=False,
        ),
    ] = None,
    quotes: QuotesOption = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE",
            help="With --prompts: only rows with this value in the file's column, as in consent=true or "
            "market=[DE, UK], or without it, as in status!=rejected; several must all hold.",
        ),
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OURS=THEIRS",
            help="With --prompts: which rows are train, preference and test, by the word in their column "
            "split or by the data set's split, as in train=dev,test=test.",
        ),
    ] = None,
    templates: Annotated[
        Path | None,
        typer.Option(
            help="Write the templates of all requests to this folder, to edit and name in `templates` of a "
            "run file.",
            metavar="DIR",
        ),
    ] = None,
) -> None:
    """Create a new project. It has constitution.yaml, run.yaml and prompts.jsonl."""
    from prompts.user_templates import init_templates
    from publius.authoring.given import (
        note_columns,
        note_given,
        note_mapped,
        note_split,
        parse_splits,
        read_given,
    )
    from publius.runs.project import OwnFiles, init_project
    from publius.sources.column_names import parse_columns, parse_conditions
    from publius.sources.splits.mapping import held_out_splits
    from publius.sources.texts.reading import IN_COMMAND, TextReading
    from publius.views.setup import print_project, print_templates

    if folder is None and templates is None:
        raise typer.BadParameter("give a folder for the project, or --templates DIR")
    if templates is not None:
        print_templates(templates, init_templates(templates))
    theirs = parse_columns(columns or [], "tags=MOOD")
    of_prompts = {"--columns": columns, "--tools": tools, "--where": where, "--split": split}
    if prompts is None and (given_option := next((name for name, held in of_prompts.items() if held), None)):
        raise typer.BadParameter(f"{given_option} requires --prompts")
    refuse_readings(html, quotes, prompts, "--prompts")
    conditions = parse_conditions(where or [])
    splits: dict[str, str] | None = None
    if folder is not None:
        if prompts is not None:
            splits = parse_splits(split) if split else held_out_splits(prompts)
            reading = TextReading(html, quotes)
            given = read_given(prompts, theirs, conditions, splits, reading, tools, IN_COMMAND)
            note_given(given)
            note_columns(given)
            if not split:
                note_mapped(prompts, splits)
            note_split(given)
        print_project(
            folder,
            init_project(
                folder,
                preset,
                OwnFiles(constitution, prompts, theirs, conditions, splits, html, tools, quotes),
            ),
            constitution,
            own_prompts=prompts is not None,
        )


def doctor(as_json: AsJson = False) -> int:
    """Check the installation and say how to fix each problem."""
    from publius.doctor import examine
    from publius.views.setup import print_examination

    examination = examine()
    emit(examination, as_json, print_examination)
    return 0 if examination.ok else 2


@models_app.command()
def pull() -> None:
    """Install, convert and verify the embedded model."""
    from publius.models.pull import pull_embedded
    from publius.views.setup import print_pulled

    print_pulled(pull_embedded())

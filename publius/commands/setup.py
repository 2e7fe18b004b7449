"""The commands that set Publius up: `init`, `doctor`, `models pull`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from publius.commands.options import AsJson, PromptFileColumns
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
    from publius.authoring.given import note_given, read_given
    from publius.runs.project import OwnFiles, init_project
    from publius.sources.column_names import parse_columns
    from publius.views.setup import print_project, print_templates

    if folder is None and templates is None:
        raise typer.BadParameter("give a folder for the project, or --templates DIR")
    if templates is not None:
        print_templates(templates, init_templates(templates))
    theirs = parse_columns(columns or [], "tags=MOOD")
    if columns and prompts is None:
        raise typer.BadParameter("--columns requires --prompts")
    if folder is not None:
        if prompts is not None:
            note_given(read_given(prompts, theirs))
        print_project(
            folder, init_project(folder, preset, OwnFiles(constitution, prompts, theirs)), constitution
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

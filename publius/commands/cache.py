"""The commands about the request cache of a project: `cache show`, `cache prune` and `cache check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from publius.commands.options import AsJson
from publius.console import emit

cache_app = typer.Typer(no_args_is_help=True, help="Show, prune or check a project's request cache.")

Project = Annotated[
    Path, typer.Argument(help="The project: its folder, or a run file in it.", metavar="PROJECT")
]


@cache_app.command("show")
def show_cache(project: Project = Path(), as_json: AsJson = False) -> None:
    """Show the number and size of the answers by model and purpose."""
    from publius.runs.request_cache import list_cache
    from publius.views.costs.cache import print_cache

    emit(list_cache(_folder(project)), as_json, print_cache)


@cache_app.command("prune")
def prune_(
    project: Project = Path(),
    older_than: Annotated[
        str | None,
        typer.Option(help="Remove answers not used for this long, such as 30d or 12h.", metavar="AGE"),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Remove answers of this model only.")] = None,
    max_gb: Annotated[
        float | None,
        typer.Option(help="Remove the answers used longest ago until the file is below this size.", min=0.0),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Remove answers. A run that needs one of them asks the model again."""
    from publius.runs.request_cache import PruneRequest, prune_cache
    from publius.views.costs.cache import print_pruned

    emit(prune_cache(_folder(project), PruneRequest(older_than, model, max_gb)), as_json, print_pruned)


@cache_app.command("check")
def check_(project: Project = Path(), as_json: AsJson = False) -> None:
    """Read the whole file; rename a damaged one, and exit with code 1."""
    from publius.runs.request_cache import check_cache
    from publius.views.costs.cache import print_cache_check

    result = check_cache(_folder(project))
    emit(result, as_json, print_cache_check)
    if result.damage is not None:
        raise typer.Exit(1)


def _folder(project: Path) -> Path:
    return project.resolve().parent if project.is_file() else project

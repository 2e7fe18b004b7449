"""The commands about a project: its runs (`runs list`, `runs merge`), and its request cache (`cache`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from publius.commands.options import AsJson
from publius.commands.tree.groups import GroupWithDefault
from publius.console import emit

runs_app = typer.Typer(cls=GroupWithDefault, help="List the runs of a project, or unite shards (runs merge).")
cache_app = typer.Typer(no_args_is_help=True, help="Show, prune or check a project's request cache.")

Project = Annotated[
    Path, typer.Argument(help="The project: its folder, or a run file in it.", metavar="PROJECT")
]


@runs_app.command("list")
def list_(
    project: Project = Path(),
    as_json: AsJson = False,
) -> None:
    """List the runs of a project: when, how far, what came out."""
    from publius.views.looking.listing import list_runs
    from publius.views.looking.runs import print_runs

    emit(list_runs(project), as_json, print_runs)


@runs_app.command("merge")
def merge_(
    shards: Annotated[
        list[Path],
        typer.Argument(help="Folders of shards that publius run --shard made.", metavar="RUN..."),
    ],
    to: Annotated[
        Path | None,
        typer.Option(help="Folder of the run; beside the first shard if not given.", metavar="DIR"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Unite the shards of a run in one run folder. Repeating it changes nothing."""
    from publius.stages.scale.merge import MergeRequest, merge_shards
    from publius.views.looking.merged import print_merged

    emit(merge_shards(MergeRequest(tuple(shards), to)), as_json, print_merged)


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

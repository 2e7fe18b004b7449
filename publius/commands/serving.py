"""The commands `serve` and `studio`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from publius.commands.options import AsJson
from publius.console import emit


def serve_(
    model: Annotated[
        str | None,
        typer.Argument(
            help="A run folder, a model's folder, a Hugging Face id, or `scripted`.", metavar="MODEL|RUN"
        ),
    ] = None,
    adapter: Annotated[
        Path | None, typer.Option(help="LoRA adapter to attach to MODEL.", metavar="DIR")
    ] = None,
    reward: Annotated[
        Path | None,
        typer.Option(
            help="Answer decisions by this reward model (choices between replies) or trained judge (also yes "
            "or no).",
            metavar="DIR",
        ),
    ] = None,
    variants: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="VARIANT",
            help="A variant of RUN to serve: base, sft, dpo, ...; may be repeated. If not given: the chosen "
            "checkpoint, or else the variant trained last.",
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help="Engine that runs the model: transformers, vllm, or the address of a server (its key in "
            "PUBLIUS_API_KEY). If not given: the run's own, and transformers for a model.",
            metavar="KIND|URL",
        ),
    ] = None,
    both_orders: Annotated[
        bool,
        typer.Option(
            "--both-orders",
            help="Ask each choice in both orders of its options and average the log-odds; twice the work.",
        ),
    ] = False,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 picks a free one.")] = 8000,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A further host name of this server; may be repeated.", metavar="NAME"),
    ] = None,
    token_env: Annotated[
        str | None,
        typer.Option(
            help="Environment variable with the token that clients send. If not given: PUBLIUS_SERVE_TOKEN, "
            "or else a new token is printed.",
            metavar="NAME",
        ),
    ] = None,
    no_token: Annotated[
        bool, typer.Option("--no-token", help="Ask clients on this machine for no token.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Serve a model over HTTP, for chat and for decisions."""
    from publius.serving.served import ServeRequest, serve_models
    from publius.views.chat import print_listening, print_stopped

    request = ServeRequest(
        model=model,
        adapter=adapter,
        reward=reward,
        variants=tuple(variants or ()),
        engine=engine,
        both_orders=both_orders,
        host=host,
        port=port,
        allow_hosts=tuple(allow_host or ()),
        token_env=token_env,
        with_token=not no_token,
    )
    stopped = serve_models(request, lambda where: emit(where, as_json, print_listening, on_one_line=True))
    emit(stopped, as_json, print_stopped, on_one_line=True)


def studio_(
    project: Annotated[
        Path,
        typer.Argument(
            help="A project's folder, or its run file or constitution. If not given: the current folder.",
            metavar="[PROJECT]",
            show_default=False,
        ),
    ] = Path(),
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 picks a free one.")] = 8322,
    token: Annotated[
        str | None,
        typer.Option(
            help="Token of the link. If not given: the project's own, made at the first start.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Edit the constitution in the browser and watch labels flip."""
    from publius.studio.serving import StudioRequest, serve_studio
    from publius.views.chat import print_studio
    from publius.views.report.side_by_side import ReportViews

    request = StudioRequest(project, port, token)
    serve_studio(request, lambda link: emit(link, as_json, print_studio, on_one_line=True), ReportViews())

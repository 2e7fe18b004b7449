"""The commands about a constitution itself: it is checked like code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from engines.embedded import EMBEDDED_NAME
from pipeline.console import out, warn
from pipeline.options import AsJson

constitution_app = typer.Typer()

ConstitutionSource = Annotated[
    str, typer.Argument(help="A constitution file or the name of a preset.", metavar="CONSTITUTION")
]


@constitution_app.command()
def check(
    constitution: ConstitutionSource,
    as_json: AsJson = False,
) -> None:
    """Validate a constitution. Every mistake is told with its line and column."""
    from constitution.loader import load_constitution

    loaded = load_constitution(constitution)
    checked = sum(principle.check is not None for principle in loaded.principles)
    if as_json:
        principles = [principle.id for principle in loaded.principles]
        out.print_json(json.dumps({"name": loaded.name, "digest": loaded.digest, "principles": principles}))
        return
    count = len(loaded.principles)
    out.print(f"{loaded.name}: {count} principles, {checked} machine-checkable, digest {loaded.digest[:16]}")


@constitution_app.command()
def prompts(
    constitution: ConstitutionSource,
    count: Annotated[int, typer.Option("-n", "--count", help="How many prompts, over all principles.")],
    to: Annotated[Path, typer.Option(help="A new .jsonl file.", metavar="FILE")],
    model: Annotated[
        str, typer.Option(help="Hugging Face id, folder, or the embedded model.")
    ] = EMBEDDED_NAME,
    seed: Annotated[int, typer.Option(min=0, help="Another seed asks for other prompts.")] = 0,
    only: Annotated[
        list[str] | None, typer.Option(help="Only for this principle; may be repeated.", metavar="ID")
    ] = None,
    seeds_from: Annotated[
        Path | None,
        typer.Option(
            help="Prompts of yours (.jsonl or .txt): the model is shown some for subject and tone, "
            "and repeats none.",
            metavar="FILE",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Have a model write prompts for a constitution. They are tempting, borderline and everyday ones."""
    from pipeline.prompt_synthesis import PromptsRequest, print_prompts, synthesise

    request = PromptsRequest(constitution, count, to, model, seed, tuple(only or ()), seeds_from)
    result = synthesise(request)
    for warning in result.warnings:
        warn(warning)
    if as_json:
        out.print_json(json.dumps(result.summary()))
    else:
        print_prompts(result)

"""The commands about a constitution itself: it is checked like code."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.console import note, out
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
def schema(
    to: Annotated[Path | None, typer.Option(help="Write it there instead.", metavar="FILE")] = None,
) -> None:
    """Print the JSON Schema of constitutions. Editors complete and check by it."""
    from constitution.file_schema import json_schema_text
    from core.files import os_errors, write_atomic

    if to is None:
        sys.stdout.write(json_schema_text())
        return
    with os_errors(to):
        write_atomic(to, json_schema_text())
    note(f"wrote {to}")

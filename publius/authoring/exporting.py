"""`publius export CONSTITUTION --constitution anthropic`: a constitution in a form that others read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from constitution.importers.anthropic_export import to_anthropic
from constitution.loader import load_constitution
from core.errors import ConfigError
from core.store.files import os_errors, require_empty, write_atomic
from core.text.explain import one_of

EXPORT_FORMS = ("anthropic",)


@dataclass(frozen=True)
class ExportedConstitution:
    """What was written, and what the form has no place for."""

    folder: str
    form: str
    name: str
    files: list[str]
    requests: int
    comparisons: int
    few_shots: int
    left_out: dict[str, list[str]]
    """Ids of principles, by the reason why something of them is not in the files."""

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON-able values."""
        return asdict(self)


def export_constitution(source: str, form: str, to: Path) -> ExportedConstitution:
    """Write a constitution's requests into a new or empty folder; return what was written, and what was not.

    Args:
        source: A constitution file, the name of a preset, or a run folder.
        form: `anthropic`.
        to: The folder.

    Raises:
        ConfigError: There is no such form, the constitution is wrong, or nothing of it fits the form.
        RunStateError: The folder holds something, or cannot be written.
    """
    if form not in EXPORT_FORMS:
        raise ConfigError(
            f"there is no form {form!r}", where="--constitution", accepted=one_of(EXPORT_FORMS, form)
        )
    constitution = load_constitution(_of_run(source))
    export = to_anthropic(constitution)
    if not export.files:
        what = "no principle has requests of its own, and the form holds nothing else"
        accepted = "principles with critique and revision, or with comparison"
        raise ConfigError(what, where=source, accepted=accepted)
    require_empty(to)
    with os_errors(to):
        to.mkdir(parents=True, exist_ok=True)
    for name, content in export.files.items():
        write_atomic(to / name, content)
    return ExportedConstitution(
        folder=str(to),
        form=form,
        name=constitution.name,
        files=list(export.files),
        requests=export.requests,
        comparisons=export.comparisons,
        few_shots=export.few_shots,
        left_out=export.skipped,
    )


def _of_run(source: str) -> str:
    """Return the constitution file of a run folder; anything else as it is."""
    inside = Path(source) / "constitution.yaml"
    with os_errors(inside):
        return str(inside) if inside.is_file() else source

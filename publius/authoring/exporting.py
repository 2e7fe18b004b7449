"""`publius export CONSTITUTION --constitution anthropic`: write a constitution in another tool's format."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from constitution.importers.anthropic_export import to_anthropic
from constitution.loader import load_constitution
from core.errors import ConfigError
from core.store.files import os_errors, whole_folder, write_atomic
from core.text.explain import one_of

EXPORT_FORMS = ("anthropic",)


@dataclass(frozen=True)
class ExportedConstitution:
    """The exported files, and the parts of the constitution that the format cannot hold."""

    folder: str
    form: str
    name: str
    files: list[str]
    requests: int
    comparisons: int
    few_shots: int
    skipped: dict[str, list[str]]
    """Ids of principles that are not fully exported, by reason."""

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON-able values."""
        values = asdict(self)
        return {**values, "left_out": values.pop("skipped")}


def export_constitution(source: str, form: str, to: Path) -> ExportedConstitution:
    """Export a constitution's critique, revision and comparison requests to a new or empty folder.

    Args:
        source: a constitution file, the name of a preset, or a run folder.
        form: the format; `anthropic`.
        to: the target folder.

    Raises:
        ConfigError: if the format is unknown, the constitution is invalid, or it has nothing to export.
        RunStateError: if the folder is not empty or not writable.
    """
    if form not in EXPORT_FORMS:
        raise ConfigError(
            f"unknown format {form!r}", where="--constitution", accepted=one_of(EXPORT_FORMS, form)
        )
    constitution = load_constitution(_of_run(source))
    export = to_anthropic(constitution)
    if not export.files:
        what = "nothing to export: no principle has its own requests, and the format holds only requests"
        accepted = "principles with critique and revision, or with comparison"
        raise ConfigError(what, where=source, accepted=accepted)
    with whole_folder(to) as folder:
        for name, content in export.files.items():
            write_atomic(folder / name, content)
    return ExportedConstitution(
        folder=str(to),
        form=form,
        name=constitution.name,
        files=list(export.files),
        requests=export.requests,
        comparisons=export.comparisons,
        few_shots=export.few_shots,
        skipped=export.skipped,
    )


def _of_run(source: str) -> str:
    """Return the constitution file if `source` is a run folder, else `source` itself."""
    inside = Path(source) / "constitution.yaml"
    with os_errors(inside):
        return str(inside) if inside.is_file() else source

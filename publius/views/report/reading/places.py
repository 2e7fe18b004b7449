"""Where the principles of a run are: in the user's file, and in the copy that the page shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from constitution.loader import LoadedConstitution, read_constitution
from core.errors import PubliusError
from publius.runs.inputs import CONSTITUTION
from publius.views.report.reading.sources import RunSource


@dataclass(frozen=True)
class PrinciplePlace:
    """The place of one principle."""

    where: str
    """`file:line` in the file that the run was made from, if it is unchanged, else in the run's copy."""
    line: int
    """Line in the run's copy, from 1."""
    anchor: str
    """Id on the page, to be prefixed by the place of the run."""


def principle_places(run: RunSource) -> dict[str, PrinciplePlace]:
    """Return the places of a run's principles by id, in the order of the constitution; empty without one."""
    if run.constitution is None:
        return {}
    copy = read_constitution(run.folder / CONSTITUTION)
    wheres = _wheres(_original(run) or copy)
    lines = [copy.document.mark(("principles", n)).line for n in range(len(run.constitution.principles))]
    return {
        principle.id: PrinciplePlace(wheres.get(principle.id, ""), line, f"principle-{number}")
        for number, (principle, line) in enumerate(zip(run.constitution.principles, lines, strict=True), 1)
    }


def marked_constitution(text: str, places: dict[str, PrinciplePlace]) -> tuple[tuple[str, str], ...]:
    """Return the text of a constitution in parts, each with the anchor of the principle that it begins with.

    Args:
        text: the run's copy.
        places: the places of its principles.
    """
    starts = {one.line: one.anchor for one in places.values()}
    parts: list[tuple[str, list[str]]] = [("", [])]
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        if number in starts:
            parts.append((starts[number], []))
        parts[-1][1].append(line)
    return tuple((anchor, "".join(lines)) for anchor, lines in parts if lines)


def _original(run: RunSource) -> LoadedConstitution | None:
    """Return the constitution that the run was made from; None if it is gone or was edited since."""
    try:
        found = read_constitution(run.reader.config.constitution)
    except PubliusError:
        return None
    return found if found.constitution.digest == run.reader.identity.constitution else None


def _wheres(loaded: LoadedConstitution) -> dict[str, str]:
    def located() -> Iterator[tuple[str, str]]:
        for number, principle in enumerate(loaded.constitution.principles):
            mark = loaded.document.mark(("principles", number))
            # The name alone: a report is mailed, and folders say more about their owner than a reader needs.
            yield principle.id, f"{Path(mark.path or loaded.path).name}:{mark.line}"

    return dict(located())

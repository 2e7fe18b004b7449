"""`publius import constitution`: a file in somebody else's form becomes a constitution file of ours.

The file is written beside its place under a hidden name, loaded as any constitution is, and only then put in
place; a file that is there already is never touched, nor one that came there meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from constitution.importers.reading import Occurrences
from constitution.importers.registry import AUTO_FORM, Imported, read_source
from constitution.importers.writing import constitution_file
from constitution.loader import read_constitution
from constitution.schema import Constitution
from core.errors import ConfigError, DataError, RunStateError
from core.store.files import is_there, os_errors, write_atomic, write_new

_SHOWN = 20


@dataclass(frozen=True)
class ConstitutionRequest:
    """What to import, how, and where to."""

    source: Path
    to: Path
    format: str = AUTO_FORM
    name: str | None = None
    """The constitution's name; as the file says, else the file's own, if None."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Of our keys, what the file calls them."""
    examples: bool = True
    """Whether few-shots become examples."""


@dataclass(frozen=True)
class ImportedConstitution:
    """What was taken, what was not, and why."""

    file: str
    source: str
    format: str
    recognised: str
    """Why the file was taken to be of that format."""
    name: str
    digest: str
    principles: int
    with_critique: int
    with_revision: int
    with_comparison: int
    examples: int
    stripped: dict[str, int]
    left_out: list[Mapping[str, Any]]
    notes: list[Mapping[str, Any]]
    renamed: dict[str, str]
    passed_over: list[str]

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON-able values."""
        return asdict(self)


def import_constitution(request: ConstitutionRequest) -> ImportedConstitution:
    """Return what was imported, once the file is written.

    Raises:
        ConfigError: There is no such format or column.
        DataError: The source cannot be read, has mistakes or no principles, one problem each.
        RunStateError: Something stands at `to` already, or it cannot be written.
    """
    _refuse_if_there(request.to)
    imported = read_source(request.source, request.format, request.columns)
    reading = imported.reading
    entries = reading.written(imported.form.summary)
    if not request.examples:
        _drop_examples(entries, imported)
    name = request.name or reading.name or _name_of(request.source.resolve())
    comments = list(_comments(request, imported))
    constitution = _put(request, constitution_file(request.to, name, reading, entries, comments))
    return _result(request, imported, constitution)


def _refuse_if_there(to: Path) -> None:
    if is_there(to):
        raise RunStateError("something is there already", where=str(to), accepted="--to a new file")
    if not is_there(to.parent):
        raise RunStateError("there is no such folder", where=str(to.parent), run=f"mkdir -p {to.parent}")
    if to.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"found {to.name!r}", where="--to", accepted="the path of a new .yaml file")


def _name_of(source: Path) -> str:
    name = source.name if source.is_dir() else source.stem
    return name.encode("utf-8", "replace").decode()  # file names may hold bytes that are no text


def _drop_examples(entries: list[dict[str, Any]], imported: Imported) -> None:
    for entry in entries:
        for _ in entry.pop("examples", ()):
            imported.reading.skip("an example, by --no-examples", entry["id"])


def _put(request: ConstitutionRequest, text: str) -> Constitution:
    """Write the file aside, load it from there, and let it appear under its name."""
    aside = request.to.with_name(f".{request.to.stem}.{os.getpid()}.importing.yaml")
    write_atomic(aside, text)
    try:
        constitution = read_constitution(aside).constitution
        write_new(request.to, text)
    except ConfigError as error:
        what = f"what it says makes no constitution: {error.problems[0].what}"
        raise DataError(what, where=str(request.source), accepted=error.problems[0].accepted) from error
    finally:
        with os_errors(aside):
            aside.unlink(missing_ok=True)
    return constitution


def _comments(request: ConstitutionRequest, imported: Imported) -> Iterator[str]:
    """Yield what the file says about its origin, a paragraph each."""
    reading = imported.reading
    format = imported.form.name
    yield f"Imported from {request.source.name} in the format {format}, by publius import constitution."
    taken_off = [f"{sign!r} {count:,} times" for sign, count in reading.stripped.items() if count]
    if taken_off:
        yield f"Stripped: {', '.join(taken_off)}."
    for title, entries in (("Left out", reading.skipped), ("Noted", reading.notes)):
        for reason, found in entries.items():
            yield f"{title}: {reason}, {_told(found, request.source)}."
    if reading.ignored:
        yield f"Not used: {_some(list(reading.ignored))}."


def _told(found: Occurrences, source: Path) -> str:
    """Return how often and where, as in `3 times (a.txt:3, a.txt:9, ...)`."""
    times = "once" if found.count == 1 else f"{found.count:,} times"
    return f"{times} ({_places(found.places, found.count, str(source))})"


def _places(places: Sequence[str], count: int, source: str) -> str:
    """Return the first places, without the folder that all are in."""
    folder = source if Path(source).is_dir() else str(Path(source).parent)
    short = [place.removeprefix(folder).removeprefix(os.sep) for place in places]
    return ", ".join([*short, "..."] if count > len(short) else short)


def _some(names: Sequence[str]) -> str:
    """Return the names, or the first of them and how many more there are."""
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else shown


def _result(
    request: ConstitutionRequest, imported: Imported, constitution: Constitution
) -> ImportedConstitution:
    reading, principles = imported.reading, constitution.principles
    return ImportedConstitution(
        file=str(request.to),
        source=str(request.source),
        format=imported.form.name,
        recognised=imported.why,
        name=constitution.name,
        digest=constitution.digest,
        principles=len(principles),
        with_critique=sum(principle.critique is not None for principle in principles),
        with_revision=sum(principle.revision is not None for principle in principles),
        with_comparison=sum(principle.comparison is not None for principle in principles),
        examples=sum(len(principle.examples) for principle in principles),
        stripped={sign: count for sign, count in reading.stripped.items() if count},
        left_out=_listed(reading.skipped),
        notes=_listed(reading.notes),
        renamed=reading.renamed,
        passed_over=list(reading.ignored),
    )


def _listed(entries: Mapping[str, Occurrences]) -> list[Mapping[str, Any]]:
    """Return what was counted, the most frequent first."""
    ordered = sorted(entries.items(), key=lambda entry: -entry[1].count)
    return [{"reason": reason, **asdict(found)} for reason, found in ordered]

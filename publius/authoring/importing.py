"""`publius import constitution`: convert another tool's file to a constitution file.

The text is first written under a hidden temporary name and loaded as a constitution. Only then is it written
under its final name. An existing file is never overwritten, not even one that was created in the meantime.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from constitution.asked.rules import asked_checks
from constitution.importers.reading import Occurrences, first_words
from constitution.importers.registry import AUTO_FORM, Imported, read_source
from constitution.importers.writing import constitution_file
from constitution.loader import read_constitution
from constitution.schema import Constitution
from core.errors import ConfigError, DataError, RunStateError, shell_command
from core.store.files import is_there, os_errors, write_atomic, write_new

_SHOWN = 20


@dataclass(frozen=True)
class ConstitutionRequest:
    """A file to import, its format and the target file."""

    source: Path
    to: Path
    format: str = AUTO_FORM
    name: str | None = None
    """Name of the constitution; if None, the name in the file, or else the file's own name."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Column names of the file, by our key."""
    examples: bool = True
    """True to import few-shot examples."""


@dataclass(frozen=True)
class ImportedConstitution:
    """The imported parts, and the skipped and ignored ones with reasons."""

    file: str
    source: str
    format: str
    recognised: str
    """Explanation of how the format was recognised."""
    name: str
    digest: str
    principles: int
    with_critique: int
    with_revision: int
    with_comparison: int
    examples: int
    stripped: dict[str, int]
    skipped: list[Mapping[str, Any]]
    notes: list[Mapping[str, Any]]
    renamed: dict[str, str]
    ignored: list[str]
    ignored_values: dict[str, list[str]]
    """The different values of ignored keys that may change what a rule means or how much it counts."""
    ignored_shown: list[str]
    with_weight: int = 0
    checks_offered: int = 0
    """Number of principles whose text asks for something that a machine check can decide."""

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON-able values."""
        values = asdict(self)
        values.pop("ignored_shown")
        return {**values, "left_out": values.pop("skipped"), "passed_over": values.pop("ignored")}


def import_constitution(request: ConstitutionRequest) -> ImportedConstitution:
    """Import a file, write the constitution and return a summary.

    Raises:
        ConfigError: if a format or column is unknown.
        DataError: if the source cannot be read, has errors or has no principles; one problem for each error.
        RunStateError: if `to` exists or cannot be written.
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
        raise RunStateError("path already exists", where=str(to), accepted="a new file for --to")
    if not is_there(to.parent):
        raise RunStateError(
            "no such folder", where=str(to.parent), run=shell_command("mkdir", "-p", to.parent)
        )
    if to.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"found {to.name!r}", where="--to", accepted="the path of a new .yaml file")


def _name_of(source: Path) -> str:
    name = source.name if source.is_dir() else source.stem
    return name.encode("utf-8", "replace").decode()  # file names may contain bytes that are not valid UTF-8


def _drop_examples(entries: list[dict[str, Any]], imported: Imported) -> None:
    for entry in entries:
        for _ in entry.pop("examples", ()):
            imported.reading.skip("an example (--no-examples)", entry["id"])


def _put(request: ConstitutionRequest, text: str) -> Constitution:
    """Write the text to a temporary file, validate it, and write it under its final name."""
    temporary = request.to.with_name(f".{request.to.stem}.{os.getpid()}.importing.yaml")
    write_atomic(temporary, text)
    try:
        constitution = read_constitution(temporary).constitution
        write_new(request.to, text)
    except ConfigError as error:
        what = f"the imported constitution is invalid: {error.problems[0].what}"
        raise DataError(what, where=str(request.source), accepted=error.problems[0].accepted) from error
    finally:
        with os_errors(temporary):
            temporary.unlink(missing_ok=True)
    return constitution


def _comments(request: ConstitutionRequest, imported: Imported) -> Iterator[str]:
    """Yield the comment paragraphs about the origin of the constitution."""
    reading = imported.reading
    format = imported.form.name
    yield f"Imported by publius import constitution from {request.source.name}, in the format {format}."
    taken_off = [f"{sign!r} {count:,} times" for sign, count in reading.stripped.items() if count]
    if taken_off:
        yield f"Stripped: {', '.join(taken_off)}."
    for title, entries in (("Skipped", reading.skipped), ("Note", reading.notes)):
        for reason, found in entries.items():
            yield f"{title}: {reason}, {_occurrences(found, request.source)}."
            yield from quoted_lines(_as_json(reason, found), str(request.source))
    if reading.ignored:
        yield f"Ignored: {_some(reading.ignored_shown())}."


def _occurrences(found: Occurrences, source: Path) -> str:
    """Return the number of occurrences and their places, such as `3 times (a.txt:3, a.txt:9, ...)`."""
    times = "once" if found.count == 1 else f"{found.count:,} times"
    return f"{times} ({_places(found.places, found.count, str(source))})"


def _places(places: Sequence[str], count: int, source: str) -> str:
    """Return the first places, relative to their common folder."""
    folder = source if Path(source).is_dir() else str(Path(source).parent)
    short = [place.removeprefix(folder).removeprefix(os.sep) for place in places]
    return ", ".join([*short, "..."] if count > len(short) else short)


def quoted_lines(entry: Mapping[str, Any], source: str, *, short: bool = False) -> Iterator[str]:
    """Yield the texts that were skipped for one reason, each with its place.

    Args:
        entry: the reason, as in `ImportedConstitution.skipped`.
        source: the imported file or folder.
        short: True for their first words alone, for a terminal.
    """
    for quote in entry["quotes"]:
        words = first_words(quote["words"]) if short else quote["words"]
        yield f'{_places([quote["where"]], 1, source)} "{words}"'
    more = entry["texts"] - len(entry["quotes"])
    if more > 0:
        yield f"and {more:,} more"


def _some(names: Sequence[str]) -> str:
    """Return the names, or the first ones and the number of the others."""
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
        skipped=_listed(reading.skipped),
        notes=_listed(reading.notes),
        renamed=reading.renamed,
        ignored=list(reading.ignored),
        ignored_values={key: list(values) for key, values in reading.ignored_values.items()},
        ignored_shown=reading.ignored_shown(),
        with_weight=sum(principle.weight != 1 for principle in principles),
        checks_offered=sum(p.check is None and asked_checks(p.text) is not None for p in principles),
    )


def _listed(entries: Mapping[str, Occurrences]) -> list[Mapping[str, Any]]:
    """Return the counted reasons, most frequent first."""
    ordered = sorted(entries.items(), key=lambda entry: -entry[1].count)
    return [_as_json(reason, found) for reason, found in ordered]


def _as_json(reason: str, found: Occurrences) -> Mapping[str, Any]:
    quotes = [quote._asdict() for quote in found.quotes]
    return {
        "reason": reason,
        "count": found.count,
        "places": found.places,
        "texts": found.texts,
        "quotes": quotes,
    }

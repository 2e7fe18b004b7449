"""Registry of the importable formats, and detection of a file's format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from constitution.importers.anthropic import FILES, AnthropicFiles
from constitution.importers.forms import ConstitutionForm
from constitution.importers.lines import NemoAligner, PlainLines
from constitution.importers.markdown import Markdown
from constitution.importers.pairs import LangChain, LlmSwarm
from constitution.importers.reading import Reading
from constitution.importers.records import Table
from constitution.importers.source import JSON_SUFFIXES, YAML_SUFFIXES, ForeignFile, read_foreign
from constitution.importers.under_keys.lists import JsonList, has_groups
from constitution.loader import read_constitution
from core.errors import ConfigError, DataError, shell_command
from core.store.files import os_errors
from core.text.explain import one_of

FORMS: tuple[ConstitutionForm, ...] = (
    AnthropicFiles(),
    LlmSwarm(),
    LangChain(),
    NemoAligner(),
    Markdown(),
    Table(),
    JsonList(),
    PlainLines(),
)
"""All importers, in the order of detection: specific formats before general ones."""
AUTO_FORM = "auto"
_READABLE = (
    "rules as a list, or as lists under keys, as in `must: [name a limit]` and `must_not: [name a brand]`"
)


@dataclass(frozen=True, slots=True)
class Imported:
    """Result of an import: the content, the importer, and the reason for its choice."""

    reading: Reading
    form: ConstitutionForm
    why: str


def form_named(name: str) -> ConstitutionForm:
    """Return the importer with this name. Raises ConfigError if there is none."""
    form = next((form for form in FORMS if form.name == name), None)
    if form is None:
        accepted = one_of((AUTO_FORM, *(form.name for form in FORMS)), name)
        raise ConfigError(f"unknown format {name!r}", where="--format", accepted=accepted)
    return form


def read_source(path: Path, name: str = AUTO_FORM, columns: Mapping[str, str] | None = None) -> Imported:
    """Return the content of a file, or of a folder of the paper's files.

    Mistakes in the content are raised only by `Reading.written`, as a DataError.

    Raises:
        ConfigError: The format is unknown, or `columns` names an unknown key or a missing column.
        DataError: The file cannot be read or parsed.
        RunStateError: An operating system error occurred.
    """
    asked = None if name == AUTO_FORM else form_named(name)
    with os_errors(path):
        is_folder = path.is_dir()
    if is_folder:
        return _read_folder(path, asked)
    file = read_foreign(path, columns)
    form, why = (asked, "it was given by --format") if asked else _recognised(file)
    if columns and not form.takes_columns:
        takers = [form.name for form in FORMS if form.takes_columns]
        what = f"the format {form.name} has no columns"
        raise ConfigError(what, where="--columns", accepted=f"--format {one_of(takers)}")
    reading = Reading(str(path))
    _question_format(file, form, reading)
    form.read(file, reading)
    return Imported(reading, form, why)


def _question_format(file: ForeignFile, form: ConstitutionForm, reading: Reading) -> None:
    """Note that YAML or JSON is read as text, or refuse it as a table."""
    if form.name not in ("csv", "markdown", "text") or not _is_structured(file):
        return
    if form.name == "csv":
        what = f"a {file.suffix} file is no table"
        raise ConfigError(what, where="--format", accepted="auto, or json for lists of rules")
    reading.note(
        f"a {file.suffix} file read as {form.name}; without --format its keys are read, too", str(file.path)
    )


def _is_structured(file: ForeignFile) -> bool:
    return file.suffix in (*JSON_SUFFIXES, *YAML_SUFFIXES)


def _recognised(file: ForeignFile) -> tuple[ConstitutionForm, str]:
    for form in FORMS:
        why = form.recognises(file)
        if why is not None:
            _refuse_our_own(file, form)
            return form, why
    raise AssertionError("plain text recognises every file")


def _refuse_our_own(file: ForeignFile, form: ConstitutionForm) -> None:
    """Refuse a YAML file in no other tool's form: a constitution needs no import."""
    if form.name != JsonList.name or file.suffix not in YAML_SUFFIXES or has_groups(file):
        return
    try:
        read_constitution(file.path)
    except ConfigError as error:
        what, accepted, run = "the YAML file is in none of the known formats", _READABLE, None
        if isinstance(file.value, dict) and not file.value.keys().isdisjoint(("principles", "extends")):
            what = f"the YAML file is a constitution with mistakes: {error.problems[0].what}"
            accepted, run = "a file of other rules", shell_command("publius", "check", file.path)
        elif _reads(file, form):
            accepted = "--format json to read it as a list"
    else:
        what = "the file is a constitution already; it needs no import"
        accepted, run = "a file of other rules", shell_command("publius", "check", file.path)
    raise DataError(what, where=str(file.path), accepted=accepted, run=run)


def _reads(file: ForeignFile, form: ConstitutionForm) -> bool:
    """Return whether a form reads principles from a file, and no mistakes."""
    reading = Reading(str(file.path))
    try:
        form.read(file, reading)
    except (ConfigError, DataError):
        return False
    return bool(reading.principles) and not reading.problems


def _read_folder(path: Path, asked: ConstitutionForm | None) -> Imported:
    """Return the combined content of the paper's files in a folder."""
    anthropic = FORMS[0]
    with os_errors(path):
        names = sorted(found.name for found in path.iterdir() if not found.name.startswith("."))
    found = [name for name in FILES if name in names]
    if not found or asked not in (None, anthropic):
        what = "this is a folder" if found else "the folder has none of the Anthropic files"
        raise DataError(what, where=str(path), accepted=f"a file, or a folder with {one_of(FILES)}")
    reading = Reading(str(path))
    for name in found:
        anthropic.read(read_foreign(path / name), reading)
    reading.ignore([name for name in names if name not in FILES])
    return Imported(reading, anthropic, f"the folder contains {', '.join(found)}")

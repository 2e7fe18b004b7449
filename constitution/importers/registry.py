"""The forms of constitutions by name, and which of them recognises a file."""

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
from constitution.importers.records import JsonList, Table
from constitution.importers.source import YAML_SUFFIXES, ForeignFile, read_foreign
from core.errors import ConfigError, DataError
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
"""In the order in which they are asked whether they recognise a file: the particular before the general."""
AUTO_FORM = "auto"


@dataclass(frozen=True, slots=True)
class Imported:
    """What was read, by which form, and why by that."""

    reading: Reading
    form: ConstitutionForm
    why: str


def form_named(name: str) -> ConstitutionForm:
    """Return the form of that name. Raises ConfigError if there is none."""
    form = next((form for form in FORMS if form.name == name), None)
    if form is None:
        accepted = one_of((AUTO_FORM, *(form.name for form in FORMS)), name)
        raise ConfigError(f"there is no format {name!r}", where="--format", accepted=accepted)
    return form


def read_source(path: Path, name: str = AUTO_FORM, columns: Mapping[str, str] | None = None) -> Imported:
    """Return what a file, or a folder of the paper's files, says.

    Raises:
        ConfigError: There is no such form, or `columns` name what nothing has.
        DataError: The file cannot be read; or, when `Reading.written` is called, has mistakes.
        RunStateError: The operating system refuses.
    """
    asked = None if name == AUTO_FORM else form_named(name)
    with os_errors(path):
        is_folder = path.is_dir()
    if is_folder:
        return _read_folder(path, asked)
    file = read_foreign(path, columns)
    form, why = (asked, "it was asked for") if asked else _recognised(file)
    if columns and not form.takes_columns:
        takers = [form.name for form in FORMS if form.takes_columns]
        raise ConfigError(
            f"{form.name} has no columns", where="--columns", accepted=f"--format {one_of(takers)}"
        )
    reading = Reading(str(path))
    form.read(file, reading)
    return Imported(reading, form, why)


def _recognised(file: ForeignFile) -> tuple[ConstitutionForm, str]:
    for form in FORMS:
        why = form.recognises(file)
        if why is not None:
            _refuse_our_own(file, form)
            return form, why
    raise AssertionError("plain text recognises every file")


def _refuse_our_own(file: ForeignFile, form: ConstitutionForm) -> None:
    """Refuse a YAML file in no foreign form, which is a constitution already or was meant as one."""
    if form.name == JsonList.name and file.suffix in YAML_SUFFIXES:
        what = "a YAML file in no form of others; it may be a constitution already"
        accepted = "--format json to read it as a list all the same"
        raise DataError(what, where=str(file.path), accepted=accepted, run=f"publius check {file.path}")


def _read_folder(path: Path, asked: ConstitutionForm | None) -> Imported:
    """Return what the paper's files in a folder say, in one reading."""
    anthropic = FORMS[0]
    with os_errors(path):
        names = sorted(found.name for found in path.iterdir() if not found.name.startswith("."))
    found = [name for name in FILES if name in names]
    if not found or asked not in (None, anthropic):
        what = "this is a folder" if found else "a folder without any of the Anthropic files"
        raise DataError(what, where=str(path), accepted=f"a file, or a folder with {one_of(FILES)}")
    reading = Reading(str(path))
    for name in found:
        anthropic.read(read_foreign(path / name), reading)
    reading.pass_over([name for name in names if name not in FILES])
    return Imported(reading, anthropic, f"the folder holds {', '.join(found)}")

"""Load a `Constitution` from a YAML file or preset, reporting every mistake with its line and column.

A file may extend another one and refer to passages of a document. The returned constitution is
self-contained. The base is read first and must be valid by itself. If an inherited value is a mistake only in
the extending file, it is reported at that file's `extends` line, together with the place in the base,
because the extending file is the one to fix.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from constitution.asked.misfits import with_right_checks
from constitution.file_form import misfit_entries, written_out
from constitution.file_schema import ConstitutionFile
from constitution.inheritance import ids_of, merge, misfits_of, without_base
from constitution.schema import Constitution, conflicts, missing_passages, weightless
from constitution.sources import preset_names, preset_path, read_chain, source_path, with_document
from core.code import modules_beside
from core.errors import ConfigError, Problem
from core.text.explain import MAX_ERRORS, Misfit, explain
from core.text.yaml_file import YamlDocument, in_order

__all__ = ["LoadedConstitution", "load_constitution", "preset_names", "preset_path", "read_constitution"]

_ABOUT_THE_BASE = (
    "the key 'text' is missing",
    "the key 'principles' is missing",
    "unknown passage",
    "unknown section",
)
"""Beginnings of messages about mistakes that may disappear once the base is known."""


@dataclass(frozen=True, slots=True)
class LoadedConstitution:
    """A constitution and the files it was read from."""

    constitution: Constitution
    document: YamlDocument
    """The file in full form, merged with what it inherits. It has the position of every value, or of the
    nearest enclosing one. Its value also contains the passages that no principle refers to."""
    files: tuple[Path, ...]
    """All files read: the file, its Markdown document, its base, the base's Markdown document, and so on."""
    overridden: frozenset[str] = frozenset()
    """Ids of principles that override one of a base: the base names them."""

    @property
    def path(self) -> Path:
        """Path of the file itself."""
        return self.document.path

    def where(self, *loc: str | int) -> str:
        """Return the position `file:line:column` of a value, e.g. `where("principles", 3, "weight")`."""
        return self.document.where(loc)


@dataclass(slots=True)
class _Level:
    """A file merged with everything it extends."""

    document: YamlDocument
    """The merged document in full form."""
    constitution: ConstitutionFile | None
    """The validated constitution; None if the file or its base has a mistake."""
    files: tuple[Path, ...]
    overridden: frozenset[str] = frozenset()


def load_constitution(source: str | Path) -> Constitution:
    """Return the constitution in a file or preset. See `read_constitution`."""
    return read_constitution(source).constitution


def read_constitution(source: str | Path, unsaved: Mapping[Path, str] | None = None) -> LoadedConstitution:
    """Return a constitution with the source position of every value.

    Args:
        source: The name of a preset (as `str`), or a path. Write `./name` for a file named like a preset.
        unsaved: Texts of an editor by absolute path, which are read in place of the files.

    Raises:
        ConfigError: The file does not exist or is not a valid constitution. There is one problem for each
            mistake in the file, in the files it extends and in their documents.
    """
    path = Path(source) if unsaved and Path(source) in unsaved else source_path(source)
    chain = read_chain(path, unsaved)
    problems = list(chain.problems)
    level: _Level | None = None
    for file in reversed(chain.documents):
        level, found = _level(file, level, chain.is_complete)
        problems += found
    if problems:
        raise ConfigError.of(in_order(problems))
    assert level is not None, "a chain has at least one file"
    assert level.constitution is not None, "a file without problems is a constitution"
    return LoadedConstitution(_resolved(level.constitution), level.document, level.files, level.overridden)


def _level(file: YamlDocument, base: _Level | None, is_complete: bool) -> tuple[_Level, list[Problem]]:
    """Return a file merged with its base, and its mistakes without those of the base itself."""
    below = base.document if base else None
    own, read, problems = with_document(written_out(file, ids_of(below)))
    if below is None:
        document = without_base(own) if "extends" in own.value else own
        misfits = [*_first(misfit_entries(file)), *_misfits_without_base(own)]
    else:
        merged = merge(below, own)
        document = merged.document
        misfits = [merged.moved(misfit) for misfit in _first(misfit_entries(file))]
        misfits += _first(misfits_of(below, own, merged))
    constitution, others = _fitted(document, misfits)
    misfits += others
    if problems:  # in the Markdown document, which may be why a passage is unknown
        misfits = [misfit for misfit in misfits if not misfit.what.startswith("unknown passage")]
    if not is_complete:
        misfits = [misfit for misfit in misfits if not misfit.what.startswith(_ABOUT_THE_BASE)]
    is_sound = base is None or base.constitution is not None
    problems += _problems(document, misfits, frozenset(read), is_sound)
    files = tuple(dict.fromkeys((file.path, *read, *(base.files if base else ()))))
    overridden = (base.overridden if base else frozenset()) | (ids_of(own).keys() & ids_of(below).keys())
    return _Level(document, None if problems or not is_sound else constitution, files, overridden), problems


def _first(misfits: Iterable[Misfit]) -> Iterator[Misfit]:
    """Return the first `MAX_ERRORS` misfits. More would be slow: each one searches for the nearest name."""
    return itertools.islice(misfits, MAX_ERRORS)


def _fitted(document: YamlDocument, known: Sequence[Misfit]) -> tuple[ConstitutionFile | None, list[Misfit]]:
    """Return the validated document and its mistakes other than the known ones."""
    found = list(_conflicts(document.value))
    try:
        # Validation imports the modules of `python` checks, which may be in the constitution's folder.
        with modules_beside(document.path.parent):
            return ConstitutionFile.model_validate(document.value), found
    except ValidationError as error:
        misfits = explain(ConstitutionFile, document.value, error)
    there = set(found)
    repeated = _repeated(document, known)
    others = [misfit for misfit in misfits if misfit not in there and not repeated(misfit)]
    return None, [*found, *with_right_checks(document.value, others)]


def _repeated(document: YamlDocument, known: Sequence[Misfit]) -> Callable[[Misfit], bool]:
    """Return a function that tells whether a validation misfit repeats a known one in other words."""
    of_principles = [misfit.loc for misfit in known if misfit.loc[:1] == ("principles",)]
    no_principle = {document.where(loc) for loc in of_principles if len(loc) == 2}
    no_text = {loc[:2] for loc in of_principles if len(loc) == 3}
    nothing_left = any(misfit.loc == ("remove",) for misfit in known)

    def repeated(misfit: Misfit) -> bool:
        if misfit.loc in no_text:
            return misfit.what.startswith("the key 'text' is missing")
        if misfit.loc == ("principles",):
            return nothing_left
        return document.problem(misfit).where in no_principle

    return repeated


def _problems(
    document: YamlDocument, misfits: Iterable[Misfit], read: frozenset[Path], is_sound: bool
) -> Iterator[Problem]:
    """Yield the misfits as problems, each at the place to fix.

    Args:
        document: The file merged with its base.
        misfits: The mistakes.
        read: The file's own Markdown document.
        is_sound: True if the base is valid by itself. If not, its mistakes are already reported.
    """
    for misfit in misfits:
        problem = document.problem(misfit)
        path = document.mark(misfit.loc).path
        if path is None or path in read:
            yield problem
        elif is_sound:
            what = f"{problem.what} (in {problem.where})"
            yield Problem(what, document.where(("extends",)), problem.accepted)


def _misfits_without_base(file: YamlDocument) -> Iterator[Misfit]:
    """Yield a misfit for a key that requires `extends`."""
    if "remove" in file.value and "extends" not in file.value:
        yield Misfit(("remove",), "remove requires extends", "a line 'extends: ...' as well", on_key=True)


def _conflicts(value: Mapping[str, object]) -> Iterator[Misfit]:
    """Yield conflicts between principles, even if the file has other mistakes, to report all at once."""
    sections, passages, entries = value.get("sections"), value.get("passages", {}), value.get("principles")
    principles = {
        i: e for i, e in enumerate(entries if isinstance(entries, list) else ()) if isinstance(e, dict)
    }
    members = {index: (entry.get("id"), entry.get("section")) for index, entry in principles.items()}
    if sections is None or (isinstance(sections, list) and all(isinstance(s, str) for s in sections)):
        found = conflicts(sections or (), str(value.get("priority")), members)
    else:
        found = conflicts((), "holistic", members)
    yield from _first(found)
    yield from _first(
        weightless({i: (entry.get("weight"), entry.get("hard")) for i, entry in principles.items()})
    )
    if isinstance(passages, dict):
        missing = missing_passages(passages, {i: entry.get("source") for i, entry in principles.items()})
        yield from _first(missing)


def _resolved(file: ConstitutionFile) -> Constitution:
    """Return the self-contained constitution of a file, with only the passages that principles refer to."""
    given = {name: getattr(file, name) for name in Constitution.model_fields if name in file.model_fields_set}
    named = {(principle.source or "").removeprefix("#") for principle in file.principles}
    if "passages" in given:
        given["passages"] = {anchor: text for anchor, text in file.passages.items() if anchor in named}
    # The values were validated with the file. Passing only those given keeps `model_fields_set` correct.
    return Constitution.model_construct(**given)

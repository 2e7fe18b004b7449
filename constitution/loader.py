"""From a YAML file or the name of a preset to a `Constitution`, with every mistake at its line and column.

Three forms are read, and may be mixed: a list of sentences, a mapping whose principles are sentences, and the
full form of `constitution.schema`. The short forms are first written out as the full one, so that all of them
are checked by the same models.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from constitution.ids import id_from, unique
from constitution.schema import Constitution, Principle, conflicts
from core.code import modules_beside
from core.errors import ConfigError
from core.explain import Loc, Misfit, key_names, one_of, shown
from core.yamlfile import YamlDocument, in_order, read_yaml, validate

_ENTRY = f"a sentence, or a mapping with the keys: {', '.join(key_names(Principle))}"


@dataclass(frozen=True, slots=True)
class LoadedConstitution:
    """A constitution and the file that it was read from."""

    constitution: Constitution
    document: YamlDocument
    """The file in full form: it knows the place of what the constitution holds, or of the thing around it."""

    @property
    def path(self) -> Path:
        """The file."""
        return self.document.path

    def where(self, *loc: str | int) -> str:
        """Return `file:line:column` of a value, as in `where("principles", 3, "weight")`."""
        return self.document.where(loc)


def load_constitution(source: str | Path) -> Constitution:
    """Return the constitution in a file, or the preset of that name; see `read_constitution`."""
    return read_constitution(source).constitution


def read_constitution(source: str | Path) -> LoadedConstitution:
    """Return a constitution with the place of everything in it.

    Args:
        source: The name of a preset, as `str`, or a path. A file that is called like a preset is `./name`.

    Raises:
        ConfigError: There is no such file, or it is not a constitution; one problem for each mistake.
    """
    document = _as_mapping(read_yaml(_path_of(source)))
    value = _written_out(document)
    entries = list(_misfit_entries(document))
    problems = [document.problem(misfit) for misfit in [*entries, *_conflicts(value)]]
    try:
        with modules_beside(document.path.parent):
            constitution = validate(document, Constitution, value)
    except ConfigError as error:
        # What a model says about an entry that is no principle at all only repeats our own line about it.
        said = {document.where(misfit.loc) for misfit in entries}
        problems += [p for p in error.problems if p.where not in said and p not in problems]
        raise ConfigError.of(in_order(problems)) from None
    if problems:
        raise ConfigError.of(in_order(problems))
    return LoadedConstitution(constitution, document)


def preset_names() -> tuple[str, ...]:
    """Return the names of the constitutions that come with Publius, sorted."""
    folder = importlib.resources.files("constitution") / "presets"
    return tuple(sorted(Path(file.name).stem for file in folder.iterdir() if file.name.endswith(".yaml")))


def preset_path(name: str) -> Path:
    """Return the file of a preset.

    Raises:
        ConfigError: There is no preset of that name.
    """
    if name not in preset_names():
        raise ConfigError(f"there is no preset {name!r}", accepted=one_of(preset_names(), name))
    return Path(str(importlib.resources.files("constitution") / "presets" / f"{name}.yaml"))


def _path_of(source: str | Path) -> Path:
    """Return the file that is meant."""
    if isinstance(source, str) and source in preset_names():
        return preset_path(source)
    path = Path(source)
    if not path.exists():
        accepted = f"a path, or a preset, {one_of(preset_names(), path.stem)}"
        raise ConfigError(
            "there is no such file", where=str(source), accepted=accepted, run="publius init DIR"
        )
    return path


def _as_mapping(document: YamlDocument) -> YamlDocument:
    """Return the document with a bare list of principles put under its key, marks included."""
    if isinstance(document.value, list):
        inner: Loc = ("principles",)
        return replace(
            document,
            value={"name": document.path.stem, "principles": document.value},
            marks={(): document.mark(), **{inner + loc: mark for loc, mark in document.marks.items()}},
            key_marks={inner + loc: mark for loc, mark in document.key_marks.items()},
            written={inner + loc: text for loc, text in document.written.items()},
        )
    if not isinstance(document.value, dict):
        accepted = "a mapping with the keys name and principles, or a list of sentences"
        raise ConfigError(f"the file is {shown(document.value)}", where=document.where(), accepted=accepted)
    return document


def _written_out(document: YamlDocument) -> dict[str, object]:
    """Return the document's value in full form; what is neither form stays, for the models to refuse."""
    value = dict(document.value)
    if ("version",) in document.written and value["version"] is not None:
        value["version"] = document.written["version",]  # 1.10 is a version, and not the number 1.1
    if isinstance(value.get("principles"), list):
        value["principles"] = _principles_written_out(value["principles"])
    return value


def _principles_written_out(entries: list[object]) -> list[object]:
    """Return the entries with sentences made mappings, and ids made where there are none."""
    taken = {entry["id"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)}
    written: list[object] = []
    for entry in entries:
        full = {"text": entry} if isinstance(entry, str) and entry.strip() else entry
        if isinstance(full, dict) and "id" not in full:
            full = {"id": unique(id_from(str(full.get("text", ""))), taken), **full}
            taken.add(full["id"])
        written.append(full)
    return written


def _misfit_entries(document: YamlDocument) -> Iterator[Misfit]:
    """Yield what is wrong with entries of the list of principles that are no mapping of the full form."""
    entries = document.value.get("principles")
    sentences: dict[str, Loc] = {}
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        loc: Loc = ("principles", index)
        if isinstance(entry, str) and entry.strip():
            words = " ".join(entry.split())
            if sentences.setdefault(words, loc) != loc:
                yield Misfit(loc, f"the sentence {shown(words)} again", "each once", first=sentences[words])
        elif isinstance(entry, dict):
            yield from _sentence_with_colon(entry, loc)
        else:
            what = "empty" if isinstance(entry, str) else shown(entry)
            yield Misfit(loc, f"principle {index + 1} is {what}", _ENTRY)


def _sentence_with_colon(entry: Mapping[str, object], loc: Loc) -> Iterator[Misfit]:
    """Yield a misfit for a sentence that YAML took for a mapping, because a colon stands in it."""
    key = next(iter(entry), "")
    if len(entry) == 1 and (" " in key or key[:1].isupper()):
        what = f"the colon after {shown(key)} makes the sentence a key and a value"
        yield Misfit(loc, what, "quotes around a sentence that contains ': '")


def _conflicts(value: Mapping[str, object]) -> Iterator[Misfit]:
    """Yield what is wrong between principles, also of a file with other mistakes: all is reported at once."""
    sections, entries = value.get("sections"), value.get("principles")
    if not isinstance(entries, list):
        return
    members = {i: (e.get("id"), e.get("section")) for i, e in enumerate(entries) if isinstance(e, dict)}
    if sections is None or (isinstance(sections, list) and all(isinstance(s, str) for s in sections)):
        yield from conflicts(sections or (), str(value.get("priority")), members)
    else:
        yield from conflicts((), "holistic", members)

"""Resolution of the files of a constitution: presets, paths, bases that a file extends, documents."""

from __future__ import annotations

import functools
import importlib.resources
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from constitution.file_form import as_mapping
from constitution.passages import read_passages
from core.errors import ConfigError, Problem, shell_command
from core.text.explain import Loc, Misfit, one_of, yaml_line
from core.text.yaml_file import Mark, YamlDocument, parse_yaml, read_yaml

MAX_LEVELS = 16
"""Maximum number of `extends` levels."""
_RECORDS = (".jsonl", ".csv", ".tsv", ".parquet", ".xlsx")
_PROSE = (".md", ".markdown", ".txt", ".docx")


@functools.cache
def preset_names() -> tuple[str, ...]:
    """Return the names of the constitutions shipped with Publius, sorted."""
    folder = importlib.resources.files("constitution") / "presets"
    return tuple(sorted(Path(file.name).stem for file in folder.iterdir() if file.name.endswith(".yaml")))


def preset_path(name: str) -> Path:
    """Return the path of a preset's file.

    Raises:
        ConfigError: The preset is unknown.
    """
    if name not in preset_names():
        raise ConfigError(f"unknown preset {name!r}", accepted=one_of(preset_names(), name))
    return Path(str(importlib.resources.files("constitution") / "presets" / f"{name}.yaml"))


def source_path(source: str | Path) -> Path:
    """Return the path of a constitution file; a `str` that is the name of a preset gives the preset's file.

    Raises:
        ConfigError: There is neither a preset nor a file with this name.
    """
    if isinstance(source, str) and source in preset_names():
        return preset_path(source)
    path = Path(source)
    _refuse_other_files(path)
    if not os.path.exists(path):  # Path.exists raises where a name is too long
        accepted = f"a path, or a preset, {one_of(preset_names(), path.stem)}"
        raise ConfigError("no such file", where=str(source), accepted=accepted, run="publius init DIR")
    return path


def _refuse_other_files(path: Path) -> None:
    """Raise an error for a folder, and for a file whose name says that it is of another kind.

    Raises:
        ConfigError: The path is not one of a constitution; the message names what to use in its place.
    """
    if os.path.isdir(path):
        own = [
            name for name in _near(path / "constitution.yaml", (".yaml", ".yml")) if "constitution" in name
        ]
        accepted = f"its file {path / own[0]}" if own else "the path of a YAML file"
        raise ConfigError("this is a folder, not a constitution", where=str(path), accepted=accepted)
    ending = path.suffix.casefold()
    if ending not in (*_RECORDS, *_PROSE) or not os.path.isfile(path):
        return
    run = shell_command("publius", "import", "constitution", path, "--to", "rules.yaml")
    if ending in _PROSE:
        if _is_readable(path):
            return
        what, accepted = (
            "this is a text, not a constitution",
            "a YAML file; import makes one of a list of rules",
        )
        raise ConfigError(what, where=str(path), accepted=accepted, run=run)
    what = "this is a file of rows, such as prompts, and not a constitution"
    raise ConfigError(what, where=str(path), accepted="a YAML file with principles")


def _is_readable(path: Path) -> bool:
    """Return whether a text is YAML of a list or mapping, as rules with a dash before each are."""
    try:
        return isinstance(read_yaml(path).value, list | dict)
    except ConfigError:
        return False


@dataclass(slots=True)
class Chain:
    """A file, the base it extends, the base of that one, and so on."""

    documents: list[YamlDocument] = field(default_factory=list)
    """The documents in reading order, the file itself first. Each one is a mapping."""
    problems: list[Problem] = field(default_factory=list)
    """Reasons why the base of the last document could not be read."""

    @property
    def is_complete(self) -> bool:
        """True if the base of every file was read."""
        return not self.problems and "extends" not in self.documents[-1].value


def read_chain(path: Path, unsaved: Mapping[Path, str] | None = None) -> Chain:
    """Return a file and all files it extends, directly or indirectly.

    Args:
        path: The file.
        unsaved: Texts of an editor by absolute path, which are read in place of the files.

    Raises:
        ConfigError: The file itself cannot be read.
    """
    edited = {os.path.realpath(file): text for file, text in (unsaved or {}).items()}
    chain = Chain([as_mapping(_document(path, edited))])
    seen = {os.path.realpath(path): str(path)}
    while True:
        last = chain.documents[-1]
        name = last.value.get("extends")
        if not isinstance(name, str) or not name.strip():
            return chain
        path = _base_path(last, name.strip())
        misfit = _unfit_base(last, path, seen)
        if misfit is None:
            seen[os.path.realpath(path)] = str(path)
            try:
                chain.documents.append(as_mapping(_document(path, edited)))
                continue
            except ConfigError as error:
                chain.problems += error.problems
        else:
            chain.problems.append(last.problem(misfit))
        return chain


def _document(path: Path, edited: Mapping[str, str]) -> YamlDocument:
    text = edited.get(os.path.realpath(path))
    return read_yaml(path) if text is None else parse_yaml(text, path)


def _base_path(document: YamlDocument, name: str) -> Path:
    return preset_path(name) if name in preset_names() else document.path.parent / name


def _unfit_base(file: YamlDocument, path: Path, seen: dict[str, str]) -> Misfit | None:
    """Return a misfit if the file at `path` cannot be the base of a file, else None."""
    loc: Loc = ("extends",)
    if not os.path.isfile(path):
        near = [name for name in _near(path, (".yaml", ".yml")) if name != file.path.name]
        files = f" ({one_of(near, path.name)})" if near else ""
        accepted = f"a path relative to this file{files}, or a preset, {one_of(preset_names(), path.name)}"
        return Misfit(loc, f"the file {yaml_line(file.value['extends'])} does not exist", accepted)
    if os.path.realpath(path) in seen:
        ways = [*list(seen.values())[list(seen).index(os.path.realpath(path)) :], str(path)]
        what = f"circular extends: {' -> '.join(Path(way).name for way in ways)}"
        return Misfit(loc, what, "a base that does not extend this file")
    if len(seen) > MAX_LEVELS:
        return Misfit(loc, "too many levels of extends", f"at most {MAX_LEVELS} levels")
    return None


def _near(path: Path, endings: tuple[str, ...]) -> list[str]:
    """Return up to 20 file names in a folder that have one of the endings."""
    try:
        names = sorted(os.listdir(path.parent))
    except (OSError, ValueError):
        return []
    return [name for name in names if name.endswith(endings)][:20]


def with_document(file: YamlDocument) -> tuple[YamlDocument, tuple[Path, ...], list[Problem]]:
    """Return a file with its document's passages merged in, the files read, and the problems found."""
    name = file.value.get("document")
    if not isinstance(name, str) or not name.strip():
        return file, (), []
    path = file.path.parent / name.strip()
    if not os.path.isfile(path):
        near = one_of(_near(path, (".md", ".markdown")), path.name).removeprefix("one of: ")
        accepted = "the path of a Markdown file, relative to this file" + (
            f", such as {near}" if near else ""
        )
        misfit = Misfit(("document",), f"the file {yaml_line(name)} does not exist", accepted)
        return file, (), [file.problem(misfit)]
    try:
        passages = read_passages(path)
    except ConfigError as error:
        return file, (path,), list(error.problems)
    found = [(anchor, p.text, Mark(p.line, 1, path)) for p in passages for anchor in p.anchors]
    own = file.value.get("passages", {})
    if not isinstance(own, dict):
        return file, (path,), []
    duplicates = [_duplicate_passage(file, anchor, mark) for anchor, _, mark in found if anchor in own]
    marks: dict[Loc, Mark] = {("passages", anchor): mark for anchor, _, mark in found}
    value = {**file.value, "passages": {anchor: text for anchor, text, _ in found} | own}
    together = replace(file, value=value, marks=marks | file.marks, key_marks=marks | file.key_marks)
    return together, (path,), duplicates


def _duplicate_passage(file: YamlDocument, anchor: str, mark: Mark) -> Problem:
    what = f"the passage {yaml_line(anchor)} is also in {mark.path}:{mark.line}"
    return file.problem(Misfit(("passages", anchor), what, "each anchor once", on_key=True))

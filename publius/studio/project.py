"""The project that a studio is open on: its folder, its run file, and the files that the page may edit."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from constitution.loader import preset_names
from core.errors import ConfigError, shell_command
from core.store.files import is_there
from core.text.yaml_file import read_yaml
from publius.config.run_file import RunConfig, build_run_config, load_run_config

FileKind = Literal["constitution", "run", "prompts", "text"]

PINNED = "bench.jsonl"
"""File of the pinned prompts of the bench, a prompts file like any other."""
STATE_FOLDER = Path(".publius") / "studio"
"""Folder of the studio's own files in a project."""

_RUN_FILE, _CONSTITUTION = "run.yaml", "constitution.yaml"
_YAML, _PROMPTS, _PROSE = (".yaml", ".yml"), (".jsonl", ".csv", ".tsv"), (".md", ".txt")
_MAX_FILE_BYTES = 1024 * 1024
_TOP_KEY = re.compile(r"^(principles|extends|constitution|prompts|models)\s*:", re.MULTILINE)
_NAMED = re.compile(r"^constitution\s*:\s*([^#\n]+)", re.MULTILINE)
_OF_RUN = ("constitution", "prompts", "models")


@dataclass(frozen=True)
class StudioProject:
    """A folder with a constitution and, usually, a run file."""

    folder: Path
    """Absolute path of the folder."""
    run_file: Path | None
    """The run file; None if the project has none, and the bench works with the embedded model."""
    constitution: Path
    """The constitution file that the bench works with."""

    @classmethod
    def of(cls, given: Path) -> StudioProject:
        """Return the project in a folder, or the one of a run file or constitution.

        Raises:
            ConfigError: there is no constitution file.
        """
        if not is_there(given):
            is_file = given.suffix in _YAML
            missing = given.parent if is_file else given
            advice = None if is_there(missing / _RUN_FILE) else shell_command("publius", "init", missing)
            raise ConfigError(
                f"no such {'file' if is_file else 'file or folder'}",
                where=str(given),
                accepted="the folder of a project, its run file or its constitution",
                run=advice,
            )
        path = given.resolve()
        if path.is_dir():
            run_file = path / _RUN_FILE if (path / _RUN_FILE).is_file() else None
            return cls(path, run_file, _constitution_of(path, run_file))
        if file_kind(path, _beginning(path)) == "run":
            return cls(path.parent, path, _constitution_of(path.parent, path))
        return cls(path.parent, None, path)

    def config(self) -> RunConfig:
        """Return the configuration that the bench works with.

        Raises:
            ConfigError: for every mistake in the run file.
        """
        return self.plain_config() if self.run_file is None else load_run_config(self.run_file)

    def plain_config(self) -> RunConfig:
        """Return the configuration of a project without a usable run file."""
        return build_run_config({"constitution": str(self.constitution), "prompts": "none", **_SMALL})

    def paths(self) -> dict[str, Path]:
        """Return the files that the page may open by their names, the constitution and the run file first.

        A constitution in another folder is one of them, and so is a removed one: it may be saved again.
        """
        with os.scandir(self.folder) as entries:
            found = {entry.name: self.folder / entry.name for entry in entries if _is_editable(entry)}
        first = {self.constitution.name: self.constitution}
        if self.run_file is not None:
            first[self.run_file.name] = self.run_file
        return {**first, **dict(sorted(found.items())), **first}


_SMALL = {
    "models": {"policy": "smollm2-135m-instruct"},
    "engine": {"max_batch": 24, "concurrency": 24},
    "critique": {
        "rounds": 1,
        "draft": {"temperature": 0.4, "top_p": 0.9, "max_new_tokens": 112},
        "critique": {"temperature": 0.4, "top_p": 0.9, "max_new_tokens": 64},
        "revision": {"temperature": 0.4, "top_p": 0.9, "max_new_tokens": 112},
        "drop": ["unchanged", "empty"],
    },
    "label": {"principles": 2},
    "train": [],
}
"""Settings of a project without a run file: those of `publius try`."""


def file_kind(path: Path, text: str) -> FileKind:
    """Return the kind of a file by its name and, for YAML, by its keys."""
    if path.suffix in _PROMPTS:
        return "prompts"
    if path.suffix not in _YAML:
        return "text"
    keys = set(_TOP_KEY.findall(text))
    if keys & {"principles", "extends"} or not keys & set(_OF_RUN):
        return "constitution"
    return "run"


def _constitution_of(folder: Path, run_file: Path | None) -> Path:
    """Return the constitution of a project: the file that the run file names, in any folder, or its own.

    A run file with other mistakes still names its constitution: the page shows them, to be mended there.
    """
    named = None if run_file is None else _named_constitution(run_file)
    if named is not None and named.is_file():
        return named
    own = folder / _CONSTITUTION
    if own.is_file():
        return own
    if run_file is None:
        raise _no_constitution(folder)
    if named is not None:
        raise ConfigError(
            f"the run file names a constitution that is not there: {named}",
            where=str(run_file),
            accepted="an existing file as constitution, by its path from the run file",
        )
    load_run_config(run_file)  # its mistakes, if that is why no file is known
    raise ConfigError(
        "the run file names a preset, which is not edited",
        where=str(run_file),
        accepted="a file of your own as constitution, which may begin with 'extends: PRESET'",
    )


def _no_constitution(folder: Path) -> ConfigError:
    """Return the error of a folder without a run.yaml, with a command that works there."""
    others = [path for path in sorted(folder.glob("*.y*ml")) if path.suffix in _YAML and path.is_file()]
    known = [path for path in others if set(_TOP_KEY.findall(_beginning(path)))]
    command = ("studio", _from_here(known[0])) if known else ("init", _from_here(folder))
    return ConfigError(
        "no constitution to edit",
        where=str(folder),
        accepted=f"a folder with {_CONSTITUTION} or {_RUN_FILE}, a run file, or a constitution",
        run=shell_command("publius", *command),
    )


def _from_here(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _named_constitution(run_file: Path) -> Path | None:
    """Return the constitution file that a run file names; None if it names a preset or none."""
    try:
        value = read_yaml(run_file).value
        named = value.get("constitution") if isinstance(value, dict) else None
    except ConfigError:  # no YAML at the moment: the line of the constitution may still be right
        line = _NAMED.search(_beginning(run_file))
        named = line[1].strip(" \"'") if line else None
    if not isinstance(named, str) or not named:
        return None
    path = (run_file.parent / named).resolve()
    return None if named in preset_names() and not is_there(path) else path


def _beginning(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_MAX_FILE_BYTES).decode("utf-8", "replace")


def _is_editable(entry: os.DirEntry[str]) -> bool:
    if entry.name.startswith(".") or not entry.is_file():
        return False
    is_known = Path(entry.name).suffix in (*_YAML, *_PROMPTS, *_PROSE)
    return is_known and entry.stat().st_size <= _MAX_FILE_BYTES

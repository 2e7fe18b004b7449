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
            raise ConfigError(
                "no such file or folder",
                where=str(given),
                accepted="the folder of a project",
                run=shell_command("publius", "init", given),
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
    if run_file is not None:
        named = _named_constitution(run_file)
        if named is not None:
            return named
    own = folder / _CONSTITUTION
    if own.is_file():
        return own
    raise ConfigError(
        "no constitution to edit",
        where=str(folder),
        accepted=f"a folder with {_CONSTITUTION}, or a run file that names its constitution",
        run=shell_command("publius", "init", folder),
    )


def _named_constitution(run_file: Path) -> Path | None:
    """Return the constitution file of a run file; None if the run file has mistakes or names a preset."""
    try:
        named = load_run_config(run_file).constitution
    except ConfigError:
        return None
    path = Path(named)
    return None if named in preset_names() or not path.is_file() else path


def _beginning(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_MAX_FILE_BYTES).decode("utf-8", "replace")


def _is_editable(entry: os.DirEntry[str]) -> bool:
    if entry.name.startswith(".") or not entry.is_file():
        return False
    is_known = Path(entry.name).suffix in (*_YAML, *_PROMPTS, *_PROSE)
    return is_known and entry.stat().st_size <= _MAX_FILE_BYTES

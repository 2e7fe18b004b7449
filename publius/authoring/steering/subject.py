"""The constitution to steer by: a file, a preset's name or sentences, and what kind of signal it gives."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from constitution.ids import id_from, unique
from constitution.loader import load_constitution, preset_names
from constitution.schema import Constitution, Principle
from core.errors import ConfigError, RunStateError, shell_command
from core.store.files import is_there, os_errors, write_atomic
from core.text.yaml_file import read_prose
from core.text.yaml_writing import yaml_text

Signal = Literal["checks", "judged", "mixed"]
"""What decides whether an answer follows the constitution: machine checks, a model, or both."""
_TEXT_SUFFIXES = (".txt", ".md")
_YAML_SUFFIXES = (".yaml", ".yml")
_LIST_MARK = re.compile(r"^\s*(?:[-*•]|\d+[.)])(?:\s+|$)")
_OWN_FILE = "constitution.yaml"
_NAME_BYTES = 255
"""Longest name of a file."""


@dataclass(frozen=True)
class Subject:
    """A constitution, and how it is named."""

    constitution: Constitution
    source: str | None
    """A preset's name or the path of a file; None for sentences, which get a file in the project folder."""
    sentences: tuple[str, ...] = ()
    from_file: bool = False
    """True if the sentences are those of a text file, which may be edited."""

    @property
    def slug(self) -> str:
        """The constitution's name as the name of a run and a folder."""
        words = re.sub(r"[^A-Za-z0-9._-]+", "-", self.constitution.name).strip("-._")
        return words[:48] or "constitution"

    @property
    def checks(self) -> int:
        """Number of principles with a machine check."""
        return sum(principle.check is not None for principle in self.constitution.steering)

    @property
    def signal(self) -> Signal:
        """What decides about an answer."""
        if not self.checks:
            return "judged"
        return "checks" if self.checks == len(self.constitution.steering) else "mixed"

    @property
    def summary(self) -> str:
        """The signal in words, such as `2 principles, 1 of them with a machine check`."""
        total = len(self.constitution.steering)
        noun = "principle" if total == 1 else "principles"
        return f"{total} {noun}, {self.checks} with a machine check"

    def place_in(self, project: Path) -> str:
        """Return the constitution as a run file in the project folder names it; write sentences there.

        Raises:
            RunStateError: the folder has a constitution of other sentences.
        """
        if self.source is None:
            self._write(project / _OWN_FILE)
            return _OWN_FILE
        if _is_preset(self.source):
            return self.source
        return os.path.relpath(Path(self.source).resolve(), project.resolve())

    def _write(self, path: Path) -> None:
        text = yaml_text({"name": self.constitution.name, "principles": list(self.sentences)})
        with os_errors(path):
            if not self.from_file and path.exists() and path.read_text(encoding="utf-8") != text:
                raise RunStateError(
                    "the folder has the constitution of other sentences",
                    where=str(path),
                    accepted="another folder for --to, or the file itself as CONSTITUTION",
                    run=shell_command("publius", "steer", path),
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, text)


def find_subject(source: str) -> Subject:
    """Return the constitution that an argument of the command means.

    Args:
        source: the name of a preset; a constitution file; a text file of sentences, one a line; or the
            sentences themselves, one a line.

    Raises:
        ConfigError: the constitution has a mistake, or no principle.
    """
    if not source.strip():
        raise ConfigError(
            "there is no principle to steer by",
            where="CONSTITUTION",
            accepted="a constitution file, a preset's name, or sentences about the reply",
        )
    if _is_prose(source):
        return of_sentences(source.splitlines(), "sentences")
    path = Path(source)
    if _is_preset(source) or not path.is_file():
        return Subject(load_constitution(source), source)
    if path.suffix.lower() in _TEXT_SUFFIXES:
        sentences = read_prose(path, "text file").splitlines()
        return replace(of_sentences(sentences, path.stem), from_file=True)
    return Subject(load_constitution(path), source)


def of_sentences(sentences: Sequence[str], name: str) -> Subject:
    """Return the constitution of some sentences; list marks and blank lines are ignored.

    Raises:
        ConfigError: there is no sentence.
    """
    cleaned = tuple(text for line in sentences if (text := _LIST_MARK.sub("", line).strip()))
    if not cleaned:
        raise ConfigError(
            "there is no principle to steer by", where="CONSTITUTION", accepted="a sentence about the reply"
        )
    taken: set[str] = set()
    tried: dict[str, int] = {}
    principles = []
    for text in cleaned:
        principles.append(Principle(id=unique(id_from(text), taken, tried), text=text))
        taken.add(principles[-1].id)
    return Subject(Constitution(name=name, principles=tuple(principles)), None, cleaned)


def _is_prose(source: str) -> bool:
    """Return True for sentences, rather than the name of a file or preset, which may not exist."""
    if "\n" in source.strip("\n"):
        return True
    if " " in source.strip() and any(len(os.fsencode(part)) > _NAME_BYTES for part in Path(source).parts):
        return True  # no file has such a name
    named = is_there(Path(source)) or Path(source).suffix.lower() in (*_TEXT_SUFFIXES, *_YAML_SUFFIXES)
    return " " in source.strip() and not named


def _is_preset(source: str) -> bool:
    return source in preset_names() and not is_there(Path(source))

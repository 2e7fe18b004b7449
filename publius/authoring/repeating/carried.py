"""The inputs of a run, copied into a project of its own: prompts, human labels, templates, corrections."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.digests import file_digest
from core.errors import DataError
from core.store.files import is_there, os_errors
from engines.config import ROLES
from evaluation.refusals.prompts import BUILT_IN_PROMPTS
from publius.config.run_file import OWN_REWARDS, RunConfig
from publius.runs.inputs import CORRECTION, TEMPLATE_FOLDER
from publius.runs.judgment_folder import require_judgments

LARGEST_BYTES = 100 * 2**20
"""Size from which on an input is named with its digest and not copied."""
_DATA, _MODELS = "data", "models"
_LABELS = ("comparisons.jsonl", "judgments.jsonl")
_RL = ("ppo", "rloo", "grpo")


@dataclass
class CarriedInputs:
    """The settings of the run with relative paths, and what its project does not hold."""

    settings: dict[str, Any]
    """As in a run file."""
    missing: list[tuple[str, str]] = field(default_factory=list)
    """Path in the project and description, with a digest, of each input that is not in it."""


class InputCarrier:
    """Copies the inputs of one run, each under a name of its own.

    Args:
        run: the run folder.
        config: the run's configuration, with absolute paths.
        target: the folder of the project.
        digests: digest of each role's model, as the run's manifest has them.
    """

    def __init__(self, run: Path, config: RunConfig, target: Path, digests: dict[str, str]) -> None:
        self._run, self._config, self._target, self._digests = run, config, target, digests
        self._missing: list[tuple[str, str]] = []
        self._taken: set[str] = set()

    def carry(self, settings: dict[str, Any]) -> CarriedInputs:
        """Copy the inputs and return the settings with relative paths in place of the absolute ones.

        Args:
            settings: settings of the run as in a run file; they are changed.

        Raises:
            DataError: an input does not exist any more.
        """
        config = self._config
        settings["constitution"] = "constitution.yaml"
        shutil.copyfile(self._run / "constitution.yaml", self._target / "constitution.yaml")
        if is_there(config.prompts.path):
            settings["prompts"]["path"] = self._copied(config.prompts.path)
        if config.label.humans:
            settings["label"]["humans"] = [self._labels(folder) for folder in config.label.humans]
        if config.label.correction is not None:
            settings["label"]["correction"] = CORRECTION
            shutil.copyfile(self._run / CORRECTION, self._target / CORRECTION)
        if config.templates is not None:
            settings["templates"] = TEMPLATE_FOLDER
            self._templates(config.templates)
        if config.eval.refusals not in (None, BUILT_IN_PROMPTS):
            settings["eval"]["refusals"] = self._copied(Path(str(config.eval.refusals)))
        if config.eval.gold:
            settings["eval"]["gold"] = [self._copied(path) for path in config.eval.gold]
        for method in _RL:
            self._rewards(method, settings)
        self._models(settings)
        return CarriedInputs(settings, self._missing)

    def _copied(self, path: Path) -> str:
        """Copy a file or folder below `data/`, under its own name, and return its place in the project."""
        with os_errors(path):
            if not path.exists():
                raise DataError(
                    "an input of the run is not there any more",
                    where=str(path),
                    accepted="the file that the run was made with",
                )
            place = f"{_DATA}/{self._free(path.name)}"
            to = self._target / place
            if _size(path) > LARGEST_BYTES:
                self._missing.append((place, f"{path.name}, SHA-256 `{_digest(path)}`"))
                return place
            to.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                shutil.copytree(path, to)
            else:
                shutil.copyfile(path, to)
        return place

    def _labels(self, folder: Path) -> str:
        """Copy the comparisons and judgments of a folder of labels."""
        require_judgments(folder)
        place = f"{_DATA}/{self._free(folder.name)}"
        with os_errors(folder):
            (self._target / place).mkdir(parents=True)
            for name in _LABELS:
                if (folder / name).exists():
                    shutil.copyfile(folder / name, self._target / place / name)
        return place

    def _templates(self, named: Path) -> None:
        """Copy the user's templates: those that the run folder has, which are all that it used."""
        own = self._run / TEMPLATE_FOLDER
        shutil.copytree(own if is_there(own) else named, self._target / TEMPLATE_FOLDER)

    def _rewards(self, method: str, settings: dict[str, Any]) -> None:
        """Name the rewards of a method relative to the project; reward models are not copied."""
        section = settings.get(method, {})
        if section.get("rewards"):
            section["rewards"] = {self._reward(name): w for name, w in section["rewards"].items()}
        if section.get("gold"):
            section["gold"] = self._reward(section["gold"])

    def _reward(self, name: str) -> str:
        if name in OWN_REWARDS:
            return name
        path, colon, function = name.partition(".py:")
        if colon:
            return f"{self._copied(Path(f'{path}.py'))}:{function}"
        return self._outside(name) if is_there(Path(name)) else name

    def _models(self, settings: dict[str, Any]) -> None:
        """Name models that are folders of this machine relative to the project; they are not copied."""
        for role in ROLES:
            model = settings["models"].get(role)
            for key in ("id", "adapter"):
                if isinstance(model, dict) and _is_folder(model.get(key)):
                    model[key] = self._outside(model[key], self._digests.get(role, ""))

    def _outside(self, name: str, identity: str = "") -> str:
        """Return the place of a model in the project, which has to be put there."""
        place = f"{_MODELS}/{Path(name).name}"
        is_digest = re.fullmatch(r"[0-9a-f]{16,}", identity)
        told = f"model digest `{identity}`" if is_digest else f"SHA-256 `{_digest(Path(name).expanduser())}`"
        if place not in (known for known, _ in self._missing):
            self._missing.append((place, f"the model in the folder {Path(name).name}, {told}"))
        return place

    def _free(self, name: str) -> str:
        """Return the name, within a folder of a number if another input has it."""
        found, number = name, 1
        while found in self._taken:
            number += 1
            found = f"{number}/{name}"
        self._taken.add(found)
        return found


def _is_folder(name: str | None) -> bool:
    return name is not None and Path(name).expanduser().is_dir()


def _files(path: Path) -> Iterator[Path]:
    return iter([path]) if path.is_file() else (file for file in sorted(path.rglob("*")) if file.is_file())


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in _files(path))


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and digests of the files in a folder."""
    if path.is_file():
        return file_digest(path)
    found = hashlib.sha256()
    for file in _files(path):
        found.update(f"{file.relative_to(path).as_posix()} {file_digest(file)}\n".encode())
    return found.hexdigest()

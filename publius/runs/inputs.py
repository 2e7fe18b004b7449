"""Files of a run folder that are written once: settings, constitution, prompts. A resume restores them.

All of them have a source: the run file, the constitution and the prompts file, whose digests name the run.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import Any, NamedTuple

from constitution.loader import load_constitution
from constitution.schema import Constitution
from core.digests import digest
from core.errors import DataError, RunStateError
from core.notices import warn
from core.settings import identity_of
from core.store.files import os_errors, write_atomic
from core.text.yaml_writing import yaml_text
from labelers.correction.correction import read_correction
from prompts.environment import PromptTemplates
from prompts.user_templates import TEMPLATE_SUFFIX
from publius.config.run_file import RunConfig, load_run_config
from publius.runs.manifest import RUN_AGAIN

RESOLVED, CONSTITUTION, TEMPLATE_FOLDER = "resolved.yaml", "constitution.yaml", "templates"
"""The run's settings with all defaults, its constitution, and the user's own templates."""
CORRECTION = "correction.json"
"""The correction of the run's labeler, from the file `label.correction`."""
_BITS = 64
_EVAL_IN_IDENTITY = {
    "models": ["base", "prompted", "sft", "dpo", "ppo", "rloo", "grpo"],
    "sampling": {"temperature": 0.0, "top_p": 1.0, "top_k": 0, "max_new_tokens": 512, "stop": []},
    "kl": True,
}
"""The section `eval` in every run's identity: its defaults of the versions in which it was part of that, so
that runs without settings of it keep their names."""


def decisive_settings(config: RunConfig) -> dict[str, Any]:
    """Return the settings that are part of a run's identity, without label folders.

    Content identifies a run, not names and paths: prompts, labels, constitution and models enter by digest.
    What only the evaluation reads is not part of it: `evaluation_settings`.
    """
    settings = identity_of(config)
    settings["eval"] = _EVAL_IN_IDENTITY
    settings["prompts"].pop("path")
    settings["label"]["humans"] = []
    settings["label"].pop("correction", None)
    for field in ("constitution", "name", "models"):
        settings.pop(field)
    return settings


def evaluation_settings(config: RunConfig) -> dict[str, Any]:
    """Return the settings that determine an evaluation beside the run's identity: `eval` and the judge.

    The evaluation is computed again whenever its stage runs, so the run folder has the last one.
    """
    judge = config.models.judge
    models = {} if judge is None else {"models": {"judge": identity_of(judge)}}
    return {"eval": identity_of(config.eval), **models}


def record_evaluation(folder: Path, config: RunConfig) -> None:
    """Write a run's settings to its folder again if the evaluation has others than those in it."""
    recorded = load_run_config(folder / RESOLVED)
    if evaluation_settings(recorded) != evaluation_settings(config):
        with os_errors(folder):
            write_atomic(folder / RESOLVED, yaml_text(config.model_dump(mode="json", by_alias=True)))


def restore_inputs(folder: Path, config: RunConfig, constitution: Constitution, *, is_new: bool) -> None:
    """Write a run's settings and constitution to its folder, unless they are there and unchanged.

    Args:
        folder: the run folder.
        config: the run's configuration.
        constitution: the run's constitution.
        is_new: True for a new run folder; else, a file that is written was damaged, and a warning says so.
    """
    resolved = yaml_text(config.model_dump(mode="json", by_alias=True))
    written = constitution.to_yaml()
    if not _has_settings(folder / RESOLVED, resolved, config):
        _restore(folder / RESOLVED, resolved, is_new=is_new)
    if not _has_constitution(folder / CONSTITUTION, written, constitution):
        _restore(folder / CONSTITUTION, written, is_new=is_new)


def restore_templates(folder: Path, templates: PromptTemplates, *, is_new: bool) -> None:
    """Write the templates of the user's folder to a run folder, unless they are there and unchanged."""
    sources = {name: part.sources[name] for part in templates.families for name in part.given}
    for name, text in sorted(sources.items()):
        path = folder / TEMPLATE_FOLDER / f"{name}{TEMPLATE_SUFFIX}"
        with contextlib.suppress(OSError, ValueError):
            if path.read_text(encoding="utf-8") == text:
                continue
        _restore(path, text, is_new=is_new)


def correction_digest(path: Path) -> str:
    """Return the digest of a correction of the labeler. Raises DataError if the file is not one."""
    return digest("correction", read_correction(path).model_dump(mode="json"))


def restore_correction(folder: Path, path: Path | None, *, is_new: bool) -> None:
    """Write the correction of the labeler to a run folder, unless it is there or there is none."""
    if path is None:
        return
    with contextlib.suppress(OSError, DataError):
        if correction_digest(folder / CORRECTION) == correction_digest(path):
            return
    _restore(folder / CORRECTION, read_correction(path).to_line(), is_new=is_new)


def recorded_config(folder: Path) -> RunConfig:
    """Return the configuration in a run folder, with the templates and correction that the folder has."""
    config = load_run_config(folder / RESOLVED)
    if config.label.correction is not None:
        label = config.label.model_copy(update={"correction": folder / CORRECTION})
        config = config.model_copy(update={"label": label})
    if config.templates is None:
        return config
    return config.model_copy(update={"templates": folder / TEMPLATE_FOLDER})


def read_input(path: Path) -> str:
    """Return the text of one of these files. Raises RunStateError if it is missing or damaged."""
    with os_errors(path):
        if not path.is_file():
            raise RunStateError("the file is missing", where=str(path), run=RUN_AGAIN)
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise RunStateError("the file is not UTF-8 text", where=str(path), run=RUN_AGAIN) from error


def _restore(path: Path, text: str, *, is_new: bool) -> None:
    if not is_new:
        warn(f"{path} is damaged or was changed; it is written again")
    with os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text)


def _has_settings(path: Path, text: str, config: RunConfig) -> bool:
    """Return True if a file holds the run's settings. Operational ones may be those of an earlier start."""
    with contextlib.suppress(OSError, ValueError, RunStateError):  # a ConfigError is a ValueError
        if path.read_text(encoding="utf-8") == text:
            return True
        return decisive_settings(load_run_config(path)) == decisive_settings(config)
    return False


def _has_constitution(path: Path, text: str, constitution: Constitution) -> bool:
    with contextlib.suppress(OSError, ValueError, RunStateError):
        if path.read_text(encoding="utf-8") == text:
            return True
        return load_constitution(path).digest == constitution.digest
    return False


class LinesDigest(NamedTuple):
    """Number and digest of the lines of a file."""

    lines: int
    """Number of lines; -1 if the last one is torn."""
    digest: str


def digest_lines(path: Path) -> LinesDigest:
    """Return the number of lines and their digest, in any order; a missing file has none."""
    count, total, line = 0, 0, b"\n"
    with os_errors(path):
        if not path.exists():
            return LinesDigest(0, f"{0:016x}")
        with path.open("rb") as file:
            for line in file:
                count += 1
                total += int.from_bytes(hashlib.sha256(line).digest()[: _BITS // 8], "big")
    return LinesDigest(count if line.endswith(b"\n") else -1, f"{total % 2**_BITS:016x}")

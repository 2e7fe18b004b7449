"""Estimates of runs, remembered in the project and in the manifest, beside the figures that came out.

.publius/estimates/<digest8>.json   the last estimate of a run that `publius run --estimate` made
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from core.digests import digest
from core.store.files import os_errors, write_atomic
from publius.config.run_file import RunConfig
from publius.runs.folder import Run
from publius.runs.inputs import evaluation_settings
from publius.runs.opening.identity import RunIdentity

ESTIMATE = "estimate"
"""Key of the estimate in the manifest."""
_ROLES: tuple[Literal["policy", "critic", "labeler"], ...] = ("policy", "critic", "labeler")
_NAMES = {"id", "revision", "adapter", "quantization"}
_FIGURES = ("asked", "reused", "prompt_tokens", "completion_tokens")


@dataclass(frozen=True)
class StageComparison:
    """The estimate of a stage beside what it took since the estimate was made."""

    stage: str
    calls: Mapping[str, int]
    """Estimated requests: `lower`, `expected`, `upper`."""
    asked: int
    reused: int
    """Requests that the request cache answered, which no model was asked."""
    prompt_tokens: int
    """Estimated tokens of the prompts."""
    read: int
    """Actual tokens of the prompts."""
    generated_tokens: Mapping[str, int]
    """Estimated tokens of the answers: `lower`, `expected`, `upper`."""
    written: int
    """Actual tokens of the answers."""
    estimated_s: float | None
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return the comparison as JSON-able values."""
        return asdict(self)


def plan_digest(identity: RunIdentity, config: RunConfig) -> str:
    """Return a digest of a run with its models by name: their files may not be on this machine yet."""
    named = {role: config.models.of(role).model_dump(include=_NAMES) for role in _ROLES}
    settings = {**identity.configuration, **evaluation_settings(config)}
    parts = (identity.constitution, settings, identity.prompts, identity.templates)
    return digest("plan", *parts, named)


def remember_estimate(project: Path, estimate: Mapping[str, Any]) -> Path:
    """Write the estimate of a run to the project; return the file.

    Stages that it does not have keep what the last estimate of the same run says of them.
    """
    path = _path(project, estimate["plan"])
    with os_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    before = _remembered(project, estimate["plan"]) or {}
    merged = dict(estimate)
    for name in ("stages", "spent_before"):
        merged[name] = {**_others(before, name, estimate), **estimate[name]}
    write_atomic(path, json.dumps(merged, indent=2, ensure_ascii=False) + "\n")
    return path


def _others(before: Mapping[str, Any], name: str, estimate: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an earlier estimate says of the stages that a later one does not have."""
    return {stage: value for stage, value in before.get(name, {}).items() if stage not in estimate["stages"]}


def attach_estimate(run: Run, project: Path) -> None:
    """Copy the estimate that the project remembers for a run into its manifest, if there is one."""
    found = _remembered(project, plan_digest(run.identity, run.config))
    try:
        compared({**run.manifest, ESTIMATE: found})
    except (ValueError, KeyError, TypeError, AttributeError):
        return  # it is damaged: a run does not depend on it
    if found is not None:
        run.note_estimate(found)


def compared(manifest: Mapping[str, Any]) -> list[StageComparison]:
    """Return the estimates of a run's stages beside what they took; empty without an estimate."""
    estimate = manifest.get(ESTIMATE) or {}
    found = []
    for stage, expected in estimate.get("stages", {}).items():
        entry = manifest["stages"].get(stage)
        if entry is None:
            continue
        before = estimate["spent_before"].get(stage, {})
        asked, reused, read, written = (
            entry.get("requests", {}).get(name, 0) - before.get(name, 0) for name in _FIGURES
        )
        found.append(
            StageComparison(
                stage=stage,
                calls=expected["calls"],
                asked=asked,
                reused=reused,
                prompt_tokens=expected["prompt_tokens"],
                read=read,
                generated_tokens=expected["generated_tokens"],
                written=written,
                estimated_s=expected["seconds"],
                seconds=entry.get("seconds", 0.0) - before.get("seconds", 0.0),
            )
        )
    return found


def _remembered(project: Path, plan: str) -> dict[str, Any] | None:
    """Return the estimate of a run that the project remembers; None if there is none, or it is damaged."""
    try:
        found: dict[str, Any] = json.loads(_path(project, plan).read_text(encoding="utf-8"))
        usable = found["plan"] == plan and isinstance(found["stages"], dict)
        return found if usable and isinstance(found["spent_before"], dict) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _path(project: Path, plan: str) -> Path:
    return project / ".publius" / "estimates" / f"{plan[:8]}.json"

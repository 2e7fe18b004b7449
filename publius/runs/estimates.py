"""Estimates of runs, remembered in the project and in the manifest, beside the figures that came out.

.publius/estimates/<digest8>.json   the last estimate of a run that `publius run --estimate` made
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.store.files import os_errors, write_atomic
from publius.runs.folder import Run

ESTIMATE = "estimate"
"""Key of the estimate in the manifest."""
_FIGURES = ("asked", "prompt_tokens", "completion_tokens")


@dataclass(frozen=True)
class StageComparison:
    """The estimate of a stage beside what it took since the estimate was made."""

    stage: str
    calls: Mapping[str, int]
    """Estimated requests: `lower`, `expected`, `upper`."""
    asked: int
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


def remember_estimate(project: Path, estimate: Mapping[str, Any]) -> Path:
    """Write the estimate of a run to the project; return the file."""
    path = _path(project, estimate["digest"])
    with os_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(estimate, indent=2, ensure_ascii=False) + "\n")
    return path


def attach_estimate(run: Run, project: Path) -> None:
    """Copy the estimate that the project remembers for a run into its manifest, if there is one."""
    try:
        found = json.loads(_path(project, run.identity.digest).read_text(encoding="utf-8"))
        same = found["digest"] == run.identity.digest
        compared({**run.manifest, ESTIMATE: found})  # it can be read
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return  # there is none, or it is damaged: a run does not depend on it
    if same:
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
        asked, read, written = (
            entry.get("requests", {}).get(name, 0) - before.get(name, 0) for name in _FIGURES
        )
        found.append(
            StageComparison(
                stage=stage,
                calls=expected["calls"],
                asked=asked,
                prompt_tokens=expected["prompt_tokens"],
                read=read,
                generated_tokens=expected["generated_tokens"],
                written=written,
                estimated_s=expected["seconds"],
                seconds=entry.get("seconds", 0.0) - before.get("seconds", 0.0),
            )
        )
    return found


def _path(project: Path, digest: str) -> Path:
    return project / ".publius" / "estimates" / f"{digest[:8]}.json"

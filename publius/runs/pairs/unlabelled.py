"""Runs without preferences: why there are none, and which command to run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import RunStateError, shell_command

_LEADS_TO_PAIRS = ("train", "preference")
"""Splits whose prompts get pairs of answers."""


def has_preferences(manifest: Mapping[str, Any]) -> bool:
    """Return True if the run's labels were aggregated and gave at least one preference."""
    entry = manifest["stages"].get("aggregate")
    return entry is not None and entry.get("records", 1) > 0


def require_preferences(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Raise RunStateError, with the reason and a command that helps, if a run has no preferences.

    Args:
        folder: the run folder.
        manifest: its manifest.
    """
    if has_preferences(manifest):
        return
    run = None
    what, accepted = without_pairs(manifest), "a run file whose split has train or preference above 0"
    if what is None and "aggregate" in manifest["stages"]:
        what, accepted = f"the run has no preferences: {_left_out(manifest)}", "a run with labelled pairs"
    elif what is None:
        what, accepted, run = "the run has no preferences yet", "", _continue(folder, manifest)
    if run is None and "eval" in manifest["stages"]:
        command = shell_command("publius", "show", folder, "--answers", "--to", "answers.csv")
        run = f"{command}, which writes the answers of its evaluation"
    raise RunStateError(what, where=str(folder), accepted=accepted or None, run=run)


def without_pairs(manifest: Mapping[str, Any]) -> str | None:
    """Return in words that no prompt of the run leads to a pair; None if some prompts do."""
    splits = (manifest.get("prompts") or {}).get("splits") or {}
    total = sum(splits.values())
    if not total or any(splits.get(name) for name in _LEADS_TO_PAIRS):
        return None
    held_out = "its only prompt" if total == 1 else f"all {total:,} prompts"
    return f"the run has no preferences: its split holds out {held_out} for eval"


def _left_out(manifest: Mapping[str, Any]) -> str:
    """Return what the stages that make preferences left out, with the reasons."""
    stages = manifest["stages"]
    reasons = [
        f"{stage} left out {count:,} ({reason})"
        for stage in ("critique", "sample", "compare", "label", "aggregate")
        for reason, count in stages.get(stage, {}).get("left_out", {}).items()
    ]
    return "; ".join(reasons) or "no pair of answers was labelled"


def _continue(folder: Path, manifest: Mapping[str, Any]) -> str:
    """Return the command that runs the rest of the stages."""
    run_file = folder.resolve().parent.parent / str(manifest.get("run_file") or "")
    if not run_file.is_file():
        return "publius run RUN.yaml or publius label"
    sets = [part for value in manifest.get("overrides") or () for part in ("--set", value)]
    return shell_command("publius", "run", os.path.relpath(run_file), *sets)

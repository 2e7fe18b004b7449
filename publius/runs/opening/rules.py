"""The rules by which a run's records are made. A run keeps those of the version that made it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.store.files import is_there
from critique.loop import LoopRules
from critique.requests import WRITTEN_BY_CHECKS
from labelers.crowd.aggregate import TierRule

NEW_RUNS: TierRule = "smooth"
"""The rule by which new runs combine tiers (`labelers/crowd/aggregate.py`), recorded in the manifest."""
NEW_LOOPS: LoopRules = "ranked"
"""The rules of new runs' critique loops (`critique/loop.py`), recorded in the manifest."""
_LATER_LOOPS: tuple[LoopRules, ...] = ("guarded", NEW_LOOPS)
_NEW_MARKS = (b'"dropped":"', b'"broken":[', b'"others":[', f'"model":"{WRITTEN_BY_CHECKS}"'.encode())
"""What only traces of the new rules have; in the text of an answer, quotation marks are escaped."""


def tier_rule_of(manifest: Mapping[str, Any]) -> TierRule:
    """Return the rule by which a run combines tiers; runs made before it was recorded have `first`.

    A run keeps its rule, so its labels, and the trainings on them, stay as they are when it resumes.
    """
    return "smooth" if manifest.get("tiers") == "smooth" else "first"


def loop_rules_of(manifest: Mapping[str, Any]) -> LoopRules:
    """Return the rules of a run's critique loop; runs made before they were recorded have `first`.

    A run keeps its rules, so that its traces are all made in the same way when it resumes.
    """
    return next((rules for rules in _LATER_LOOPS if manifest.get("loop") == rules), "first")


def has_new_rules(manifest: Mapping[str, Any], principles: str) -> bool:
    """Return True if a new run of the same settings has the same rules.

    Args:
        manifest: the run's manifest.
        principles: its `critique.principles`, as loops differ since `guarded` in `worst` alone.
    """
    loops = {NEW_LOOPS} if principles == "worst" else set(_LATER_LOOPS)
    return tier_rule_of(manifest) == NEW_RUNS and loop_rules_of(manifest) in loops


def loop_rules_in(damaged: bytes) -> LoopRules:
    """Return the rules that a damaged manifest still shows."""
    return next((rules for rules in _LATER_LOOPS if f'"loop": "{rules}"'.encode() in damaged), "first")


def has_new_traces(path: Path) -> bool:
    """Return True if traces are not there yet, or some of them are made by the rules of new runs.

    Traces of a new run in which no revision is discarded look like those of the first rules, and count as
    such.
    """
    if not is_there(path) or not path.stat().st_size:
        return True
    with path.open("rb") as lines:
        return any(mark in line for line in lines for mark in _NEW_MARKS)

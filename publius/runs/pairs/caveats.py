"""Caveats of a run: reasons not to trust its texts, labels and numbers, to be read before any of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.notices import counted
from publius.config.stand_ins import stand_in_roles, stand_ins_sentence
from publius.runs.inputs import RESOLVED, recorded_config

STAND_INS = "stand_ins"
"""Key in the manifest of a run on another run's pairs: the roles whose texts were scripted there."""
_BY_POSITION = 0.4
"""Share of judgments decided by position from which the labeler is said to be hardly better than chance."""


def caveats(folder: Path, manifest: Mapping[str, Any], labels: Mapping[str, float | int]) -> tuple[str, ...]:
    """Return the caveats of a run as sentences, the most serious first.

    Args:
        folder: the run folder.
        manifest: its manifest.
        labels: metrics of its judgments; empty without any.
    """
    roles = scripted_roles(folder, manifest)
    first = (stand_ins_sentence(roles),) if roles else ()
    return (*first, *labeler_caveats(manifest, labels))


def labeler_caveats(manifest: Mapping[str, Any], labels: Mapping[str, float | int]) -> tuple[str, ...]:
    """Return the caveats about the AI labeler: those of its audit, position bias, unreadable judgments."""
    judged = int(labels.get("judgments.ai", 0))
    if not judged:
        return ()
    found = [
        f"The audit of the labeler found a problem: {problem}."
        for problem in manifest.get("audit", {}).get("problems", ())
    ]
    position = labels.get("ai.same_slot_in_both_orders", 0)
    if position >= _BY_POSITION:
        found.append(
            f"Position decided {position:.0%} of the AI labeler's judgments: hardly better than chance."
        )
    if unread := labels.get("ai.unparsed", 0):
        found.append(f"{unread:,} of {counted(judged, 'AI judgment')} could not be read.")
    return tuple(found)


def scripted_roles(folder: Path, manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the roles of a run whose texts or labels are by the scripted engine.

    A run on pairs of the user's own has a labeler alone; one on pairs of another run has that run's texts.
    """
    found = stand_in_roles(recorded_config(folder)) if (folder / RESOLVED).exists() else ()
    played = manifest.get("identity", {}).get("models") or found
    others = manifest.get(STAND_INS, ())
    return tuple(dict.fromkeys([*others, *(role for role in found if role in played)]))

"""Write Label Studio tasks: a `Pairwise` control `comparison`, and choices `otherwise` for tie and both bad.

The matching labeling configuration is in docs/human-labels.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.records import Comparison, Judgment
from labelers.formats.tools.label_studio import CONTROL, OTHERWISE
from labelers.formats.tools.packed_records import KEY, messages_of, pack_records
from labelers.writers.display import annotator_judgments, shown_text

_SELECTED = {"a": "left", "b": "right"}
_SIDES = "response_a,response_b"


def task_of(comparison: Comparison, judgments: Sequence[Judgment], number: int) -> dict[str, Any]:
    """Return the task of a comparison, `a` on the left, with an annotation for each human judgment."""
    shown = list(annotator_judgments(judgments))
    return {
        "id": number,
        "data": {
            "prompt": shown_text(comparison.prompt.messages),
            "messages": messages_of(comparison.prompt.messages),
            "response_a": comparison.response_a,
            "response_b": comparison.response_b,
            KEY: pack_records(comparison, judgments, {judgment.id: judgment.id for judgment in shown}),
        },
        "annotations": [_annotation(judgment, place) for place, judgment in enumerate(shown, start=1)],
        "predictions": [],
    }


def _annotation(judgment: Judgment, place: int) -> dict[str, Any]:
    return {
        "id": place,
        "completed_by": {"email": judgment.annotator},
        "was_cancelled": judgment.verdict == "skip",
        "ground_truth": False,
        "lead_time": judgment.duration_s,
        "created_at": judgment.created.isoformat() if judgment.created else None,
        "result": [_choice(judgment), *_comment(judgment)],
    }


def _choice(judgment: Judgment) -> dict[str, Any]:
    """Return the result. Its id is the judgment's id, which Label Studio preserves."""
    selected = _SELECTED.get(judgment.verdict)
    control = CONTROL if selected else OTHERWISE
    name = control if judgment.dimension is None else f"{control}-{judgment.dimension}"
    value = {"selected": selected} if selected else {"choices": [judgment.verdict]}
    return {
        "id": judgment.id,
        "from_name": name,
        "to_name": _SIDES,
        "type": "pairwise" if selected else "choices",
        "value": value,
    }


def _comment(judgment: Judgment) -> list[dict[str, Any]]:
    if not judgment.comment:
        return []
    value = {"text": [judgment.comment]}
    return [{"from_name": "comment", "to_name": "response_a", "type": "textarea", "value": value}]

"""Write the annotated-pairs format of Inverse Constitutional AI, version 2.0, for its viewer.

Each combination of labeler, annotator and dimension or principle becomes an annotator there, including the AI
labeler's principles and the machine checks. An annotator has one annotation per comparison. The metadata
holds the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.digests import record_id
from core.records import Comparison, Judgment
from labelers.crowd.votes import current_judgments
from labelers.formats.tools.packed_records import KEY, pack_records
from labelers.writers.display import shown_text

VERSION = "2.0"
_REASONS = {"tie": "tie", "both_bad": "both_bad", "skip": "not_applicable", "unparsed": "invalid"}


def annotator_id(judgment: Judgment) -> str:
    """Return the annotator key of a judgment, which includes its dimension and principle."""
    who = (judgment.labeler, judgment.model, judgment.annotator, judgment.dimension, judgment.principle_id)
    return record_id("annotator", *who)


def annotator_description(judgment: Judgment) -> dict[str, str]:
    """Return the name, description and type of a judgment's annotator."""
    respect = judgment.principle_id or judgment.dimension
    name = judgment.annotator or judgment.labeler
    if respect and judgment.annotator is None:
        return {"name": name, "description": respect, "type": "principle"}
    about = f"{judgment.labeler}, {respect}" if respect else judgment.labeler
    return {"name": name, "description": about, "type": "human" if judgment.annotator else "unknown"}


def head_of(annotators: Mapping[str, Mapping[str, str]], name: str) -> dict[str, Any]:
    """Return the document's metadata; the default annotator is the first human, or the first annotator."""
    humans = [key for key, annotator in annotators.items() if annotator["type"] == "human"]
    return {
        "version": VERSION,
        "description": "Comparisons and judgments exported by publius",
        "dataset_name": name,
        "default_annotator": next(iter([*humans, *annotators]), None),
        "available_metadata_keys_per_comparison": [KEY],
    }


def comparison_of(comparison: Comparison, judgments: Sequence[Judgment]) -> dict[str, Any]:
    """Return a comparison with its annotations."""
    shown: dict[str, Judgment] = {}
    for judgment in current_judgments(judgments):
        shown.setdefault(annotator_id(judgment), judgment)
    keys = {key: judgment.id for key, judgment in shown.items()}
    return {
        "id": comparison.id,
        "prompt": shown_text(comparison.prompt.messages),
        "response_a": {"text": comparison.response_a, "model": comparison.origin_a},
        "response_b": {"text": comparison.response_b, "model": comparison.origin_b},
        "annotations": {key: _annotation(judgment) for key, judgment in shown.items()},
        "metadata": {KEY: pack_records(comparison, judgments, keys)},
    }


def _annotation(judgment: Judgment) -> dict[str, Any]:
    if judgment.verdict in ("a", "b"):
        annotation: dict[str, Any] = {"pref": judgment.verdict}
    else:
        annotation = {"pref": None, "no_pref_reason": _REASONS[judgment.verdict]}
    return annotation | ({"comment": judgment.comment} if judgment.comment else {})

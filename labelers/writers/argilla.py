"""Write Argilla 2 records, with a label question `preference` per dimension and a text question `comment`.

Argilla identifies users by UUID and stores one response per user and question. The metadata holds the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from core.records import Comparison, Judgment
from labelers.formats.tools.packed_records import KEY, messages_of, pack_records
from labelers.writers.display import annotator_judgments

_SIDES = {"a": "response_a", "b": "response_b"}


def record_of(comparison: Comparison, judgments: Sequence[Judgment]) -> dict[str, Any]:
    """Return the record of a comparison, with one response per annotator and question."""
    shown: dict[tuple[str, str], Judgment] = {}
    for judgment in annotator_judgments(judgments):
        shown.setdefault((_question(judgment), user_of(judgment)), judgment)
    responses: dict[str, list[dict[str, Any]]] = {}
    commented: set[str] = set()
    for (question, user), judgment in shown.items():
        status = "discarded" if judgment.verdict == "skip" else "submitted"
        value = _SIDES.get(judgment.verdict, judgment.verdict)
        responses.setdefault(question, []).append({"value": value, "user_id": user, "status": status})
        if judgment.comment and user not in commented:
            commented.add(user)
            comment = {"value": judgment.comment, "user_id": user, "status": status}
            responses.setdefault("comment", []).append(comment)
    keys = {f"{question}/{user}": judgment.id for (question, user), judgment in shown.items()}
    return {
        "id": comparison.id,
        "fields": {
            "prompt": messages_of(comparison.prompt.messages),
            "response_a": comparison.response_a,
            "response_b": comparison.response_b,
        },
        "metadata": {KEY: pack_records(comparison, judgments, keys)},
        "responses": responses,
        "suggestions": {},
    }


def user_of(judgment: Judgment) -> str:
    """Return the Argilla user id of an annotator: a UUID derived from the name."""
    return str(uuid5(NAMESPACE_URL, f"publius:annotator:{judgment.annotator}"))


def _question(judgment: Judgment) -> str:
    return "preference" if judgment.dimension is None else f"preference-{judgment.dimension}"

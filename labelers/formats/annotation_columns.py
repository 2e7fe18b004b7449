"""Columns that plain tables share: annotator, dimension, confidence, comment, duration, time and tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labelers.formats.fields import (
    annotator_name,
    answer_of,
    is_missing,
    list_of,
    maybe_number,
    maybe_text,
    moment_of,
)
from labelers.formats.opinions import Opinion

ANNOTATION_COLUMNS = frozenset(
    {"annotator", "dimension", "confidence", "comment", "duration_s", "created", "tags"}
)
"""The columns that this module reads."""


def opinion_of(values: Mapping[str, Any], **own: Any) -> Opinion:
    """Return the opinion of a row.

    Args:
        values: the row.
        own: fields that the format provides itself, at least the verdict.

    Raises:
        RequestError: if a column has a value of the wrong type.
        ValidationError: if a value is out of range.
    """
    return Opinion(
        annotator=annotator_name(values.get("annotator")),
        dimension=maybe_text(values, "dimension"),
        confidence=maybe_number(values, "confidence"),
        comment=maybe_text(values, "comment"),
        duration_s=maybe_number(values, "duration_s"),
        created=moment_of(values.get("created")),
        **own,
    )


def cell_tags(value: Any) -> tuple[str, ...]:
    """Return the tags of a cell: a list of words, or comma-separated words."""
    if is_missing(value):
        return ()
    is_text = isinstance(value, str) and not value.lstrip().startswith("[")
    words = value.split(",") if is_text else list_of(value, "tags")
    return tuple(answer_of(word, "a tag").strip() for word in words if not is_missing(word))

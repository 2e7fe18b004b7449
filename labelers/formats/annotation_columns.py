"""Columns that plain tables share: annotator, dimension, confidence, comment, duration, time and tags."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from core.errors import RequestError
from labelers.formats.fields import (
    annotator_name,
    answer_of,
    is_missing,
    list_of,
    maybe_number,
    maybe_text,
    moment_of,
    number_of,
    value_of,
)
from labelers.formats.opinions import Opinion
from labelers.formats.source import Skipped

_Value = TypeVar("_Value")

ANNOTATION_COLUMNS = frozenset(
    {"annotator", "dimension", "confidence", "comment", "duration_s", "created", "tags"}
)
"""The columns that this module reads."""


def opinion_of(values: Mapping[str, Any], skipped: list[Skipped] | None = None, **own: Any) -> Opinion:
    """Return the opinion of a row.

    Args:
        values: the row.
        skipped: a confidence, duration or time that cannot be read is appended here; the opinion lacks it.
        own: fields that the format provides itself, at least the verdict.

    Raises:
        RequestError: if a column has a value of the wrong type.
        ValidationError: if a value is out of range.
    """
    skipped = [] if skipped is None else skipped
    return Opinion(
        annotator=annotator_name(values.get("annotator")),
        dimension=maybe_text(values, "dimension"),
        confidence=confidence_in(values, skipped, "confidence"),
        comment=optional(lambda: maybe_text(values, "comment"), skipped),
        duration_s=optional(lambda: maybe_number(values, "duration_s"), skipped),
        created=moment_in(values, skipped, "created"),
        **own,
    )


def optional(read: Callable[[], _Value | None], skipped: list[Skipped]) -> _Value | None:
    """Return an optional field; None, and an entry in `skipped`, if it cannot be read.

    A judgment is worth more than its time of day: an unreadable one costs the field and not the row.
    """
    try:
        return read()
    except RequestError as error:
        skipped.append(Skipped(error.reason, error.detail))
        return None


def moment_in(values: Mapping[str, Any], skipped: list[Skipped], *names: str) -> datetime | None:
    """Return the time in the first non-empty of the columns, as `optional`."""
    return optional(lambda: moment_of(value_of(values, *names)), skipped)


def confidence_in(values: Mapping[str, Any], skipped: list[Skipped], *names: str) -> float | None:
    """Return the confidence in the first non-empty of the columns, from 0 to 1, as `optional`."""

    def read() -> float | None:
        value = value_of(values, *names)
        if value is None:
            return None
        number = number_of(value, "the confidence")
        if not 0 <= number <= 1:
            raise RequestError("the confidence is not between 0 and 1", detail=str(value)[:60])
        return number

    return optional(read, skipped)


def cell_tags(value: Any) -> tuple[str, ...]:
    """Return the tags of a cell: a list of words, or comma-separated words."""
    if is_missing(value):
        return ()
    is_text = isinstance(value, str) and not value.lstrip().startswith("[")
    words = value.split(",") if is_text else list_of(value, "tags")
    return tuple(answer_of(word, "a tag").strip() for word in words if not is_missing(word))

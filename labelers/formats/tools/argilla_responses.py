"""Read the responses of an Argilla record by user, from each of the export formats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from core.errors import RequestError
from labelers.formats.annotation_columns import moment_in
from labelers.formats.fields import annotator_name, is_missing, list_of, mapping_of
from labelers.formats.source import Skipped

SUFFIX = ".responses"
"""Suffix of the column with the responses to a question, in a flattened export."""


@dataclass(slots=True)
class Submission:
    """One user's responses to one record."""

    user: str | None
    status: str
    values: dict[str, Any] = field(default_factory=dict)
    created: datetime | None = None


def submissions_of(values: Mapping[str, Any], skipped: list[Skipped]) -> Iterator[Submission]:
    """Yield each user's responses; append those that cannot be read to `skipped`."""
    responses = values.get("responses")
    if isinstance(responses, list):
        yield from _by_user(responses, skipped)
        return
    answers: list[tuple[str, Any, Any, Any]] = []
    questions = responses.items() if isinstance(responses, Mapping) else ()
    for question, entries in questions:
        for entry in list_of(entries, f"the responses to {question}"):
            answer = mapping_of(entry, "a response")
            answers.append((str(question), answer.get("value"), answer.get("user_id"), answer.get("status")))
    answers += _flat(values, skipped)
    users: dict[tuple[str | None, str], Submission] = {}
    for question, value, user, status in answers:
        key = (annotator_name(user), _status(status))
        users.setdefault(key, Submission(*key)).values[question] = value
    yield from users.values()


def _by_user(responses: Sequence[Any], skipped: list[Skipped]) -> Iterator[Submission]:
    """Yield the submissions of version 1 and of the raw API, which have one object per user."""
    for entry in responses:
        try:
            answer = mapping_of(entry, "a response")
            given = answer.get("values")
            values = {
                str(question): value.get("value") if isinstance(value, Mapping) else value
                for question, value in (given.items() if isinstance(given, Mapping) else ())
            }
            created = moment_in(answer, skipped, "inserted_at", "updated_at")
            yield Submission(
                annotator_name(answer.get("user_id")), _status(answer.get("status")), values, created
            )
        except RequestError as error:
            skipped.append(Skipped(error.reason, error.detail))


def _flat(values: Mapping[str, Any], skipped: list[Skipped]) -> list[tuple[str, Any, Any, Any]]:
    """Return question, value, user and status of flattened columns."""
    found: list[tuple[str, Any, Any, Any]] = []
    for name in values:
        if not str(name).endswith(SUFFIX) or is_missing(values[name]):
            continue
        question = name.removesuffix(SUFFIX)
        given = list_of(values[name], name)
        users, statuses = (
            list_of(values[part], part) if not is_missing(values.get(part)) else [None] * len(given)
            for part in (f"{name}.users", f"{name}.status")
        )
        if len(users) != len(given) or len(statuses) != len(given):
            skipped.append(Skipped("responses, users and status differ in length", question))
            continue
        found += [(question, *answer) for answer in zip(given, users, statuses, strict=True)]
    return found


def _status(value: Any) -> str:
    """Return a status; a missing one, as in old exports, means `submitted`."""
    return (
        "submitted" if is_missing(value) else str(value).strip().casefold() if isinstance(value, str) else "?"
    )

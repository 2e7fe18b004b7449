"""Rows of answers to learn: conversations, completions, and KTO's answers with a label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.conversations import Turns, answered_of, answers_of, is_transcript
from core.errors import RequestError
from core.text.literals import parsed_literal
from core.text.messages import is_conversation, message_entries, parsed_messages
from labelers.formats.fields import present
from labelers.formats.prompt_columns import (
    PROMPT_COLUMNS,
    SYSTEMS,
    TALKS,
    asked_in,
    refuse_media,
    with_system,
)

COMPLETIONS = ("completion", "response", "output", "answer")
"""Columns with an answer, in order of precedence."""
LABELS = ("label", "kto_tag")
ANSWER_ROW = PROMPT_COLUMNS | frozenset({"id", *COMPLETIONS, *LABELS})
_DESIRED: Mapping[object, bool] = {
    True: True,
    False: False,
    "true": True,
    "false": False,
    "1": True,
    "0": False,
    "desirable": True,
    "undesirable": False,
}


def has_answers(row: Mapping[str, Any]) -> bool:
    """Return True if a row has the columns of an answer, whatever is in them."""
    return any(name in row for name in (*TALKS, *COMPLETIONS)) and (
        any(name in row for name in TALKS) or bool(PROMPT_COLUMNS & row.keys())
    )


def turns_in(row: Mapping[str, Any]) -> tuple[Turns, frozenset[str]]:
    """Return the answers to learn of a row, and the columns that were read.

    Raises:
        RequestError: if the row has no answer, or its columns have another form.
    """
    refuse_media(row)
    label = frozenset(LABELS) & row.keys() if is_labelled(row) else frozenset[str]()
    talk = _talk(row)
    column = present(row, COMPLETIONS) or next((c for c in COMPLETIONS if row.get(c) is not None), None)
    if talk is not None and not (column and _ends_with_user(row[talk])):
        value = row[talk] if is_transcript(row[talk]) else _literal(row[talk])
        system = present(row, SYSTEMS)
        if system is None:
            return answers_of(value), frozenset({"id", talk}) | label
        return answers_of(_begun(row[system], value)), frozenset({"id", talk, system}) | label
    asked = asked_in(row)
    answered = answered_of(asked.value, row.get(column) if column else None)
    read = {"id", column or COMPLETIONS[0]}
    return Turns(((1, answered),), (), 1), asked.columns | read | label


def is_labelled(row: Mapping[str, Any]) -> bool:
    """Return True if a row has a label that says whether its answer is good, as KTO's data has."""
    return _desired(row) is not None


def is_desired(row: Mapping[str, Any]) -> bool:
    """Return False if a row's label says that its answer is not a good one."""
    return _desired(row) is not False


def _desired(row: Mapping[str, Any]) -> bool | None:
    name = present(row, LABELS)
    value = None if name is None else row[name]
    if isinstance(value, str):
        value = value.strip().casefold()
    return _DESIRED.get(value) if isinstance(value, bool | int | float | str) else None


def _talk(row: Mapping[str, Any]) -> str | None:
    """Return the column of the conversation, or None if the row has none."""
    if row.get("messages") not in (None, []):
        return "messages"
    held = (name for name in TALKS if is_conversation(_literal(row.get(name))))
    return next(held, None)


def _literal(value: Any) -> Any:
    return parsed_literal(value) if isinstance(value, str) else value


def _ends_with_user(value: Any) -> bool:
    talk = _literal(value)
    return is_conversation(talk) and parsed_messages(talk, "messages")[-1].role == "user"


def _begun(system: Any, talk: Any) -> Any:
    """Return a conversation with the system message before it, if it does not begin with one."""
    messages = parsed_messages(talk, "messages")
    if messages[0].role == "system":
        with_system(system, messages)  # raises if it is another one
        return talk
    if not isinstance(system, str):
        raise RequestError("the system message is not text")
    return [{"role": "system", "content": system}, *message_entries(talk)]

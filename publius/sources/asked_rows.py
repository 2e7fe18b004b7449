"""The prompt of a row, read as training reads it, with the columns that only prompts have.

A preference's prompt is that of its sides. Otherwise the first column that can be read is the prompt, and a
row of another format of labels has the prompt that this format reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.conversations import is_transcript, prompt_of, shown
from core.errors import RequestError
from core.records import Message
from core.text.literals import parsed_literal
from core.text.messages import is_conversation, known_role, role_of
from labelers.formats.prompt_columns import IMPLICIT, SIDE_NAMES, TALKS, ReadSides, asked_in, sides_in
from labelers.formats.registry import most_specific
from labelers.formats.source import Row
from prompts.rows import (
    ADDED_COLUMNS,
    PROMPT_COLUMN_ORDER,
    AskedRow,
    conversation_of,
    is_absent,
)

_FIRST_TURN = "the prompt is a list of user turns, of which the first was taken"
_ARENA = ("response_a", "response_b")
"""Beside them, Arena's tables have a list of turns as JSON in the prompt."""
_NO_PROMPT = "no column holds a prompt"
_EMPTY = "the prompt is empty"


def asked_of_row(row: Mapping[str, Any], first: Sequence[str] = ()) -> AskedRow:
    """Return the prompt of a row, without the system message of a column of its own.

    Args:
        row: the row by column.
        first: columns that the user mapped, which hold the prompt if they have a value.

    Raises:
        RequestError: the row has no prompt that can be used.
    """
    sides = None if first else _sides(row)
    if sides is not None and sides.note != IMPLICIT:
        return _with_history(row, sides)
    problem: RequestError | None = None
    candidates = [name for name in dict.fromkeys((*first, *PROMPT_COLUMN_ORDER)) if name in row]
    for name in candidates:
        if is_absent(row[name]):
            continue
        try:
            return _asked(row, name)
        except RequestError as cause:
            error = _with_what_is_empty(cause, row[name], name)
            if name in first or (name != "chosen" and _is_meant(row[name])):
                raise error from cause
            problem = problem or error
    found = None if first else _asked_by_format(row)
    if found is not None:
        return found
    if sides is not None:
        return AskedRow(sides.sides.prompt, sides.columns, sides.note)
    if problem is not None:
        raise problem
    if not candidates:
        raise RequestError(_NO_PROMPT)
    held = "empty" if row[candidates[0]] == [] else "null"
    raise RequestError(_EMPTY, detail=f"{candidates[0]} is {held}")


def _with_what_is_empty(error: RequestError, value: Any, name: str) -> RequestError:
    """Return the error of an empty prompt with what is empty in its cell; any other error as it is."""
    if error.reason != _EMPTY or error.detail:
        return error
    if not isinstance(value, str):
        return RequestError(_EMPTY, detail=f"the last message in {name} has no text")
    return RequestError(_EMPTY, detail=f"{name} has {'white space only' if value else 'no text'}")


def _sides(row: Mapping[str, Any]) -> ReadSides | None:
    """Return the sides of a preference; None if the row has none that training can read."""
    if any(is_absent(row.get(name)) for name in SIDE_NAMES):
        return None
    try:
        return sides_in(row)
    except RequestError:
        return None


def _with_history(row: Mapping[str, Any], sides: ReadSides) -> AskedRow:
    """Return the prompt of two sides; if they are texts, after the earlier turns in `history`."""
    prompt, earlier = sides.sides.prompt, row.get("history")
    is_text = all(isinstance(row[name], str) and not is_transcript(row[name]) for name in SIDE_NAMES)
    if not earlier or not isinstance(earlier, list | tuple) or "history" in sides.columns or not is_text:
        return AskedRow(prompt, sides.columns, sides.note)
    if len(prompt) > 1:
        return AskedRow(prompt, sides.columns, sides.note)
    return AskedRow(prompt_of([*_earlier(earlier), *prompt]), sides.columns | {"history"}, sides.note)


def _is_meant(value: Any) -> bool:
    """Return True if a cell that cannot be read is the prompt: text, or messages with one of a user."""
    if isinstance(value, str):
        value = parsed_literal(value) if value.lstrip()[:2] == "[{" else value
    if isinstance(value, str):
        return bool(value.strip())
    if not is_conversation(value):
        return False
    return any(role_of(message) in ("user", None) for message in value)


def _asked(row: Mapping[str, Any], name: str) -> AskedRow:
    """Return the prompt in a column, with what belongs to it."""
    if name == "chosen":
        return AskedRow(_of_chosen(row[name]), frozenset({"chosen", "rejected"}))
    value, read, said = asked_in({"prompt": row[name]}).value, {name}, ""
    if isinstance(value, str) and value.lstrip()[:2] == "[{":
        value = parsed_literal(value)
    if name == "text":
        _refuse_answers(row)
    elif name not in TALKS:
        turns = _list_of_texts(row, value)
        if turns:
            value, said = turns[0], _FIRST_TURN if len(turns) > 1 else ""
    if name == "instruction":
        _refuse_added(row)
        found = asked_in({key: row[key] for key in ("instruction", *ADDED_COLUMNS) if key in row})
        value, read = found.value, read | found.columns
    messages = conversation_of(value, name)
    earlier = row.get("history")
    if name != "history" and isinstance(value, str) and not is_transcript(value) and earlier:
        if isinstance(earlier, list | tuple):
            messages, read = prompt_of([*_earlier(earlier), *messages]), read | {"history"}
        elif name == "instruction":
            raise RequestError("history is not a list of pairs of texts", detail=shown(earlier))
    return AskedRow(messages, frozenset(read), said)


def _of_chosen(value: Any) -> tuple[Message, ...]:
    value = parsed_literal(value) if isinstance(value, str) else value
    if not isinstance(value, list | tuple) and not is_transcript(value):
        raise RequestError(
            "there is no prompt, and the answer is text, not a conversation", detail="in chosen"
        )
    return conversation_of(value, "chosen")


def _list_of_texts(row: Mapping[str, Any], value: Any) -> list[str]:
    """Return the user's turns if a cell is a list of texts; empty if it is anything else."""
    if isinstance(value, str) and all(_is_list(row.get(name)) for name in _ARENA):
        value = parsed_literal(value)
    is_texts = isinstance(value, list | tuple) and all(isinstance(turn, str) for turn in value)
    return list(value) if is_texts else []


def _is_list(value: Any) -> bool:
    return isinstance(parsed_literal(value) if isinstance(value, str) else value, list | tuple)


def _refuse_answers(row: Mapping[str, Any]) -> None:
    """Raise RequestError if the row is one message of a thread (OASST) that is not the user's."""
    role = row.get("role")
    if isinstance(role, str) and role.strip() and known_role(role) != "user":
        raise RequestError("the row is not a message of the user", detail=f"role: {shown(role)}")


def _refuse_added(row: Mapping[str, Any]) -> None:
    for name in ADDED_COLUMNS:
        if not is_absent(row.get(name)) and not isinstance(row[name], str):
            raise RequestError(f"{name} is not text", detail=shown(row[name]))


def _earlier(turns: Sequence[Any]) -> list[Any]:
    """Return the messages of earlier turns, given as messages or as pairs of the user's and the answer."""
    if is_conversation(turns):
        return list(turns)
    if not all(isinstance(turn, list | tuple) and [*map(type, turn)] == [str, str] for turn in turns):
        raise RequestError("history is not a list of pairs of texts", detail=shown(turns))
    roles = ("user", "assistant")
    return [{"role": role, "content": text} for turn in turns for role, text in zip(roles, turn, strict=True)]


def _asked_by_format(row: Mapping[str, Any]) -> AskedRow | None:
    """Return the prompt that a format of labels reads in a row; None if none does."""
    source = most_specific([row])
    if source is None:
        return None
    for labels in source.read(iter([Row(1, row)])):
        for pair in labels.pairs:
            return AskedRow(pair.prompt, frozenset(row) if source.columns is None else source.columns)
    return None

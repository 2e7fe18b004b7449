"""A row of any data set as a prompt: which columns hold it, in which forms, and what is read beside it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from core.conversations import TRANSCRIPT_START, is_transcript, prompt_of, shown
from core.errors import RequestError
from core.records import Message, Prompt, Role, Split
from core.text.messages import SPEAKERS

PROMPT_COLUMN_ORDER = (
    "messages",
    "conversations",
    "conversation",
    "prompt",
    "question",
    "instruction",
    "query",
    "text",
    "chosen",
)
"""Columns that may hold a prompt. The first one with a value is read."""
OUR_COLUMNS = ("prompt", "messages", "input", "system", "tags", "source", "split")
"""Columns that `prompts.columns` can map a user's column to."""
_SYSTEMS = ("system", "system_prompt", "system_message")
_ADDED = ("input", "context")
"""Columns that an instruction is about (Alpaca, Dolly)."""
READ_COLUMNS = (*PROMPT_COLUMN_ORDER, *_ADDED, "history", *_SYSTEMS, "tags", "source", "split")

_SPLITS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "preference": "preference",
    "test": "test",
    "validation": "test",
    "valid": "test",
    "dev": "test",
    "eval": "test",
}
"""Splits by name. Whatever is not for training is held out."""
_LONGEST_INTEGER = 20
_ANSWER = "\n\nAssistant:"


class ParsedRow(NamedTuple):
    """The prompt in a row."""

    prompt: Prompt
    read: frozenset[str]
    """Columns that were read, by their names in the row."""
    lost: tuple[str, ...] = ()
    """Optional columns whose value could not be read, such as `tags`."""


def prompt_of_row(
    values: Mapping[str, Any], source: str, first: Sequence[str] = (), *, is_table: bool = False
) -> ParsedRow:
    """Return the prompt in a row.

    A conversation that ends with an answer is read up to its last user message; every turn before it is kept.

    Args:
        values: the row by column. Names match whatever their case.
        source: the prompt's source, unless the row names one.
        first: columns that hold a prompt if they have a value, before those of `PROMPT_COLUMN_ORDER`.
        is_table: True if all cells are text, as in CSV; tags are then separated by commas or semicolons.

    Raises:
        RequestError: the row has no prompt that can be used.
    """
    names = {str(name).strip().casefold(): name for name in reversed(list(values))} | {
        name: name for name in values
    }
    row = {column: values[names[column]] for column in READ_COLUMNS if column in names}
    column = _prompt_column(row, first)
    messages = _conversation(row[column], column)
    read = {column}
    if column == "instruction":
        messages, read = _instruction(messages, row), read | {*_ADDED, "history"} & row.keys()
    if column == "chosen":
        read |= {"rejected"} & names.keys()
    system = next((name for name in _SYSTEMS if not _is_missing(row.get(name))), None)
    if system is not None:
        messages, read = _with_system(messages, row[system]), read | {system}
    lost: list[str] = []
    tags = _tags(row.get("tags"), is_table, lost)
    origin = _word(row.get("source"), "source", lost) or source
    split = _split(row.get("split"))
    read |= {"tags", "source", "split"} & row.keys()
    try:
        prompt = Prompt.of(messages, tags=tags, source=origin, split=split)
    except ValidationError as error:
        raise RequestError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error
    return ParsedRow(prompt, frozenset(names[name] for name in read), tuple(lost))


def text_cell(value: Any) -> str:
    """Return a value as one text: text as it is, anything else as JSON.

    Raises:
        ValueError: the value cannot be written as UTF-8 JSON.
    """
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    except (RecursionError, TypeError) as error:
        raise ValueError("the value cannot be written as JSON") from error
    text.encode("utf-8")  # UnicodeEncodeError is a ValueError
    return text


def _prompt_column(row: Mapping[str, Any], first: Sequence[str]) -> str:
    candidates = [name for name in (*first, *PROMPT_COLUMN_ORDER) if name in row]
    for name in candidates:
        if not _is_missing(row[name]) and not (name == "chosen" and not _is_conversation(row[name])):
            return name
    if not candidates:
        raise RequestError("no column holds a prompt")
    if all(_is_missing(row[name]) for name in candidates):
        held = "empty" if row[candidates[0]] == [] else "null"
        raise RequestError("the prompt is empty", detail=f"{candidates[0]} is {held}")
    raise RequestError("there is no prompt, and the answer is text, not a conversation", detail="in chosen")


def _conversation(value: Any, column: str) -> tuple[Message, ...]:
    """Return the messages of a cell up to its last user message."""
    if isinstance(value, str) and value.lstrip().startswith("[{"):
        value = _from_json(value)
    if _is_transcript(value):
        return prompt_of(_up_to_the_user(value))
    if isinstance(value, str) and not value.strip():
        raise RequestError("the prompt is empty")
    if isinstance(value, Mapping):
        value = [value]
    if isinstance(value, list | tuple):
        value = [_message(entry) for entry in value]
        while value and isinstance(value[-1], Mapping) and value[-1].get("role") == "assistant":
            value.pop()
        if not value:
            raise RequestError("there is no user message", detail=f"in {column}")
    elif not isinstance(value, str):
        raise RequestError("the prompt is neither text nor a list of messages", detail=shown(value))
    return prompt_of(value)


def _up_to_the_user(transcript: str) -> str:
    """Return a transcript without the answers at its end, open for the next one."""
    transcript = TRANSCRIPT_START + transcript.lstrip().removeprefix("Human:")
    while (turn := transcript.rfind(_ANSWER)) > transcript.rfind(TRANSCRIPT_START):
        transcript = transcript[:turn]
    return transcript


def _message(entry: Any) -> Any:
    """Return a message under the names `role` and `content`; anything else unchanged."""
    if not isinstance(entry, Mapping):
        return entry
    role = entry.get("role", entry.get("from"))
    content = entry.get("content", entry.get("value"))
    known = SPEAKERS.get(role.strip().casefold()) if isinstance(role, str) else None
    return {**entry, "role": known or role, "content": content}


def _instruction(messages: tuple[Message, ...], row: Mapping[str, Any]) -> tuple[Message, ...]:
    """Return an instruction with its input (Alpaca) and the turns before it (LLaMA-Factory's `history`)."""
    history = row.get("history")
    for name in _ADDED:
        added = row.get(name)
        if _is_missing(added):
            continue
        if not isinstance(added, str):
            raise RequestError(f"{name} is not text", detail=shown(added))
        if added.strip():
            last = messages[-1]
            messages = (*messages[:-1], Message(role="user", content=f"{last.content}\n{added}"))
    if not history:
        return prompt_of([message.model_dump() for message in messages])
    if not isinstance(history, list) or not all(_is_exchange(turn) for turn in history):
        raise RequestError("history is not a list of pairs of texts", detail=shown(history))
    roles: tuple[Role, Role] = ("user", "assistant")
    before = [
        {"role": role, "content": text} for pair in history for role, text in zip(roles, pair, strict=True)
    ]
    return prompt_of([*before, *(message.model_dump() for message in messages)])


def _is_exchange(turn: Any) -> bool:
    return isinstance(turn, list | tuple) and len(turn) == 2 and all(isinstance(text, str) for text in turn)


def _with_system(messages: tuple[Message, ...], system: Any) -> tuple[Message, ...]:
    if _is_missing(system) or (isinstance(system, str) and not system.strip()):
        return messages
    if not isinstance(system, str):
        raise RequestError("system is not text", detail=shown(system))
    first = Message(role="system", content=system)
    if messages[0].role == "system":
        if messages[0].content.strip() != system.strip():
            raise RequestError("the column system and the conversation have different system messages")
        return messages
    return prompt_of([message.model_dump() for message in (first, *messages)])


def _tags(value: Any, is_table: bool, lost: list[str]) -> tuple[str, ...]:
    """Return tags from a list, or from text: one tag, or in a table several between commas or semicolons."""
    if _is_missing(value) or value == "":
        return ()
    if isinstance(value, str) and value.lstrip().startswith("["):
        found = _from_json(value)
        value = found if isinstance(found, list) else value
    if isinstance(value, str):
        value = value.replace(";", ",").split(",") if is_table else [value]
    if not isinstance(value, list | tuple):
        value = [value]
    tags = [_word(tag, "tags", lost) for tag in value]
    return tuple(dict.fromkeys(tag for tag in tags if tag))


def _word(value: Any, column: str, lost: list[str]) -> str:
    """Return a short value as text; a number is written as it is. Empty if there is none."""
    if _is_missing(value):
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**_LONGEST_INTEGER:
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return str(int(value)) if value.is_integer() else str(value)
    if isinstance(value, str):
        try:
            value.encode("utf-8")
            return value.strip()
        except UnicodeEncodeError:
            pass
    if column not in lost:
        lost.append(column)
    return ""


def _split(value: Any) -> Split | None:
    if _is_missing(value) or (isinstance(value, str) and not value.strip()):
        return None
    split = _SPLITS.get(value.strip().casefold()) if isinstance(value, str) else None
    if split is None:  # a guess could put a prompt that is to be held out into training
        raise RequestError("split is not train, preference or test", detail=shown(value))
    return split


def _is_transcript(value: Any) -> bool:
    """Return True for a transcript, also where a table lost the empty line before its first turn."""
    if is_transcript(value):
        return True
    return isinstance(value, str) and value.lstrip().startswith("Human:") and _ANSWER in value


def _is_conversation(value: Any) -> bool:
    return isinstance(value, list) or _is_transcript(value)


def _is_missing(value: Any) -> bool:
    return value is None or value == [] or (isinstance(value, float) and math.isnan(value))


def _from_json(text: str) -> Any:
    """Return the list in a cell of text; the text itself if it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text

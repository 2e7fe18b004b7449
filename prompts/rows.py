"""A row of any data set as a prompt: a cell of messages, and what is read beside it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from core.conversations import is_transcript, prompt_of, shown
from core.errors import RequestError
from core.records import Message, Prompt, Split
from core.text.messages import by_message, role_of

PROMPT_COLUMN_ORDER = (
    "messages",
    "conversations",
    "conversation",
    "trajectory",
    "contents",
    "dialogue",
    "prompt",
    "instruction",
    "question",
    "query",
    "input",
    "context",
    "history",
    "post",
    "turns",
    "text",
    "chosen",
)
"""Columns that may hold a prompt. The first one with a readable value is read."""
OUR_COLUMNS = ("prompt", "messages", "input", "system", "tags", "source", "split")
"""Columns of prompts that `prompts.columns` can map a user's column to."""
ANSWER_COLUMNS = ("chosen", "rejected", "response_a", "response_b", "origin_a", "origin_b")
"""Columns of pairs that it can, for `publius label --pairs` alone."""
_SYSTEMS = ("system", "system_prompt", "system_message", "systeminstruction", "system_instruction")
ADDED_COLUMNS = ("input", "context")
"""Columns that an instruction is about (Alpaca, Dolly)."""
READ_COLUMNS = (
    *("messages", "conversations", "conversation", "prompt", "question", "instruction", "query", "text"),
    *("chosen", *ADDED_COLUMNS, "history", *_SYSTEMS, "tags", "source", "split"),
)
"""Names that a misspelt column may be meant to have."""

_SPLITS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "preference": "preference",
}
"""Splits by the first word of their names."""
_HELD_OUT = re.compile(r"(?:^|[^a-z])(?:test|eval|valid|val(?![a-z])|dev|held|hold)")
"""Whatever says in one of its words that it is not for training is held out."""
_VALIDATION = re.compile(r"(?:^|[^a-z])(?:valid|val(?![a-z])|dev)")
_TEST = re.compile(r"(?:^|[^a-z])(?:test|held|hold)")
_LONGEST_INTEGER = 20
_SPEAKER = re.compile(r"(?:\r?\n\r?\n|\A\s*)(Human|Assistant):")
_LISTED_TALKS = ("conversations", "conversation")


class AskedRow(NamedTuple):
    """The messages of the prompt in a row, without a column of the system message."""

    messages: tuple[Message, ...]
    read: frozenset[str]
    """Columns that were read."""
    note: str = ""
    """How they were read, if that is worth knowing."""


class ParsedRow(NamedTuple):
    """The prompt in a row."""

    prompt: Prompt
    read: frozenset[str]
    """Columns that were read, by their names in the row."""
    lost: tuple[str, ...] = ()
    """Optional columns whose value could not be read, such as `tags`."""
    note: str = ""
    """How the prompt was read, if that is worth knowing."""
    split_name: str = ""
    """The word of the row's column `split`, if the prompt's split was read from it."""


def prompt_of_row(
    values: Mapping[str, Any],
    source: str,
    asked: Callable[[Mapping[str, Any]], AskedRow],
    mapped: Collection[str] = (),
    *,
    is_table: bool = False,
) -> ParsedRow:
    """Return the prompt in a row with its system message, tags, source and split.

    Args:
        values: the row by column. Names match whatever their case.
        source: the prompt's source, unless the row names one.
        asked: reads the messages from a row whose columns have lower-case names too.
        mapped: our columns that the user mapped. An unknown word in a mapped `split` is an error.
        is_table: True if all cells are text, as in CSV; tags are then separated by commas or semicolons.

    Raises:
        RequestError: the row has no prompt that can be used.
    """
    names = {str(name).strip().casefold(): name for name in reversed(list(values))} | {
        name: name for name in values
    }
    row = {column: values[name] for column, name in names.items()}
    messages, columns, note = asked({name: value for name, value in row.items() if name not in _SYSTEMS})
    read = set(columns)
    system = next((name for name in _SYSTEMS if not is_absent(row.get(name))), None)
    if system is not None:
        messages = _with_system(messages, _system_text(row[system]))
        read.add(system)
    lost: list[str] = []
    tags = _tags(row.get("tags"), is_table, lost)
    # An object or a list under the name of ours is another field of the user's.
    other = {n for n in ("source", "split") if n not in mapped and isinstance(row.get(n), Mapping | list)}
    origin = ("" if "source" in other else _word(row.get("source"), "source", lost)) or source
    split = None if "split" in other else _split(row.get("split"), lost, must_be_known="split" in mapped)
    read |= {"tags", "source", "split"} & row.keys() - other
    try:
        prompt = Prompt.of(messages, tags=tags, source=origin, split=split)
    except ValidationError as error:
        raise RequestError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error
    columns = frozenset(names[name] for name in read & names.keys())
    return ParsedRow(prompt, columns, tuple(lost), note, "" if split is None else str(row["split"]).strip())


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


def conversation_of(value: Any, column: str) -> tuple[Message, ...]:
    """Return the messages of a cell up to its last user message; every turn before it is kept.

    Raises:
        RequestError: the cell holds no prompt.
    """
    if is_transcript(value):
        return prompt_of(_up_to_the_user(value))
    if isinstance(value, str) and not value.strip():
        raise RequestError("the prompt is empty")
    if isinstance(value, Mapping):
        value = by_message(value)
        value = [value] if isinstance(value, Mapping) else value
    if isinstance(value, list | tuple):
        value = [_message(entry) for entry in _turns(value, column)]
        while value and isinstance(value[-1], Mapping) and value[-1].get("role") == "assistant":
            value.pop()
        if not value:
            raise RequestError("there is no user message", detail=f"in {column}")
    elif not isinstance(value, str):
        raise RequestError("the prompt is neither text nor a list of messages", detail=shown(value))
    return prompt_of(value)


def _up_to_the_user(transcript: str) -> str:
    """Return a transcript without the answers at its end, open for the next one."""
    last: str | None = None
    for turn in reversed(list(_SPEAKER.finditer(transcript))):
        if turn[1] == "Human":
            break
        last = transcript[: turn.start()]
    return transcript if last is None else last


def _turns(entries: Sequence[Any], column: str) -> Sequence[Any]:
    """Return the messages of exchanges, each with `input` and `output`, or of texts; other lists unchanged.

    Texts in a column of conversations are of the user and the assistant in turn, as in LIMA.
    """
    if column in _LISTED_TALKS and all(isinstance(entry, str) for entry in entries):
        roles = ("user", "assistant")
        return [{"role": roles[number % 2], "content": text} for number, text in enumerate(entries)]
    if not all(isinstance(entry, Mapping) and {"input", "output"} <= entry.keys() for entry in entries):
        return entries
    sides = (("user", "input"), ("assistant", "output"))
    return [{"role": role, "content": entry[key]} for entry in entries for role, key in sides]


def _message(entry: Any) -> Any:
    """Return a message under the name `role`; anything else unchanged."""
    if not isinstance(entry, Mapping):
        return entry
    known = role_of(entry)
    return entry if known is None else {**entry, "role": known}


def _system_text(value: Any) -> Any:
    """Return the text of a system message, which may be parts of text or an object that holds them."""
    if isinstance(value, Mapping):
        value = next((value[key] for key in ("parts", "content", "text") if value.get(key)), value)
    if not isinstance(value, list | tuple):
        return value
    parts = [part.get("text") if isinstance(part, Mapping) else part for part in value]
    texts = [part for part in parts if isinstance(part, str)]
    return "\n".join(texts) if len(texts) == len(parts) else value


def _with_system(messages: tuple[Message, ...], system: Any) -> tuple[Message, ...]:
    if isinstance(system, str) and not system.strip():
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
    if is_absent(value) or value == "":
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
    if is_absent(value):
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


def _split(value: Any, lost: list[str], *, must_be_known: bool) -> Split | None:
    """Return a split by the first word of its name, such as `train` of `train_sft`."""
    if is_absent(value) or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str):
        name = value.strip().casefold()
        split = "test" if is_held_out_name(name) else _SPLITS.get(name.partition("_")[0])
        if split is not None:
            return split
    if must_be_known:  # a guess could put a prompt that is to be held out into training
        raise RequestError("split is not train, preference or test", detail=shown(value))
    lost.append("split")
    return None


def is_held_out_name(name: str) -> bool:
    """Return True if a name of a split says in one of its words that it is not for training."""
    return _HELD_OUT.search(name.strip().casefold()) is not None


def is_validation_name(name: str) -> bool:
    """Return True if a name of a split is that of a part for development or validation, and not of a test."""
    folded = name.strip().casefold()
    return _VALIDATION.search(folded) is not None and _TEST.search(folded) is None


def is_absent(value: Any) -> bool:
    """Return True if a cell holds nothing; blank text is a prompt that is empty."""
    return value is None or value == [] or (isinstance(value, float) and math.isnan(value))


def _from_json(text: str) -> Any:
    """Return the list in a cell of text; the text itself if it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text

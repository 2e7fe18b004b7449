"""The prompt of a row under the names that public data sets give it, and the sides of a preference.

    prompt, or question, query, context, history   text, messages, or an object with messages or a text
    instruction with input (Alpaca)                joined by a line end
    history beside a text                          earlier turns, as messages or as [user, assistant]
    messages, conversations, trajectory            a list of messages that ends with the user
    system, system_prompt, systemInstruction       put before any of these

A row whose columns hold images, sound or video is refused: the text alone would have another meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from core.conversations import Sides, is_plain_text, is_whole, prompt_of, sides_of
from core.errors import RequestError
from core.records import Message
from core.text.literals import parsed_literal
from core.text.messages import (
    by_message,
    is_conversation,
    is_message,
    parsed_messages,
    shown,
    text_of_content,
)
from labelers.formats.fields import is_missing, present

SYSTEMS = ("system", "system_prompt", "system_message", "systemInstruction", "system_instruction")
TALKS = ("messages", "conversations", "conversation", "trajectory", "contents", "dialogue", "context")
_TEXTS = ("instruction", "question", "query", "input", "context", "history", "post")
SIDE_NAMES = ("chosen", "rejected")
_MEDIA = ("image", "images", "video", "videos", "audio", "audios")
_TEXT_KEYS = ("full_text", "text", "content")
PROMPT_COLUMNS = frozenset({"prompt", *SYSTEMS, *TALKS, *_TEXTS})
"""Every column that may be read as a part of the prompt."""


class Asked(NamedTuple):
    """The prompt of a row."""

    value: Any
    """Text, messages or a transcript, as `prompt_of` takes them; None if the row has no prompt."""
    columns: frozenset[str]
    """The columns that it was read from."""


class ReadSides(NamedTuple):
    """The prompt and the two answers of a row."""

    sides: Sides
    columns: frozenset[str]
    """The columns that they were read from."""
    note: str = ""
    """How they were read, if that is worth knowing."""


IMPLICIT = "no prompt column: the beginning that chosen and rejected share was taken for the prompt"


def asked_in(row: Mapping[str, Any]) -> Asked:
    """Return the prompt of a row.

    Raises:
        RequestError: if the row has images, or a system message contradicts that of the messages.
    """
    refuse_media(row)
    value, columns = _without_system(row)
    system = present(row, SYSTEMS)
    if system is None or value is None:
        return Asked(value, columns)
    return Asked(with_system(row[system], value), columns | {system})


def sides_in(row: Mapping[str, Any], names: tuple[str, str] = SIDE_NAMES) -> ReadSides:
    """Return the prompt and the answers of a preference.

    Without a prompt, the beginning that two texts in `chosen` and `rejected` share is the prompt, as in TRL.

    Args:
        row: the row.
        names: the columns of the two answers.

    Raises:
        RequestError: if they have another form.
    """
    chosen, rejected = (_answer_value(row.get(name)) for name in names)
    own = frozenset(names)
    if is_whole(chosen) and is_whole(rejected) and is_missing(row.get("prompt")):
        refuse_media(row)
        found = sides_of(None, chosen, rejected, names)
        system = present(row, SYSTEMS)
        if system is None:
            return ReadSides(found, own)
        return ReadSides(found._replace(prompt=with_system(row[system], found.prompt)), own | {system})
    asked = asked_in(row)
    value = asked.value
    if is_conversation(value) and not is_message(chosen):
        value = _without_answer(value, chosen)
    elif is_conversation(value):
        value = _without_answer(value, [chosen])
    texts = value is None and is_plain_text(chosen) and is_plain_text(rejected)
    sides = sides_of(value, chosen, rejected, names, implicit=names == SIDE_NAMES)
    return ReadSides(sides, own | asked.columns, IMPLICIT if texts else "")


def with_system(system: Any, prompt: Any) -> tuple[Message, ...]:
    """Return a prompt with a system message before it.

    Raises:
        RequestError: if the prompt begins with another system message.
    """
    messages = prompt if isinstance(prompt, tuple) else prompt_of(prompt)
    text = text_of_content(system, "the system message")
    if messages[0].role != "system":
        return (Message(role="system", content=text), *messages)
    if messages[0].content.strip() != text.strip():
        raise RequestError("the system message is not that of the conversation", detail=shown(system))
    return tuple(messages)


def refuse_media(row: Mapping[str, Any]) -> None:
    """Raise RequestError if a row has images, sound or video."""
    for name in _MEDIA:
        held = row.get(name)
        if not is_missing(held) and held not in ([], {}):
            raise RequestError(
                "the row has images, sound or video, and only text is read", detail=f"in {name}"
            )


def _without_system(row: Mapping[str, Any]) -> tuple[Any, frozenset[str]]:
    """Return the prompt without the system column, and the columns that it was read from."""
    if row.get("prompt") is not None:
        return _after_history(row, _opened(row["prompt"]), {"prompt"})
    for talk in TALKS:
        value = _opened(row.get(talk))
        if is_conversation(value):
            return value, frozenset({talk})
    name = present(row, _TEXTS)
    if name is None:
        return None, frozenset()
    value, columns = _opened(row[name]), {name}
    if name == "instruction":
        for more in ("input", "context"):
            if isinstance(row.get(more), str) and isinstance(value, str):
                columns.add(more)
                value = f"{value}\n{row[more]}" if row[more].strip() else value
    return _after_history(row, value, columns)


def _after_history(row: Mapping[str, Any], value: Any, columns: set[str]) -> tuple[Any, frozenset[str]]:
    """Return a prompt with the turns of the column `history` before it if it is one text, and its columns."""
    earlier = by_message(row.get("history"))
    if "history" in columns or not isinstance(earlier, list) or not is_plain_text(value):
        return value, frozenset(columns)
    return [*_earlier(earlier), {"role": "user", "content": value}], frozenset({*columns, "history"})


def _earlier(turns: list[Any]) -> list[Any]:
    """Return the messages of earlier turns, given as messages or each as [user, assistant]."""
    if is_conversation(turns):
        return turns
    found = []
    for turn in turns:
        if not isinstance(turn, list | tuple) or len(turn) != 2:
            raise RequestError("history is not a list of [user, assistant]", detail=shown(turn))
        found += [
            {"role": role, "content": text} for role, text in zip(("user", "assistant"), turn, strict=True)
        ]
    return found


def _opened(value: Any) -> Any:
    """Return the messages or the text of an object that holds them; any other value unchanged."""
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        found = parsed_literal(value)
        return found if is_conversation(found) else value
    value = by_message(value)
    if isinstance(value, Mapping) and not is_message(value):
        if is_conversation(value.get("messages")):
            return value["messages"]
        return next((value[key] for key in _TEXT_KEYS if isinstance(value.get(key), str)), value)
    return value


def _answer_value(value: Any) -> Any:
    """Return an answer, which may be an object with the key `content` or `text`, or a list in a cell."""
    return value if is_message(value) else _opened(value)


def _without_answer(talk: Any, chosen: Any) -> Any:
    """Return a conversation without its last message if that is the chosen answer."""
    last = parsed_messages(talk, "messages")[-1]
    if last.role != "assistant":
        return talk
    answer = chosen if isinstance(chosen, str) else parsed_messages(chosen, "chosen")[-1].content
    return list(talk)[:-1] if answer.strip() == last.content.strip() else talk

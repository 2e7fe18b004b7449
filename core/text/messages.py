"""Messages in the forms that data sets have: role and content, ShareGPT's from and value, lists of parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from core.errors import RequestError
from core.records import Message, Role

_ROLES: tuple[str, ...] = get_args(Role)
SPEAKERS: Mapping[str, Role] = {
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "claude": "assistant",
    "system": "system",
    "developer": "system",
}
"""Roles by their names in ShareGPT's `from` and elsewhere."""
ROLE_KEYS, CONTENT_KEYS = ("role", "from"), ("content", "value", "text", "parts")
_TOOL_KEYS = ("tool_calls", "function_call")
_TEXT_PARTS = ("text", "input_text", "output_text")
_SHOWN = 60


def shown(value: object) -> str:
    """Return a value as one short line, for the detail of an error."""
    try:
        text = repr(value)
    except RecursionError:
        text = f"a deeply nested {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def is_message(value: object) -> bool:
    """Return True if a value is a message: a mapping with a role and a content, or a record."""
    if isinstance(value, Message):
        return True
    return (
        isinstance(value, Mapping)
        and not isinstance(value.get(_key(value, ROLE_KEYS)), list)
        and _key(value, ROLE_KEYS) is not None
        and _key(value, CONTENT_KEYS) is not None
    )


def is_conversation(value: object) -> bool:
    """Return True if a value is a list of messages that is not empty."""
    return isinstance(value, list | tuple) and bool(value) and all(map(is_message, value))


def parsed_messages(value: Any, column: str) -> tuple[Message, ...]:
    """Return a column's messages. Plain text is one user message, and one message is a list of one.

    A system message without content is no message.

    Raises:
        RequestError: the value has another form, a role is unknown, or a content is not text.
    """
    if isinstance(value, str):
        return (Message(role="user", content=whole_text(value)),)
    entries = message_entries(value)
    if not entries:
        raise RequestError(f"{column} is neither text nor a list of messages", detail=shown(value))
    return tuple(_message(entry, column) for entry in entries)


def message_entries(value: Any) -> list[Any]:
    """Return the entries of a list of messages as they are; empty if the value is no list.

    An object with a list of roles and a list of contents is the messages that they are together.
    """
    value = by_message(value)
    if isinstance(value, Mapping):
        value = [value] if is_message(value) else []
    return [entry for entry in value if not _is_void(entry)] if isinstance(value, list | tuple) else []


def by_message(value: Any) -> Any:
    """Return the messages of an object with a list for each of their keys; any other value unchanged."""
    if not isinstance(value, Mapping):
        return value
    role, content = _key(value, ROLE_KEYS), _key(value, CONTENT_KEYS)
    if role is None or content is None or not isinstance(value[role], list):
        return value
    lists = {key: held for key, held in value.items() if isinstance(held, list)}
    if content not in lists or {len(held) for held in lists.values()} != {len(value[role])}:
        return value
    return [dict(zip(lists, entry, strict=True)) for entry in zip(*lists.values(), strict=True)]


def text_of_content(content: Any, column: str) -> str:
    """Return a content's text: the text itself, a list of parts, or an object that holds one of them.

    Raises:
        RequestError: if a part is not text.
    """
    key = _key(content, CONTENT_KEYS) if isinstance(content, Mapping) else None
    return whole_text(_text(content if key is None else content[key], column))


def whole_text(text: str) -> str:
    """Return the text unchanged.

    Raises:
        RequestError: the text contains an unpaired surrogate, which JSON can encode and no tokenizer accepts.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RequestError(
            "the text contains an unpaired surrogate", detail=f"at character {error.start + 1}"
        ) from error
    return text


def _message(value: Any, column: str) -> Message:
    if isinstance(value, Message):
        return value
    if not isinstance(value, Mapping):
        raise RequestError(
            f"{column} is neither text nor a list of messages", detail=f"it contains {shown(value)}"
        )
    if any(value.get(key) for key in _TOOL_KEYS):
        raise RequestError("the conversation contains tool calls", detail=f"in {column}")
    key = _key(value, ROLE_KEYS)
    name = None if key is None else value[key]
    role = SPEAKERS.get(name.strip().casefold()) if isinstance(name, str) else None
    if role is None:
        accepted = ", ".join(_ROLES)
        raise RequestError(f"a message has a role other than {accepted}", detail=f"{column}: {shown(name)}")
    key = _key(value, CONTENT_KEYS)
    return Message(role=role, content=whole_text(_text(None if key is None else value[key], column)))


def _text(content: Any, column: str) -> str:
    """Return the text of a content, which may be a list of parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        raise RequestError("a message's content is not text", detail=f"{column}: {shown(content)}")
    texts = []
    for part in content:
        kind = part.get("type") or "text" if isinstance(part, Mapping) else "text"
        if kind not in _TEXT_PARTS:
            raise RequestError("a message has parts that are not text", detail=f"{column}: {shown(kind)}")
        text = part.get("text") if isinstance(part, Mapping) else part
        if not isinstance(text, str):
            raise RequestError("a message's content is not text", detail=f"{column}: {shown(part)}")
        texts.append(text)
    return "\n".join(texts)


def _is_void(entry: Any) -> bool:
    """Return True if an entry is a system message without content."""
    if not isinstance(entry, Mapping):
        return False
    role, content = _key(entry, ROLE_KEYS), _key(entry, CONTENT_KEYS)
    return role is not None and entry[role] == "system" and content is not None and entry[content] is None


def _key(value: Mapping[Any, Any], names: tuple[str, ...]) -> str | None:
    """Return the first of the names that has a value, or else that is there; None if none is."""
    held = [name for name in names if name in value]
    return next((name for name in held if value[name] is not None), held[0] if held else None)

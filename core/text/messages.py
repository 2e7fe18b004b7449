"""Messages in the forms that data sets have: role and content, speaker and text, lists of parts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_args

from core.errors import RequestError
from core.records import Message, Role

_ROLES: tuple[str, ...] = get_args(Role)
SPEAKERS: Mapping[str, Role] = {
    "user": "user",
    "human": "user",
    "prompter": "user",
    "end_user": "user",
    "enduser": "user",
    "customer": "user",
    "client": "user",
    "visitor": "user",
    "guest": "user",
    "caller": "user",
    "requester": "user",
    "patient": "user",
    "student": "user",
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
    "agent": "assistant",
    "support": "assistant",
    "support_agent": "assistant",
    "customer_support": "assistant",
    "customer_service": "assistant",
    "representative": "assistant",
    "operator": "assistant",
    "staff": "assistant",
    "advisor": "assistant",
    "adviser": "assistant",
    "system": "system",
    "developer": "system",
    "instruction": "system",
}
"""Roles by their names in data sets, in any case; a space or a hyphen may stand for an underscore."""
ROLE_KEYS = ("role", "from", "speaker", "sender", "author", "participant", "type")
CONTENT_KEYS = ("content", "value", "text", "parts", "body", "message", "utterance")
"""Keys of who speaks and of what is said. The first one that has a value is read."""
_PLAIN_ROLES, _PLAIN_CONTENTS = ROLE_KEYS[:2], CONTENT_KEYS[:4]
"""Keys that make an object a message whatever the role. With others, the role must be known: a comment with
`author` and `text` is no message, and neither is a part with `type` and `text`."""
_SHOWN_ROLES = 6
_TOOL_KEYS = ("tool_calls", "function_call")
_TOOL_ROLES = frozenset(
    {"tool", "function", "observation", "ipython"}
    | {f"{what}_{part}" for what in ("tool", "function") for part in ("call", "calls", "response", "result")}
)
_TOOL_PARTS = frozenset({"tool_use", "tool_result", "tool_call", "function_call"})
TOOL_CALLS = "the conversation contains tool calls"
_OTHER_ROLE = f"a message has a role other than {', '.join(_ROLES)}"
_OTHER_PARTS = "a message has parts that are not text"
_NO_TEXT = "a message's content is not text"
UNREAD_MESSAGES = frozenset({TOOL_CALLS, _OTHER_ROLE, _OTHER_PARTS, _NO_TEXT})
"""Reasons why a conversation cannot be used that may be about turns of tools."""
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
    if not isinstance(value, Mapping) or _key(value, CONTENT_KEYS) is None:
        return False
    key = _key(value, _PLAIN_ROLES)
    is_plain = key is not None and _key(value, _PLAIN_CONTENTS) is not None
    return (is_plain and not isinstance(value[key], list)) or role_of(value) is not None


def is_conversation(value: object) -> bool:
    """Return True if a value is a list of messages that is not empty."""
    if not isinstance(value, list | tuple) or not value:
        return False
    if all(map(is_message, value)):
        return True
    return all(map(_is_turn, value)) and any(map(role_of, value))


def role_of(value: Any) -> Role | None:
    """Return the role of a message by the name that it has there; None if it has none that is known."""
    if not isinstance(value, Mapping):
        return None
    key = _role_key(value)
    return None if key is None else known_role(value[key])


def known_role(name: object) -> Role | None:
    """Return the role that a name means, such as user for `Customer`; None if it is not known."""
    if not isinstance(name, str):
        return None
    return SPEAKERS.get(_plain(name))


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
    return tuple(_message(entry, column, entries) for entry in entries)


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
    role, content = _role_key(value), _key(value, CONTENT_KEYS)
    if role is None or content is None or not isinstance(value[role], list):
        return value
    if not {role, content} <= {*_PLAIN_ROLES, *_PLAIN_CONTENTS} and not any(map(known_role, value[role])):
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


class ToolFree(NamedTuple):
    """A list of messages without its tool turns."""

    entries: list[Any]
    dropped: int
    """Turns that only called tools or were their results, and calls beside the text of a turn."""


def without_tool_turns(entries: Sequence[Any]) -> ToolFree:
    """Return the messages of a conversation without calls of tools and their results.

    Texts of the assistant that follow each other then are one turn. Entries without tool turns come back as
    they are.

    Raises:
        RequestError: if what is left is no conversation: the answer to the last question was made with a
            tool, or two turns of the user follow each other.
    """
    calls = [place for place, entry in enumerate(entries) if _has_tools(entry)]
    if not calls:
        return ToolFree(list(entries), 0)
    kept: list[Any] = []
    asked = -1
    for place, entry in enumerate(entries):
        left = _without_tools(entry) if place in calls else entry
        if left is None:
            continue
        role = role_of(left)
        follows = bool(kept) and place - 1 in calls and role is not None and role_of(kept[-1]) == role
        if follows and role == "user":
            raise RequestError("without its tool turns, two turns of the user follow each other")
        if follows and role == "assistant":
            kept[-1] = _joined(kept[-1], left)
        else:
            kept.append(left)
        asked = place if role == "user" else asked
    if asked < calls[-1]:
        raise RequestError("the answer to the last question was made with a tool")
    return ToolFree(kept, len(calls))


def _has_tools(entry: Any) -> bool:
    """Return True if a message calls a tool or is a tool's result."""
    if not isinstance(entry, Mapping):
        return False
    role, content = _role_key(entry), _key(entry, CONTENT_KEYS)
    if any(entry.get(key) for key in _TOOL_KEYS) or (role is not None and _plain(entry[role]) in _TOOL_ROLES):
        return True
    parts = None if content is None else entry[content]
    return isinstance(parts, list) and any(map(_is_tool_part, parts))


def _is_tool_part(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") in _TOOL_PARTS


def _without_tools(entry: Mapping[Any, Any]) -> Mapping[Any, Any] | None:
    """Return what a message says beside its tools; None if nothing, or if it is a tool's result."""
    role, key = _role_key(entry), _key(entry, CONTENT_KEYS)
    if key is None or role is None or _plain(entry[role]) in _TOOL_ROLES:
        return None
    content = entry[key]
    if isinstance(content, list):
        content = [part for part in content if not _is_tool_part(part)]
    if not content or (isinstance(content, str) and not content.strip()):
        return None
    return {name: value for name, value in entry.items() if name not in _TOOL_KEYS} | {key: content}


def _joined(one: Mapping[Any, Any], other: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return two messages of one speaker as one, the texts as paragraphs."""
    key = _key(one, CONTENT_KEYS)
    assert key is not None
    texts = (text_of_content(message, "messages") for message in (one, other))
    return {**one, key: "\n\n".join(texts)}


def _plain(name: object) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().casefold()) if isinstance(name, str) else ""


def _message(value: Any, column: str, entries: Sequence[Any]) -> Message:
    if isinstance(value, Message):
        return value
    if not isinstance(value, Mapping):
        raise RequestError(
            f"{column} is neither text nor a list of messages", detail=f"it contains {shown(value)}"
        )
    if any(value.get(key) for key in _TOOL_KEYS):
        raise RequestError(TOOL_CALLS, detail=f"in {column}")
    role = role_of(value)
    if role is None:
        raise RequestError(_OTHER_ROLE, detail=f"{column}: {_roles_in_words(entries)}")
    key = _key(value, CONTENT_KEYS)
    return Message(role=role, content=whole_text(_text(None if key is None else value[key], column)))


def _text(content: Any, column: str) -> str:
    """Return the text of a content, which may be a list of parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        raise RequestError(_NO_TEXT, detail=f"{column}: {shown(content)}")
    texts = []
    for part in content:
        kind = part.get("type") or "text" if isinstance(part, Mapping) else "text"
        if kind not in _TEXT_PARTS:
            raise RequestError(_OTHER_PARTS, detail=f"{column}: {shown(kind)}")
        text = part.get("text") if isinstance(part, Mapping) else part
        if not isinstance(text, str):
            raise RequestError(_NO_TEXT, detail=f"{column}: {shown(part)}")
        texts.append(text)
    return "\n".join(texts)


def _is_void(entry: Any) -> bool:
    """Return True if an entry is a system message without content."""
    if not isinstance(entry, Mapping):
        return False
    role, content = _role_key(entry), _key(entry, CONTENT_KEYS)
    return role is not None and entry[role] == "system" and content is not None and entry[content] is None


def _is_turn(value: Any) -> bool:
    """Return True if a value is a message whose role may be unknown."""
    if not isinstance(value, Mapping):
        return isinstance(value, Message)
    return _role_key(value) is not None and _key(value, CONTENT_KEYS) is not None


def _role_key(value: Mapping[Any, Any]) -> str | None:
    """Return the key of a message's role; `type` only if its value is a known role."""
    key = _key(value, ROLE_KEYS[:-1])
    has_role = key is not None and value[key] is not None
    return "type" if not has_role and known_role(value.get("type")) else key


def _roles_in_words(entries: Sequence[Any]) -> str:
    """Return the unknown roles of a conversation with their counts and keys, and what would be read."""
    messages = [entry for entry in entries if isinstance(entry, Mapping)]
    unknown = [entry for entry in messages if role_of(entry) is None]
    roles = Counter(None if (key := _role_key(entry)) is None else shown(entry[key]) for entry in unknown)
    if None in roles:
        keys = ", ".join(dict.fromkeys(shown(key) for entry in unknown for key in entry)) or "none"
        return f"found keys {keys}; who speaks is read from {', '.join(ROLE_KEYS[:-1])}, or a known type"
    key = _role_key(unknown[0])
    found = ", ".join(f"{role} ({count})" for role, count in roles.most_common(_SHOWN_ROLES))
    return f"found {found} in {key}; rename it in the file to user or assistant"


def _key(value: Mapping[Any, Any], names: tuple[str, ...]) -> str | None:
    """Return the first of the names that has a value, or else that is there; None if none is."""
    held = [name for name in names if name in value]
    return next((name for name in held if value[name] is not None), held[0] if held else None)

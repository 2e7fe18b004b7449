"""Parsing of conversations in the formats of TRL's data sets into prompt and answer.

A column is text, a list of messages, or a transcript as in hh-rlhf: turns that begin with `Human:` and
`Assistant:`, each after an empty line. A row that cannot be used raises `RequestError`. Skipped rows are
counted by the reason of that error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, get_args

from core.errors import RequestError
from core.records import Message, Role

TRANSCRIPT_START = "\n\nHuman:"
_TURN = re.compile(r"\n\n(Human|Assistant):")
_SPEAKERS: dict[str, Role] = {"Human": "user", "Assistant": "assistant"}
_ROLES: tuple[str, ...] = get_args(Role)
_TOOL_KEYS = ("tool_calls", "function_call")
_SHOWN = 60


class Sides(NamedTuple):
    """Two answers to one prompt."""

    prompt: tuple[Message, ...]
    chosen: str
    rejected: str


class Answered(NamedTuple):
    """A prompt and its answer."""

    prompt: tuple[Message, ...]
    answer: str


def sides_of(
    prompt: Any, chosen: Any, rejected: Any, names: tuple[str, str] = ("chosen", "rejected")
) -> Sides:
    """Return the prompt and the two answers of a preference.

    Args:
        prompt: text or messages; None if both sides are whole conversations that share the prompt.
        chosen: an answer, as text or as one message, or a conversation that begins with the prompt.
        rejected: the same.
        names: names of the two columns, for error messages.

    Raises:
        RequestError: the values have another form, an answer is empty, or the answers are the same.
    """
    if prompt is None:
        whole = (_conversation(chosen, names[0]), _conversation(rejected, names[1]))
        sides = _from_conversations(*whole, names)
    else:
        first = _prompted(prompt, chosen, names[0])
        sides = Sides(*first, _prompted(prompt, rejected, names[1]).answer)
    if sides.chosen == sides.rejected:
        raise RequestError(f"{names[0]} and {names[1]} are the same")
    return sides


def answered_of(prompt: Any, completion: Any) -> Answered:
    """Return prompt and answer. Raises RequestError if they have another form or the answer is empty."""
    return _prompted(prompt, completion, "completion")


def prompt_of(value: Any) -> tuple[Message, ...]:
    """Return the messages of a prompt column; a transcript may end with an empty `Assistant:` turn.

    Raises:
        RequestError: the value is not a prompt.
    """
    if not is_transcript(value):
        return _checked_prompt(_messages(value, "prompt"))
    messages = _transcript(value)
    opened = messages[-1] == Message(role="assistant", content="")
    return _checked_prompt(messages[:-1] if opened else messages)


def last_answer_of(messages: Any) -> Answered:
    """Return a conversation's last answer, with the messages before it as the prompt.

    Raises:
        RequestError: the conversation does not end with an assistant message that answers a user message.
    """
    conversation = _messages(messages, "messages")
    if conversation[-1].role != "assistant":
        raise RequestError(
            "the last message is not from the assistant", detail=f"it is from the {conversation[-1].role}"
        )
    return Answered(_checked_prompt(conversation[:-1]), _checked_answer(conversation[-1].content, "messages"))


def is_transcript(value: Any) -> bool:
    """Return True if the value is a transcript: text with `Human:` and `Assistant:` turns."""
    return isinstance(value, str) and value.startswith(TRANSCRIPT_START)


def shown(value: object) -> str:
    """Return a value as one short line, for the detail of an error."""
    try:
        text = repr(value)
    except RecursionError:
        text = f"a deeply nested {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def oddities(messages: Sequence[Message]) -> tuple[str, ...]:
    """Return warnings about a usable but unusual conversation; a chat template may reject such turns."""
    turns = [message for message in messages if message.role != "system"]
    found = []
    if any(one.role == other.role for one, other in pairwise(turns)):
        found.append("two consecutive turns have the same role")
    if any(not message.content.strip() for message in messages):
        found.append("a turn before the answer is empty")
    return tuple(found)


def shared_start(first: Sequence[Message], second: Sequence[Message]) -> int:
    """Return the number of leading messages that two conversations share."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((number for number, (one, other) in pairs if one != other), min(len(first), len(second)))


def _from_conversations(
    chosen: tuple[Message, ...], rejected: tuple[Message, ...], names: tuple[str, str]
) -> Sides:
    """Return the sides of two conversations that differ only in their last answers."""
    if chosen == rejected:
        raise RequestError(f"{names[0]} and {names[1]} are the same")
    start = shared_start(chosen, rejected)
    rests = (chosen[start:], rejected[start:])
    if any([message.role for message in rest] != ["assistant"] for rest in rests):
        raise RequestError(
            f"{names[0]} and {names[1]} differ in more than the last assistant message",
            detail=f"the first difference is at message {start + 1} of {len(chosen)} and {len(rejected)}",
        )
    first, second = (rest[0].content for rest in rests)
    prompt = _checked_prompt(chosen[:start])
    return Sides(prompt, _checked_answer(first, names[0]), _checked_answer(second, names[1]))


def _prompted(prompt: Any, value: Any, column: str) -> Answered:
    """Return prompt and answer of two columns; after a transcript, without white space around the answer."""
    asked = prompt_of(prompt)
    answer = _answer(asked, value, column)
    return Answered(asked, answer.strip() if is_transcript(prompt) else answer)


def _answer(prompt: tuple[Message, ...], value: Any, column: str) -> str:
    """Return the single answer in a column, which may repeat the prompt before it."""
    if isinstance(value, str) and not is_transcript(value):
        return _checked_answer(value, column)
    found = _conversation(value, column)
    rest = found[len(prompt) :] if found[: len(prompt)] == prompt else found
    if [message.role for message in rest] != ["assistant"]:
        roles = ", ".join(message.role for message in rest) or "nothing"
        raise RequestError(
            f"{column} is neither one assistant message nor the prompt followed by one",
            detail=f"found {roles}",
        )
    return _checked_answer(rest[0].content, column)


def _conversation(value: Any, column: str) -> tuple[Message, ...]:
    if is_transcript(value):
        return _transcript(value)
    if isinstance(value, str):
        raise RequestError(
            "there is no prompt, and the answer is text, not a conversation", detail=f"in {column}"
        )
    return _messages(value, column)


def _transcript(text: str) -> tuple[Message, ...]:
    """Return the turns of a transcript, with white space at their ends removed."""
    _, *parts = _TURN.split(text)
    turns = zip(parts[::2], parts[1::2], strict=True)
    return tuple(Message(role=_SPEAKERS[name], content=_whole(words).strip()) for name, words in turns)


def _messages(value: Any, column: str) -> tuple[Message, ...]:
    """Return a column's messages; plain text is one user message."""
    if isinstance(value, str):
        return (Message(role="user", content=_whole(value)),)
    if not isinstance(value, list) or not value:
        raise RequestError(f"{column} is neither text nor a list of messages", detail=shown(value))
    return tuple(_message(entry, column) for entry in value)


def _message(value: Any, column: str) -> Message:
    if not isinstance(value, Mapping):
        raise RequestError(
            f"{column} is neither text nor a list of messages", detail=f"it contains {shown(value)}"
        )
    if any(value.get(key) for key in _TOOL_KEYS):
        raise RequestError("the conversation contains tool calls", detail=f"in {column}")
    role, content = value.get("role"), value.get("content")
    if role not in _ROLES:
        accepted = ", ".join(_ROLES)
        raise RequestError(f"a message has a role other than {accepted}", detail=f"{column}: {shown(role)}")
    if not isinstance(content, str):
        raise RequestError("a message's content is not text", detail=f"{column}: {shown(content)}")
    return Message(role=role, content=_whole(content))


def _checked_prompt(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    if not messages:
        raise RequestError("there is no prompt")
    if messages[-1].role != "user":
        raise RequestError("the prompt does not end with a user message", detail=f"role: {messages[-1].role}")
    if any(message.role == "system" for message in messages[1:]):
        raise RequestError("a system message is not the first message")
    if not messages[-1].content.strip():
        raise RequestError("the prompt is empty")
    return messages


def _checked_answer(text: str, column: str) -> str:
    if not text.strip():
        raise RequestError("an answer is empty", detail=f"in {column}")
    return _whole(text)


def _whole(text: str) -> str:
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

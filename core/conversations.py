"""Parsing of conversations in the forms of public data sets into prompt and answer.

A column is text, a message, a list of messages (`core/text/messages.py`), or a transcript as in hh-rlhf:
turns that begin with `Human:` and `Assistant:`, each after an empty line; or turns of HelpSteer, each after
`<extra_id_1>`. A row that cannot be used raises
`RequestError`. Skipped rows are counted by the reason of that error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from core.errors import RequestError
from core.records import Message, Role
from core.text.messages import message_entries, parsed_messages, whole_text
from core.text.messages import shown as shown

TRANSCRIPT_START = "\n\nHuman:"
_TURN = re.compile(r"\r?\n\r?\n(Human|Assistant):")
_OPENING = re.compile(r"\s*Human:")
_MARKED_TURN = re.compile(r"\r?\n?<extra_id_1>(User|Assistant)\r?\n")
MARKS = ("weight", "train", "loss")
"""Keys of a message that say whether it is learned."""
_TRUTHS = {"true": True, "false": False, "yes": True, "no": False}
_SPEAKERS: dict[str, Role] = {"Human": "user", "Assistant": "assistant"}


class Sides(NamedTuple):
    """Two answers to one prompt."""

    prompt: tuple[Message, ...]
    chosen: str
    rejected: str


class Answered(NamedTuple):
    """A prompt and its answer."""

    prompt: tuple[Message, ...]
    answer: str


class Turns(NamedTuple):
    """The assistant turns of a conversation."""

    learned: tuple[tuple[int, Answered], ...]
    """Each usable turn with its number among the assistant's turns, from 1, and its history as the prompt."""
    skipped: tuple[RequestError, ...]
    """Why the others are not used."""
    total: int
    """Number of assistant turns."""


def sides_of(
    prompt: Any,
    chosen: Any,
    rejected: Any,
    names: tuple[str, str] = ("chosen", "rejected"),
    *,
    implicit: bool = False,
) -> Sides:
    """Return the prompt and the two answers of a preference.

    Args:
        prompt: text or messages; None if both sides are whole conversations that share the prompt.
        chosen: an answer, as text or as one message, or a conversation that begins with the prompt.
        rejected: the same.
        names: names of the two columns, for error messages.
        implicit: True if the prompt of two texts without one is the beginning that they share.

    Raises:
        RequestError: the values have another form, an answer is empty, or the answers are the same.
    """
    if implicit and prompt is None and is_plain_text(chosen) and is_plain_text(rejected):
        sides = _from_texts(chosen, rejected, names)
    elif prompt is None:
        whole = (_conversation(chosen, names[0]), _conversation(rejected, names[1]))
        sides = _from_conversations(*whole, names)
    elif is_whole(chosen) and is_whole(rejected):
        sides = _beside(prompt_of(prompt), chosen, rejected, names, is_transcript(prompt))
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
    if is_transcript(value):
        messages = _transcript(value)
    elif isinstance(value, str) and _MARKED_TURN.search(value):
        messages = _marked_turns(value)
    else:
        return _checked_prompt(parsed_messages(value, "prompt"))
    opened = messages[-1] == Message(role="assistant", content="")
    return _checked_prompt(messages[:-1] if opened else messages)


def answers_of(messages: Any) -> Turns:
    """Return every assistant turn of a conversation, each with the messages before it as its prompt.

    A message whose `weight`, `train` or `loss` is 0 or false, as other trainers mark it, is not learned.

    Raises:
        RequestError: the conversation has another form, or no assistant turn.
    """
    is_talk = is_transcript(messages)
    entries: Sequence[Any] = () if is_talk else message_entries(messages)
    conversation = _transcript(messages) if is_talk else parsed_messages(messages, "messages")
    places = [place for place, message in enumerate(conversation) if message.role == "assistant"]
    if not places:
        raise RequestError("the conversation has no assistant message")
    learned, skipped = [], []
    for number, place in enumerate(places, start=1):
        try:
            if entries:
                _check_learned(entries[place], number)
            answer = _checked_answer(conversation[place].content, "messages")
            learned.append((number, Answered(_checked_prompt(conversation[:place]), answer)))
        except RequestError as error:
            skipped.append(error)
    return Turns(tuple(learned), tuple(skipped), len(places))


def is_plain_text(value: Any) -> bool:
    """Return True if the value is text and not a transcript."""
    return isinstance(value, str) and not is_transcript(value)


def is_whole(value: Any) -> bool:
    """Return True if the value is a conversation with more than one message."""
    return is_transcript(value) or (isinstance(value, list | tuple) and len(value) > 1)


def is_transcript(value: Any) -> bool:
    """Return True if the value is a transcript: text with `Human:` and `Assistant:` turns.

    Where the empty lines before the first turn are missing, an `Assistant:` turn must follow.
    """
    if not isinstance(value, str):
        return False
    if value.startswith(TRANSCRIPT_START):
        return True
    return bool(_OPENING.match(value)) and any(turn[1] == "Assistant" for turn in _TURN.finditer(value))


def oddities(messages: Sequence[Message]) -> tuple[str, ...]:
    """Return warnings about a usable but unusual conversation; a chat template may reject such turns."""
    turns = [message for message in messages if message.role != "system"]
    found = []
    if any(one.role == other.role for one, other in pairwise(turns)):
        found.append("two consecutive turns have the same role")
    if any(not message.content.strip() for message in messages):
        found.append("a turn before the answer is empty")
    return tuple(found)


def shared_start(first: Sequence[object], second: Sequence[object]) -> int:
    """Return the number of leading messages that two conversations share, or of characters of two texts."""
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


def _from_texts(chosen: str, rejected: str, names: tuple[str, str]) -> Sides:
    """Return the sides of two texts that begin with the same prompt, as TRL's `extract_prompt` splits them.

    Unlike there, a word is never split, and the shared beginning must be a word or more.
    """
    if chosen == rejected:
        raise RequestError(f"{names[0]} and {names[1]} are the same")
    start = shared_start(chosen, rejected)
    if any(re.match(r"\w", text[start:]) for text in (chosen, rejected)):
        start = len(re.sub(r"\w+\Z", "", chosen[:start]))
    start -= chosen[start - 1 : start] == " "  # the answer keeps the space before it
    if not re.search(r"\w", chosen[:start]):
        raise RequestError(
            "there is no prompt, and the answer is text, not a conversation", detail=f"in {names[0]}"
        )
    prompt = _checked_prompt(parsed_messages(chosen[:start], "prompt"))
    answers = (
        _checked_answer(text[start:], name) for text, name in zip((chosen, rejected), names, strict=True)
    )
    return Sides(prompt, *answers)


def _beside(
    asked: tuple[Message, ...], chosen: Any, rejected: Any, names: tuple[str, str], stripped: bool
) -> Sides:
    """Return the sides of two whole conversations beside a prompt column, which must agree with them.

    Either may have a system message or earlier turns that the other lacks.
    """
    talks = (_conversation(chosen, names[0]), _conversation(rejected, names[1]))
    if all(talk[: len(asked)] == asked and len(talk) == len(asked) + 1 for talk in talks):
        first, second = (
            _answer(asked, value, name) for value, name in zip((chosen, rejected), names, strict=True)
        )
        return Sides(asked, first.strip() if stripped else first, second.strip() if stripped else second)
    sides = _from_conversations(*talks, names)
    own, others = (tuple((m.role, m.content.strip()) for m in found) for found in (asked, sides.prompt))
    if any(others[start : start + len(own)] == own for start in range(len(others))):
        return sides
    if own[-len(others) :] == others:
        return sides._replace(prompt=asked)
    raise RequestError(
        f"the prompt is not in the conversations of {names[0]} and {names[1]}",
        detail=shown(asked[-1].content),
    )


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
    return parsed_messages(value, column)


def _transcript(text: str) -> tuple[Message, ...]:
    """Return the turns of a transcript, with white space at their ends removed."""
    _, *parts = _TURN.split(f"\n\n{text.lstrip()}")
    turns = zip(parts[::2], parts[1::2], strict=True)
    return tuple(Message(role=_SPEAKERS[name], content=whole_text(words).strip()) for name, words in turns)


def _marked_turns(text: str) -> tuple[Message, ...]:
    """Return the turns of a text with a mark before each turn but the first, which is the user's."""
    first, *rest = _MARKED_TURN.split(text)
    start = [("User", first)] if first.strip() else []
    turns = [*start, *zip(rest[::2], rest[1::2], strict=True)]
    return tuple(
        Message(role="user" if name == "User" else "assistant", content=whole_text(words))
        for name, words in turns
    )


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
    return whole_text(text)


def truth_of(value: Any) -> bool | None:
    """Return if a boolean, a number, or a text that spells one says yes; a number does above 0.

    None for a value that is none of these.
    """
    if isinstance(value, str):
        word = value.strip().casefold()
        if word in _TRUTHS:
            return _TRUTHS[word]
        try:
            value = float(word)
        except ValueError:
            return None
    if not isinstance(value, bool | int | float) or value != value:  # NaN is no truth
        return None
    return value > 0


def _check_learned(entry: Any, number: int) -> None:
    """Raise RequestError if a message is marked as not to be learned, or the mark cannot be read."""
    for mark in MARKS if isinstance(entry, Mapping) else ():
        value = entry.get(mark)
        if value is None or value == "":
            continue
        truth = truth_of(value)
        if truth is None:
            raise RequestError(f"{mark} is neither a number nor true or false", detail=shown(value))
        if not truth:
            raise RequestError("the data set excludes the turn from training", detail=f"turn {number}")

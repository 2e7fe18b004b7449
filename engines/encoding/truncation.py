"""Shorten prompts that are too long: old turns go first, then the beginning of the last message.

What remains is a conversation that the chat template renders whole, with its start token, the system message
and the header of the answer. A cut through token ids would lose all three.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from typing import TypeVar

from core.records import Message

_Encoded = TypeVar("_Encoded", bound=Sized)


def fit_prompt(
    prompt: Sequence[Message], limit: int, encode: Callable[[tuple[Message, ...]], _Encoded]
) -> _Encoded | None:
    """Return the example with the longest prompt that fits; None if not even one character does.

    Args:
        prompt: the conversation; its first system messages are kept whole.
        limit: maximum length of an encoded example in tokens.
        encode: encodes the example with another prompt.
    """
    count = next((i for i, message in enumerate(prompt) if message.role != "system"), len(prompt))
    system, turns = tuple(prompt[:count]), tuple(prompt[count:])
    if not turns:
        return None
    found: _Encoded | None = None
    starts = [start for start, message in enumerate(turns) if message.role == "user"]
    low, high = 0, len(starts)
    while low < high:  # fewer turns have fewer tokens
        middle = (low + high) // 2
        row = encode((*system, *turns[starts[middle] :]))
        if len(row) <= limit:
            found, high = row, middle
        else:
            low = middle + 1
    if found is not None:
        return found
    last = turns[-1]
    low, high = 1, len(last.content) - 1
    while low <= high:  # longer texts have more tokens, but for a few at the cut
        kept = (low + high) // 2
        row = encode((*system, last.model_copy(update={"content": last.content[-kept:]})))
        if len(row) <= limit:
            found, low = row, kept + 1
        else:
            high = kept - 1
    return found

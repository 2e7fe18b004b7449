"""Held-out prompts of a training set, chosen by hash: all examples of a prompt are on one side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from core.digests import derive_uniform
from core.records import Message
from prompts.sources import normalised


def held_out_of(
    pairs: Sequence[Any],
    share: float,
    key: str,
    messages_of: Callable[[Any], Sequence[Message]] = attrgetter("prompt"),
) -> tuple[list[Any], list[Any]]:
    """Return the examples to train on and those held out, by the hash of the prompt's normalised words.

    All examples of a prompt are on the same side. If the share is above 0 and there are several prompts,
    neither side is empty. Apart from that, the side of an example does not depend on the other examples.

    Args:
        pairs: pairs, or answered prompts.
        share: share of the prompts to hold out, from 0 to 1.
        key: part of the hash; another key holds out other prompts.
        messages_of: returns the prompt of an example.
    """
    words = [normalised(messages_of(pair)) for pair in pairs]
    draws = {text: derive_uniform("held-out", key, text) for text in words}
    order = sorted(draws, key=lambda text: draws[text])
    count = sum(draw < share for draw in draws.values())
    if share and order:
        count = min(max(count, 1), len(order) - 1)  # neither side empty; a single prompt is trained on
    unseen = set(order[:count])
    sides: tuple[list[Any], list[Any]] = ([], [])
    for pair, text in zip(pairs, words, strict=True):
        sides[text in unseen].append(pair)
    return sides

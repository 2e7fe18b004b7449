"""Held-out prompts, chosen by hash: those of a training set, and those that checkpoints are compared on."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any

from core.digests import derive_uniform
from core.records import Message, Prompt
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


_LARGEST_SHARE = 4
"""At most one of so many prompts is held out for validation: most are needed for training."""


def validation_draw(prompt: Prompt) -> float:
    """Return a number in (0, 1) from the hash of a prompt's normalised words."""
    return derive_uniform("validation", normalised(prompt.messages))


def validation_bound(prompts: Iterable[Prompt], count: int) -> float:
    """Return the largest `validation_draw` of the prompts to hold out for validation; 0 for none.

    The prompts with the smallest draws are held out, so that with more prompts in the data set others are
    added or replaced, and few change sides. At most a quarter of the prompts are held out, and at least one
    of several. Memory holds `count` numbers.

    Args:
        prompts: prompts that may be trained on.
        count: number of prompts to hold out; prompts with the same words count once.
    """
    smallest: list[float] = []
    total = 0
    for prompt in prompts:
        total += 1
        draw = validation_draw(prompt)
        place = bisect_left(smallest, draw)
        if smallest[place : place + 1] != [draw]:
            insort(smallest, draw)
            del smallest[count:]
    held_out = min(count, max(1, total // _LARGEST_SHARE), len(smallest)) if total > 1 else 0
    return smallest[held_out - 1] if held_out else 0.0

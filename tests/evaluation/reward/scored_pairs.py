"""Pairs with scores, made from numbers."""

from __future__ import annotations

import dataclasses

import numpy as np

from evaluation.reward.metrics import ScoredPair


def pair_of(
    margin: float, p: float = 1.0, *, id: str = "pair", tokens: tuple[int, int] = (10, 10), **fields: object
) -> ScoredPair:
    """A pair whose chosen answer scores `margin` above the rejected one's 0."""
    return ScoredPair(id, margin, 0.0, p, *tokens, **fields)


def pairs_of(margins: list[float], labels: list[float], **fields: object) -> list[ScoredPair]:
    named = enumerate(zip(margins, labels, strict=True))
    return [pair_of(margin, p, id=f"pair {number}", **fields) for number, (margin, p) in named]


def random_pairs(count: int, seed: int = 0, scale: float = 1.0, noise: float = 0.0) -> list[ScoredPair]:
    """Pairs whose labels are hard and drawn from log-odds, which the margins are `scale` times."""
    generator = np.random.default_rng(seed)
    odds = generator.normal(0, 2, count)
    labels = generator.random(count) < 1 / (1 + np.exp(-odds))
    margins = scale * (odds + noise * generator.normal(size=count))
    offsets = generator.normal(size=count)
    tokens = generator.integers(5, 200, size=(count, 2))
    return [
        ScoredPair(f"pair {n}", offsets[n] + margins[n], offsets[n], float(labels[n]), *map(int, tokens[n]))
        for n in range(count)
    ]


def swapped(pair: ScoredPair) -> ScoredPair:
    """The same pair with its answers the other way round."""
    return dataclasses.replace(
        pair,
        chosen_reward=pair.rejected_reward,
        rejected_reward=pair.chosen_reward,
        p_chosen=1 - pair.p_chosen,
        chosen_tokens=pair.rejected_tokens,
        rejected_tokens=pair.chosen_tokens,
    )

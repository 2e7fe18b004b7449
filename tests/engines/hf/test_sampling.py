"""Draws follow the distribution that temperature, top-k and top-p describe, each row by itself."""

from __future__ import annotations

import math
from random import Random

import pytest
import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from core.records import Sampling
from engines.hf.sampling import draw_tokens, logprobs_and_entropies

LOGITS = torch.tensor([1.5, -0.5, 0.0, 2.0, 1.0, -3.0, 0.7, 0.1])
GREEDY = Sampling(temperature=0.0)
CHI_SQUARE_999 = {1: 10.83, 2: 13.82, 3: 16.27, 4: 18.47, 5: 20.52, 6: 22.46, 7: 24.32}
"""The value that chi-square exceeds once in a thousand, by degrees of freedom."""
SAMPLINGS = {
    "plain": Sampling(),
    "warm": Sampling(temperature=1.7),
    "cold": Sampling(temperature=0.7),
    "top_k": Sampling(top_k=3),
    "top_p": Sampling(top_p=0.8),
    "both": Sampling(temperature=1.3, top_k=5, top_p=0.7),
    "tiny_top_p": Sampling(top_p=1e-6),
    "wide_top_k": Sampling(top_k=100),
}


def warped(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """The distribution (V,) that transformers' own warpers leave, in their usual order."""
    scores = TemperatureLogitsWarper(sampling.temperature)(None, logits[None].clone())
    if sampling.top_k:
        scores = TopKLogitsWarper(sampling.top_k)(None, scores)
    if sampling.top_p < 1:
        scores = TopPLogitsWarper(sampling.top_p)(None, scores)
    return scores.softmax(-1)[0].double()


def draw(logits: torch.Tensor, sampling: Sampling, uniforms: list[float]) -> torch.Tensor:
    tokens: list[int] = []
    for start in range(0, len(uniforms), 500):
        points = uniforms[start : start + 500]
        tokens += draw_tokens(logits.expand(len(points), -1), [sampling] * len(points), points)
    return torch.tensor(tokens)


def evenly(count: int) -> list[float]:
    return [(i + 0.5) / count for i in range(count)]


@pytest.mark.parametrize("name", SAMPLINGS)
def test_share_of_each_token_is_its_probability(name: str):
    random = Random(7)
    count = 20_000
    expected = warped(LOGITS, SAMPLINGS[name]) * count
    drawn = draw(LOGITS, SAMPLINGS[name], [random.random() for _ in range(count)]).bincount(minlength=8)
    possible = expected > 0
    assert drawn[~possible].sum() == 0
    degrees = int(possible.sum()) - 1
    chi_square = float(((drawn - expected) ** 2 / expected)[possible].sum())
    assert chi_square <= CHI_SQUARE_999.get(degrees, 0.0)


@pytest.mark.parametrize("name", SAMPLINGS)
def test_kept_tokens_are_those_that_the_warpers_of_transformers_keep(name: str):
    kept = warped(LOGITS, SAMPLINGS[name]).nonzero()[:, 0].tolist()
    assert sorted(set(draw(LOGITS, SAMPLINGS[name], evenly(4_000)).tolist())) == kept


def by_inversion(logits: torch.Tensor, sampling: Sampling, uniforms: list[float]) -> torch.Tensor:
    running = warped(logits, sampling).cumsum(0)
    points = torch.tensor(uniforms, dtype=torch.float64) * running[-1]
    return torch.searchsorted(running, points, right=True)


@pytest.mark.parametrize(
    ("vocabulary", "sampling"),
    [
        (900, Sampling(top_p=0.9)),  # all of it within the head
        (5_000, Sampling(top_p=0.9)),  # widened once
        (20_000, Sampling(top_p=0.99)),  # widened twice
        (20_000, Sampling(top_k=3_000)),
        (20_000, Sampling(top_k=3_000, top_p=0.5)),
        (20_000, Sampling(top_p=0.3, temperature=2.0)),
    ],
)
def test_flat_distributions_are_drawn_from_all_that_is_kept(vocabulary: int, sampling: Sampling):
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(vocabulary, generator=generator) * 0.1
    uniforms = evenly(64)
    expected = by_inversion(logits, sampling, uniforms)
    drawn = draw(logits, sampling, uniforms)
    # A token whose running share is equal to a point up to rounding may fall on either side of it.
    assert int((drawn != expected).sum()) <= 1


def test_peaked_and_flat_rows_share_a_batch():
    generator = torch.Generator().manual_seed(4)
    flat = torch.randn(6_000, generator=generator) * 0.01
    peaked = flat.clone()
    peaked[4321] = 30.0
    sampling = Sampling(top_p=0.95)
    together = draw_tokens(torch.stack([peaked, flat, peaked, flat]), [sampling] * 4, [0.3, 0.6, 0.9, 0.1])
    assert together == [4321, *draw(flat, sampling, [0.6]), 4321, *draw(flat, sampling, [0.1])]


def test_greedy_rows_take_the_most_likely_token_among_sampled_ones():
    samplings = [
        GREEDY,
        Sampling(),
        GREEDY,
        Sampling(top_p=0.5),
        Sampling(temperature=0.0, top_p=0.5, top_k=2),
    ]
    drawn = draw_tokens(LOGITS.expand(5, -1), samplings, [0.99] * 5)
    assert [drawn[i] for i in (0, 2, 4)] == [3, 3, 3]


def test_a_draw_depends_on_its_own_row_only():
    random = Random(1)
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(24, 2_000, generator=generator) * 2
    samplings = [*list(SAMPLINGS.values()) * 2, *[GREEDY] * 8]
    random.shuffle(samplings)
    uniforms = [random.random() for _ in samplings]
    together = draw_tokens(logits, samplings, uniforms)
    alone = [draw_tokens(logits[i : i + 1], [samplings[i]], [uniforms[i]])[0] for i in range(24)]
    order = list(range(24))
    random.shuffle(order)
    shuffled = draw_tokens(logits[order], [samplings[i] for i in order], [uniforms[i] for i in order])
    assert together == alone
    assert shuffled == [alone[i] for i in order]


@pytest.mark.parametrize("name", SAMPLINGS)
def test_outermost_numbers_draw_tokens_that_can_be_drawn(name: str):
    kept = warped(LOGITS, SAMPLINGS[name]).nonzero()[:, 0].tolist()
    assert draw(LOGITS, SAMPLINGS[name], [0.0, 1 - 2**-53]).tolist() == [kept[0], kept[-1]]


def test_half_precision_logits_are_drawn_in_single_precision():
    drawn = draw(LOGITS.bfloat16(), Sampling(top_p=0.8), evenly(100))
    assert set(drawn.tolist()) == set(warped(LOGITS, Sampling(top_p=0.8)).nonzero()[:, 0].tolist())


def test_figures_of_a_draw_are_of_the_whole_vocabulary_at_the_rows_temperature():
    logits = torch.tensor([[0.0, math.log(3.0)], [0.0, math.log(3.0)], [0.0, -math.inf]])
    samplings = [Sampling(), Sampling(temperature=0.5, top_k=1), Sampling()]
    plain, cooled, certain = logprobs_and_entropies(logits, samplings, [0, 1, 0])
    entropies = [-sum(p * math.log(p) for p in probs) for probs in ((0.25, 0.75), (0.1, 0.9))]
    assert plain == pytest.approx((math.log(0.25), entropies[0]))
    assert cooled == pytest.approx((math.log(0.9), entropies[1]))  # 3 squared against 1
    assert certain == (0.0, 0.0)

"""Token sampling for a batch of rows, each with its own random numbers: temperature, top-k and top-p."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from core.records import Sampling

_HEAD = 1024
"""Number of most likely tokens that are sorted first; nearly always they contain all that top-p keeps."""


def draw_tokens(logits: torch.Tensor, samplings: Sequence[Sampling], uniforms: Sequence[float]) -> list[int]:
    """Return one token id per row.

    Greedy rows (temperature 0) take the most likely token. Others invert the cumulative distribution over the
    vocabulary, in order of token id, at their uniform number. The draw depends only on the row's own
    distribution and number, not on its neighbours or its place in the batch.

    Args:
        logits: next-token logits, (B, V).
        samplings: sampling settings of each row.
        uniforms: one number in [0, 1) per row.
    """
    drawn = [i for i, s in enumerate(samplings) if s.temperature > 0]
    greedy = len(drawn) < len(samplings)
    tokens = logits.argmax(dim=-1) if greedy else logits.new_empty(len(logits), dtype=torch.long)
    cut = [i for i in drawn if samplings[i].top_k > 0 or samplings[i].top_p < 1]
    whole = [i for i in drawn if i not in cut]
    # float64: a float32 number near 1 may round to 1, and cumulative sums over the vocabulary lose digits.
    points = torch.tensor(uniforms, dtype=torch.float64, device=logits.device)
    if whole:
        probs = _probabilities(logits, samplings, whole)
        tokens[whole] = _invert(probs, points[whole])
    if cut:
        probs = _probabilities(logits, samplings, cut)
        tokens[cut] = _draw_truncated(probs, [samplings[i] for i in cut], points[cut], _HEAD)
    result: list[int] = tokens.tolist()
    return result


def wide(values: torch.Tensor) -> torch.Tensor:
    """Return values in float32, in which sums over answers are exact enough; float64 stays as it is."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def logprobs_and_entropies(
    logits: torch.Tensor, samplings: Sequence[Sampling], tokens: Sequence[int]
) -> list[tuple[float, float]]:
    """Return the log-probability of each row's token and the entropy of its distribution, in nats.

    Both refer to the whole vocabulary at the row's temperature, before top-k and top-p.

    Args:
        logits: next-token logits, (B, V).
        samplings: sampling settings of each row; greedy rows count as temperature 1.
        tokens: the drawn token of each row.
    """
    temperatures = torch.tensor([s.temperature or 1.0 for s in samplings], device=logits.device)
    logprobs = (wide(logits) / temperatures[:, None]).log_softmax(dim=-1)
    chosen = logprobs.gather(-1, torch.tensor(tokens, device=logits.device)[:, None])[:, 0]
    # p log p is 0 * -inf = nan where p is 0, and counts as 0.
    entropies = -(logprobs.exp() * logprobs).nan_to_num(0.0).sum(dim=-1)
    return list(zip(chosen.tolist(), entropies.tolist(), strict=True))


def _probabilities(logits: torch.Tensor, samplings: Sequence[Sampling], rows: list[int]) -> torch.Tensor:
    temperatures = torch.tensor([samplings[i].temperature for i in rows], device=logits.device)
    return torch.softmax(wide(logits[rows]) / temperatures[:, None], dim=-1)


def _invert(weights: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Return the first index of each row of weights (b, n) whose cumulative share exceeds the row's point."""
    running = weights.cumsum(dim=-1, dtype=torch.float64)
    targets = points[:, None] * running[:, -1:]
    # `right=True` skips tokens of weight 0. The clamp covers rounding at the end of the sum.
    return torch.searchsorted(running, targets, right=True)[:, 0].clamp(max=weights.shape[-1] - 1)


def _draw_truncated(
    probs: torch.Tensor, samplings: Sequence[Sampling], points: torch.Tensor, width: int
) -> torch.Tensor:
    """Return one token id per row of probs (b, V), drawn from the tokens that top-k and top-p keep.

    Top-k is applied first. Top-p then keeps the smallest set of most likely tokens whose share of the
    remaining probability is at least p, and always the most likely token. Only the `width` most likely tokens
    are sorted. Rows whose distribution is too flat for that are drawn again with eight times as many.
    """
    vocabulary = probs.shape[-1]
    top_k = probs.new_tensor([s.top_k or vocabulary for s in samplings])[:, None]
    top_p = probs.new_tensor([s.top_p for s in samplings])[:, None]
    values, ids = probs.topk(min(vocabulary, width), dim=-1)
    values = values * (torch.arange(values.shape[-1], device=probs.device) < top_k)
    seen = values.sum(-1, keepdim=True)
    total = torch.where(top_k < vocabulary, seen, 1.0)
    before = values.cumsum(-1) - values
    # A token stays if the tokens before it do not reach p yet. The first always does: `before` is 0.
    kept = values * ((before < top_p * total) | (top_p >= 1))
    # Back to the order of token ids, so the draw does not depend on how `topk` orders equal probabilities.
    order = ids.argsort(dim=-1)
    tokens = ids.gather(1, order).gather(1, _invert(kept.gather(1, order), points)[:, None])[:, 0]
    enough = torch.where(top_k < vocabulary, top_k <= width, seen >= top_p)[:, 0]
    short = [i for i, done in enumerate(enough.tolist()) if not done]
    if short and width < vocabulary:
        again = [samplings[i] for i in short]
        tokens[short] = _draw_truncated(probs[short], again, points[short], 8 * width)
    return tokens

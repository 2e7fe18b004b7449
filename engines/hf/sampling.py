"""Drawing the next token of each row of a batch, each from its own stream of random numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from core.records import Sampling

_HEAD = 1024
"""Most likely tokens that are looked at first; nearly always they hold all that top-p keeps."""


def draw_tokens(logits: torch.Tensor, samplings: Sequence[Sampling], uniforms: Sequence[float]) -> list[int]:
    """Return one token id per row.

    Greedy rows (temperature 0) take the most likely token. Others invert the cumulative distribution over
    the vocabulary, in order of token id, at their uniform number: the draw depends on nothing but the row's
    own distribution and number, neither on its neighbours nor on its place in the batch.

    Args:
        logits: next-token logits, (B, V).
        samplings: how each row is drawn.
        uniforms: one number in [0, 1) per row.
    """
    drawn = [i for i, s in enumerate(samplings) if s.temperature > 0]
    greedy = len(drawn) < len(samplings)
    tokens = logits.argmax(dim=-1) if greedy else logits.new_empty(len(logits), dtype=torch.long)
    cut = [i for i in drawn if samplings[i].top_k > 0 or samplings[i].top_p < 1]
    whole = [i for i in drawn if i not in cut]
    points = torch.tensor(uniforms, dtype=torch.float64, device=logits.device)
    if whole:
        probs = _probabilities(logits, samplings, whole)
        tokens[whole] = _invert(probs, points[whole])
    if cut:
        probs = _probabilities(logits, samplings, cut)
        tokens[cut] = _draw_truncated(probs, [samplings[i] for i in cut], points[cut], _HEAD)
    result: list[int] = tokens.tolist()
    return result


def logprobs_and_entropies(
    logits: torch.Tensor, samplings: Sequence[Sampling], tokens: Sequence[int]
) -> list[tuple[float, float]]:
    """Return the log-probability of each row's token and the entropy of what it was drawn from, in nats.

    Both are of the whole vocabulary at the row's temperature, the tail not cut off.

    Args:
        logits: next-token logits, (B, V).
        samplings: how each row was drawn; a greedy one counts as temperature 1.
        tokens: one for each row.
    """
    temperatures = torch.tensor([s.temperature or 1.0 for s in samplings], device=logits.device)
    logprobs = (logits.float() / temperatures[:, None]).log_softmax(dim=-1)
    chosen = logprobs.gather(-1, torch.tensor(tokens, device=logits.device)[:, None])[:, 0]
    entropies = -(logprobs.exp() * logprobs).nan_to_num(0.0).sum(dim=-1)
    return list(zip(chosen.tolist(), entropies.tolist(), strict=True))


def _probabilities(logits: torch.Tensor, samplings: Sequence[Sampling], rows: list[int]) -> torch.Tensor:
    temperatures = torch.tensor([samplings[i].temperature for i in rows], device=logits.device)
    return torch.softmax(logits[rows].float() / temperatures[:, None], dim=-1)


def _invert(weights: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Return the first index of each row of weights (b, n) at which the running share passes its point."""
    running = weights.cumsum(dim=-1, dtype=torch.float64)
    targets = points[:, None] * running[:, -1:]
    return torch.searchsorted(running, targets, right=True)[:, 0].clamp(max=weights.shape[-1] - 1)


def _draw_truncated(
    probs: torch.Tensor, samplings: Sequence[Sampling], points: torch.Tensor, width: int
) -> torch.Tensor:
    """Return one token id per row of probs (b, V), drawn from what top-k and top-p leave.

    Top-k comes first. Top-p then keeps the smallest set of most likely tokens whose share of what top-k left
    is at least p; the most likely token always stays. Only the `width` most likely tokens are sorted; rows
    whose distribution is too flat for that are done again with eight times as many.
    """
    vocabulary = probs.shape[-1]
    top_k = probs.new_tensor([s.top_k or vocabulary for s in samplings])[:, None]
    top_p = probs.new_tensor([s.top_p for s in samplings])[:, None]
    values, ids = probs.topk(min(vocabulary, width), dim=-1)
    values = values * (torch.arange(values.shape[-1], device=probs.device) < top_k)
    seen = values.sum(-1, keepdim=True)
    total = torch.where(top_k < vocabulary, seen, 1.0)
    before = values.cumsum(-1) - values
    kept = values * ((before < top_p * total) | (top_p >= 1))
    order = ids.argsort(dim=-1)
    tokens = ids.gather(1, order).gather(1, _invert(kept.gather(1, order), points)[:, None])[:, 0]
    enough = torch.where(top_k < vocabulary, top_k <= width, seen >= top_p)[:, 0]
    short = [i for i, done in enumerate(enough.tolist()) if not done]
    if short and width < vocabulary:
        again = [samplings[i] for i in short]
        tokens[short] = _draw_truncated(probs[short], again, points[short], 8 * width)
    return tokens

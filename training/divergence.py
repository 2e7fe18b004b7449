"""KL divergence of a trained policy from its base model, in nats per token."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from training.examples import EncodedAnswer
from training.logprobs import answer_logits, collate


def mean_token_kl(
    policy: Any,
    rows: Sequence[EncodedAnswer],
    base_rows: Sequence[EncodedAnswer],
    *,
    adapter: bool = True,
    base: Any = None,
) -> list[float]:
    """Return KL(policy || base) per token in nats for each answer, averaged over the answer's tokens.

    At every position of an answer that the policy generated, the divergence between the two next-token
    distributions is summed over the whole vocabulary. This is the exact value that sampled log-ratios would
    estimate. It is never negative, and 0 if the policies are equal.

    Args:
        policy: a peft model; with its adapter disabled it is the base.
        rows: prompts and answers as the policy saw them.
        base_rows: the same answers after the prompts that the base sees, which differ if the policy had a
            system prompt.
        adapter: False disables the policy's adapter, to compare the base under two prompts.
        base: another peft model, whose base is the one to compare with; None takes the policy's own.
    """
    device = next(policy.parameters()).device
    policy.eval()
    with torch.inference_mode():
        batch, base_batch = collate(rows).to(device), collate(base_rows).to(device)
        with nullcontext() if adapter else _without_adapter(policy):
            ours = answer_logits(policy, batch).float().log_softmax(dim=-1)
        base = policy if base is None else base.eval()
        with _without_adapter(base):
            theirs = answer_logits(base, base_batch).float().log_softmax(dim=-1)
        # Summed over the vocabulary, rounding may give a tiny negative value.
        per_token = (ours.exp() * (ours - theirs)).sum(dim=-1).clamp(min=0)
        mask = batch.answer_mask
        means = (per_token * mask).sum(dim=-1) / mask.sum(dim=-1).clamp(min=1)
    return [float(mean) for mean in means]


def _without_adapter(model: Any) -> AbstractContextManager[Any]:
    """Return a context in which the trained adapter is off; a model without one is left as it is."""
    off: AbstractContextManager[Any] = (
        model.disable_adapter() if hasattr(model, "disable_adapter") else nullcontext()
    )
    return off

"""KL divergence of a trained policy from its base model, and losses of a policy, in nats per token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from engines.trees import Tree, micro_batches
from training.examples import EncodedAnswer
from training.logprobs import answer_logits, collate
from training.packed import PolicyScorer


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
        with nullcontext() if adapter else without_adapter(policy):
            ours = answer_logits(policy, batch).float().log_softmax(dim=-1)
        base = policy if base is None else base.eval()
        with without_adapter(base):
            theirs = answer_logits(base, base_batch).float().log_softmax(dim=-1)
        # Summed over the vocabulary, rounding may give a tiny negative value.
        per_token = (ours.exp() * (ours - theirs)).sum(dim=-1).clamp(min=0)
        mask = batch.answer_mask
        means = (per_token * mask).sum(dim=-1) / mask.sum(dim=-1).clamp(min=1)
    return [float(mean) for mean in means]


def mean_losses(
    scorer: PolicyScorer,
    policy: Any,
    rows: Sequence[EncodedAnswer],
    tokens: int,
    done: Callable[[int], object] = lambda count: None,
) -> list[float]:
    """Return the mean negative log-probability of each answer's tokens, in nats, in the order of the rows.

    Args:
        scorer: the way of computing log-probabilities that is exact on this model.
        policy: the model as it is; which adapter acts is up to the caller.
        rows: prompts and answers of at least one token; prompts are not scored.
        tokens: maximum number of tokens per forward pass.
        done: called with the number of rows after each forward pass.
    """
    losses = [0.0] * len(rows)
    policy.eval()
    with torch.inference_mode():
        for group in micro_batches([len(row) for row in rows], tokens):
            trees = [Tree(rows[index].prompt_ids, (rows[index].answer_ids,)) for index in group]
            for index, logprob in zip(group, scorer(policy, trees).tolist(), strict=True):
                losses[index] = -logprob / len(rows[index].answer_ids)
            done(len(group))
    return losses


def without_adapter(model: Any) -> AbstractContextManager[Any]:
    """Return a context in which the trained adapter is off; a model without one is left as it is."""
    off: AbstractContextManager[Any] = (
        model.disable_adapter() if hasattr(model, "disable_adapter") else nullcontext()
    )
    return off

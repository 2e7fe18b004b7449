"""KL divergence of a trained policy from its base model, and losses of a policy, in nats per token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from engines.hf.packing import pack
from engines.trees import Tree, common_length, micro_batches
from training.distill.divergence import token_divergence
from training.examples import EncodedAnswer
from training.logprobs import answer_logits, collate
from training.packed import PolicyScorer, states_at

_WORTH = 32
"""Shortest common beginning of prompts that is computed once: attention to it takes a mask."""


@dataclass(frozen=True, slots=True)
class AnswerDivergence:
    """How far a policy is from its base on one answer, in nats per token of the answer."""

    kl: float
    """KL(policy || base)."""
    base_loss: float
    """Mean negative log-probability of the answer's tokens under the base."""


def answer_divergences(
    policy: Any,
    rows: Sequence[EncodedAnswer],
    base_rows: Sequence[EncodedAnswer],
    *,
    adapter: bool = True,
    base: Any = None,
    scorer: PolicyScorer | None = None,
) -> list[AnswerDivergence]:
    """Return the divergence of a policy from its base on each answer, averaged over the answer's tokens.

    At every position of an answer that the policy generated, the divergence between the two next-token
    distributions is summed over the whole vocabulary. This is the exact value that sampled log-ratios would
    estimate. It is never negative, and 0 if the policies are equal.

    Args:
        policy: a peft model; with its adapter disabled it is the base.
        rows: prompts and answers of at least one token, as the policy saw them.
        base_rows: the same answers after the prompts that the base sees, which differ if the policy had a
            system prompt.
        adapter: False disables the policy's adapter, to compare the base under two prompts.
        base: another peft model, whose base is the one to compare with; None takes the policy's own.
        scorer: what is exact on the policy. Where it has a frozen output head that both share, rows are
            packed and only a part of the distributions is in memory at a time. None pads the rows.
    """
    policy.eval()
    reference = policy if base is None else base.eval()
    head = None if scorer is None or base is not None or not scorer.packed else scorer.head
    read = _padded_logits if head is None or head.bias is not None else partial(_packed_states, head=head)
    with torch.inference_mode():
        with nullcontext() if adapter else without_adapter(policy):
            ours, _, _ = read(policy, rows)
        with without_adapter(reference):
            theirs, tokens, lengths = read(reference, base_rows)
        # The base takes the student's place: the student's log-probabilities come with the divergence.
        weight = None if read is _padded_logits else head
        found = token_divergence(theirs, ours, weight, tokens, beta=0.0)
        # Summed over the vocabulary, rounding may give a tiny negative value.
        kls = [part.mean() for part in torch.split(found.divergence.clamp(min=0), lengths)]
        losses = [-part.mean() for part in torch.split(found.logprobs, lengths)]
    return [AnswerDivergence(float(kl), float(loss)) for kl, loss in zip(kls, losses, strict=True)]


def _packed_states(
    model: Any, rows: Sequence[EncodedAnswer], *, head: torch.nn.Linear
) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """Return the states (A, D) of all answers' tokens, the tokens (A,), and each answer's number of them.

    A system prompt with which all prompts begin is computed once.
    """
    shared = shared_tokens(rows)
    trees = [Tree(row.prompt_ids, (row.answer_ids,)) for row in rows]
    before = [0] * len(rows)
    if shared:
        # What follows the shared tokens poses as a tree's answers, the rest of the prompt included.
        own = tuple((*row.prompt_ids[shared:], *row.answer_ids) for row in rows)
        trees, before = (
            [Tree(rows[0].prompt_ids[:shared], own)],
            [len(row.prompt_ids) - shared for row in rows],
        )
    lengths = [len(row.answer_ids) for row in rows]
    packed = pack(trees, next(model.parameters()).device)
    parts = zip(before, lengths, strict=True)
    asked = [is_asked for rest, length in parts for is_asked in (*(False,) * rest, *(True,) * length)]
    mask = torch.tensor(asked, device=packed.predictors.device)
    return states_at(model, packed, packed.predictors[mask], head), packed.answer_ids[mask], lengths


def shared_tokens(rows: Sequence[EncodedAnswer]) -> int:
    """Return the number of tokens that all prompts begin with; 0 if computing them once is not worth it."""
    first = rows[0].prompt_ids
    shared = min(min(common_length(first, row.prompt_ids), len(row.prompt_ids) - 1) for row in rows)
    return shared if len(rows) > 1 and shared >= _WORTH else 0


def _padded_logits(model: Any, rows: Sequence[EncodedAnswer]) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """Return the logits (A, V) of all answers' tokens, the tokens (A,), and each answer's number of them."""
    batch = collate(rows).to(next(model.parameters()).device)
    logits = answer_logits(model, batch)[batch.answer_mask]
    return logits, batch.answer_ids[batch.answer_mask], batch.answer_mask.sum(dim=1).tolist()


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

"""Objective of SFT on edits: likelihood of the tokens that were added, divergence from the start elsewhere.

Shapes: `B` answers, `A` answer tokens, `D` width of the model, `V` vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch

from engines.hf.packing import PackedRow, pack
from engines.hf.sampling import wide
from training.distill.divergence import token_divergence
from training.edits.encode import EncodedEdit
from training.packed import PolicyScorer, bypassed, frozen_logprobs, sum_by_answer
from training.steps.objective import BatchMetrics


class EditObjective:
    """Loss of SFT on edits.

    With the tokens y of an answer, of which those in E are learned, the policy s and the policy at the start
    of training r, the loss of an answer is

        - sum over E of log s(y_t)  +  anchor * sum over the others of KL(r || s)

    divided by the mean number of answer tokens in the data set. Plain SFT would also learn the sampled
    choice at every other token. That is noise, and it sharpens the model on text unlike its own.

    Metrics: `edits/nll`, mean negative log-likelihood of a learned token, and `edits/kl`, mean divergence at
    the others, both per answer and in nats.

    Args:
        policy: the model with the adapter as training starts, not wrapped.
        scorer: says how answers can be computed exactly.
        anchor: weight of the divergence.
        mean_tokens: mean number of answer tokens.
    """

    def __init__(self, policy: Any, scorer: PolicyScorer, anchor: float, mean_tokens: float) -> None:
        self._policy, self._scorer = policy, scorer
        self._anchor, self._scale = anchor, 1 / max(1.0, mean_tokens)
        self._start = [(p, p.detach().clone()) for p in policy.parameters() if p.requires_grad]
        """The trained weights, each with its values at the start of training."""
        head = scorer.head
        # A head with a bias or a cap is part of the model: the states are then its logits.
        self._head = head if head is not None and head.bias is None else None

    def losses(self, model: Any, rows: Sequence[EncodedEdit]) -> tuple[torch.Tensor, BatchMetrics]:
        """Return the losses (B,) and the metrics to log."""
        groups = [rows] if self._scorer.packed else [[row] for row in rows]
        found = [self._losses(model, group) for group in groups]
        losses = torch.cat([loss for loss, _ in found])
        names = found[0][1]
        return losses, {name: torch.cat([metrics[name] for _, metrics in found]) for name in names}

    def warnings(self, history: Sequence[dict[str, Any]]) -> tuple[str, ...]:
        """Return no warnings."""
        return ()

    def _losses(self, model: Any, rows: Sequence[EncodedEdit]) -> tuple[torch.Tensor, BatchMetrics]:
        device = next(self._policy.parameters()).device
        row = pack([example.tree for example in rows], device)
        learned = torch.tensor([flag for example in rows for flag in example.learned], device=device)
        reference = self._reference(row)
        states = self._states(model, row)
        wide = torch.float64 if states.dtype == torch.float64 else torch.float32
        nll, kl = (torch.zeros(len(learned), dtype=wide, device=device) for _ in range(2))
        nll = nll.index_put((learned,), -self._logprobs(states[learned], row.answer_ids[learned]))
        kept = ~learned
        divergence = token_divergence(
            states[kept], reference[kept], self._head, row.answer_ids[kept], beta=0.0
        ).divergence
        kl = kl.index_put((kept,), divergence)
        sums = [sum_by_answer(values, row) for values in (nll, kl, learned.to(wide))]
        count = torch.tensor([len(example.learned) for example in rows], dtype=wide, device=device)
        metrics = {
            "edits/nll": (sums[0] / sums[2].clamp(min=1)).detach(),
            "edits/kl": (sums[1] / (count - sums[2]).clamp(min=1)).detach(),
            "edits/learned": (sums[2] / count).detach(),
        }
        return (sums[0] + self._anchor * sums[1]) * self._scale, metrics

    def _logprobs(self, states: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Return the log-probabilities (A,) of tokens in nats."""
        if self._head is not None:
            return frozen_logprobs(states, self._head, tokens)
        logits = wide(states)
        return logits.log_softmax(dim=-1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)

    @torch.no_grad()
    def _reference(self, row: PackedRow) -> torch.Tensor:
        """Return the states of the policy at the start of training."""
        now = [weight.data for weight, _ in self._start]
        for weight, before in self._start:
            weight.data = before  # no copy, and autograd's saved tensors stay valid once it is back
        try:
            return self._states(self._policy, row)
        finally:
            for (weight, _), value in zip(self._start, now, strict=True):
                weight.data = value

    def _states(self, model: Any, row: PackedRow) -> torch.Tensor:
        """Return what comes before each answer token: states (A, D), or logits (A, V) without a head."""
        inputs = row.inputs()
        if not self._scorer.packed:  # a single answer and no packing arguments, as any model accepts
            inputs = {name: inputs[name] for name in ("input_ids", "position_ids", "use_cache")}
        with bypassed(self._head) if self._head is not None else nullcontext():
            states: torch.Tensor = model(**inputs, logits_to_keep=row.predictors).logits[0]
        return states

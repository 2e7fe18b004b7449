"""Log-probabilities of answers in packed rows (`engines/hf/packing.py`).

Shapes: `N` answers, `A` answer tokens, `D` width of the model, `V` vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from core.errors import EngineError
from engines.hf.packing import PackedRow, attends_only, pack
from engines.hf.sampling import wide
from engines.hf.self_check import acting_adapter, one_line
from engines.loading import half_dtype
from engines.trees import Tree, probe_trees
from training.examples import EncodedAnswer
from training.logprobs import answer_logprobs, collate

_CHUNK = 256
"""Number of answer tokens whose logits are in memory at once."""


class _FrozenHead(torch.autograd.Function):
    """Log-probabilities of given tokens under a frozen output head, computed in chunks.

    The gradient of a token's log-probability with respect to its hidden state is `W[token] - softmax @ W`. It
    is computed in the forward pass, while the chunk's logits are in memory. The backward pass then needs
    neither the logits nor a second product with the vocabulary.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        tokens: torch.Tensor,
    ) -> torch.Tensor:
        """Return the log-probabilities (A,) in nats of `tokens` (A,) given `hidden` (A, D)."""
        # bfloat16 logits are widened before logsumexp: its sum runs over the whole vocabulary.
        wide = torch.float64 if hidden.dtype == torch.float64 else torch.float32
        logprobs = hidden.new_empty(len(hidden), dtype=wide)
        slopes = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        for start in range(0, len(hidden), _CHUNK):
            part = slice(start, start + _CHUNK)
            logits = torch.nn.functional.linear(hidden[part], weight, bias).to(wide)
            chosen = tokens[part, None]
            total = logits.logsumexp(dim=-1, keepdim=True)
            logprobs[part] = (logits.gather(-1, chosen) - total).squeeze(-1)
            if slopes is not None:
                # In place, from logits to -softmax: a chunk of logits is the largest tensor here.
                minus = logits.sub_(total).exp_().neg_()
                minus.scatter_add_(-1, chosen, torch.ones_like(chosen, dtype=wide))
                slopes[part] = minus.to(weight.dtype) @ weight
        ctx.save_for_backward(slopes)
        return logprobs

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradient with respect to the hidden states (A, D)."""
        (slopes,) = ctx.saved_tensors
        return grads[0].unsqueeze(-1).to(slopes.dtype) * slopes, None, None, None


def mixed_precision(device: torch.device, *, bf16: bool) -> torch.autocast:
    """Return the context for all forward passes of a training, in float16 where the GPU has no bfloat16.

    The output head can run outside of the model's forward pass, where accelerate's autocast has ended. Policy
    and reference must run it in one precision, or they differ before the first step.
    """
    return torch.autocast(device.type, getattr(torch, half_dtype(device.type)), enabled=bf16)


def frozen_logprobs(hidden: torch.Tensor, head: torch.nn.Linear, tokens: torch.Tensor) -> torch.Tensor:
    """Return the log-probabilities (A,) in nats of `tokens` (A,) given `hidden` (A, D)."""
    apply: Any = _FrozenHead.apply
    # accelerate widens a model's outputs to float32, and these hidden states are outputs.
    hidden = hidden.to(head.weight.dtype)
    logprobs: torch.Tensor = apply(hidden, head.weight, head.bias, tokens)
    return logprobs


def token_logprobs(model: Any, row: PackedRow, *, head: torch.nn.Linear | None) -> torch.Tensor:
    """Return the log-probability in nats of every answer token of a packed row, (A,).

    Args:
        model: a causal model with the attention of `engines.hf.attention`, possibly wrapped (DDP).
        row: prompts and answers.
        head: the model's output layer, if it is frozen and the only operation on the hidden states; None uses
            the model's own logits.
    """
    if head is not None:
        return frozen_logprobs(states_at(model, row, row.predictors, head), head, row.answer_ids)
    logits: torch.Tensor = model(**row.inputs(), logits_to_keep=row.predictors).logits[0]
    return wide(logits).log_softmax(dim=-1).gather(-1, row.answer_ids.unsqueeze(-1)).squeeze(-1)


def states_at(model: Any, row: PackedRow, columns: torch.Tensor, head: torch.nn.Linear) -> torch.Tensor:
    """Return the states (A, D) at columns (A,) of a packed row, which the output head maps to logits."""
    with bypassed(head):
        states: torch.Tensor = model(**row.inputs(), logits_to_keep=columns).logits[0]
    return states


def sum_by_answer(values: torch.Tensor, row: PackedRow) -> torch.Tensor:
    """Return the sums (N,) of token values (A,) over each answer."""
    lengths = torch.tensor(row.lengths, device=values.device)
    owner = torch.arange(len(lengths), device=values.device).repeat_interleave(lengths)
    return values.new_zeros(len(lengths)).index_add(0, owner, values)


class PolicyScorer:
    """Log-probabilities of answers under a policy, by the fastest method that is exact on this model.

    The methods are: packed rows with a separate frozen head, packed rows, and padded rows. The first one that
    agrees with padded rows on the probe is used.

    Args:
        policy: the model, not wrapped.
        probe: a prompt with its answers, on which the methods are compared; short trees are added to it.
    """

    def __init__(self, policy: Any, probe: Tree) -> None:
        head = policy.get_output_embeddings()
        # A cap hardly changes small logits, so it is looked up and not left to the comparison.
        is_frozen = type(head) is torch.nn.Linear and not head.weight.requires_grad
        separable = is_frozen and not _caps_logits(policy)
        self.head: torch.nn.Linear | None = head if separable else None
        # bfloat16's tolerance could hide a small leak, so the kinds of layers are looked up as well.
        self.packed = attends_only(policy.config)
        if separable and not (self.packed and self._is_exact(policy, probe)):
            self.head = None
        if self.head is None and self.packed and not self._is_exact(policy, probe):
            self.packed = False

    def __call__(self, model: Any, trees: Sequence[Tree]) -> torch.Tensor:
        """Return the log-probability of each answer (N,), summed over its tokens, in nats."""
        device = next(model.parameters()).device
        if not self.packed:
            return answer_logprobs(model, collate(_rows(trees)).to(device))
        row = pack(trees, device)
        return sum_by_answer(token_logprobs(model, row, head=self.head), row)

    def _is_exact(self, policy: Any, probe: Tree) -> bool:
        """Return True if packed rows and padded rows agree on the probe, up to rounding."""
        trees = probe_trees(probe)
        device = next(policy.parameters()).device
        with acting_adapter(policy), torch.inference_mode():
            # A row at a time: their logits together can be larger than the model.
            rows = [collate([row]).to(device) for row in _rows(trees)]
            plain = torch.cat([answer_logprobs(policy, row) for row in rows])
            try:
                with one_line(policy, "packed rows", ""):
                    differences = (self(policy, trees) - plain).abs()
            except EngineError:
                return False  # an architecture that cannot be packed
        answers = [answer for tree in trees for answer in tree.answers]
        tokens = torch.tensor([max(1, len(answer)) for answer in answers], device=device)
        return bool((differences / tokens).max() < _TOLERANCE[next(policy.parameters()).dtype])


_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3, torch.bfloat16: 0.05, torch.float16: 0.05}
"""Largest difference due to rounding, in nats per token; another attention pattern differs by far more."""


def _caps_logits(policy: Any) -> bool:
    """Return True if a tanh caps the logits after the head, as in Gemma 2."""
    return getattr(policy.config.get_text_config(), "final_logit_softcapping", None) is not None


def _rows(trees: Sequence[Tree]) -> list[EncodedAnswer]:
    return [EncodedAnswer(tree.prompt_ids, answer) for tree in trees for answer in tree.answers]


@contextmanager
def bypassed(head: torch.nn.Module) -> Iterator[None]:
    """Make the model return hidden states instead of logits, by skipping its output head."""
    # An instance attribute hides the method of the class; deleting it brings the method back.
    head.forward = lambda hidden: hidden
    try:
        yield
    finally:
        del head.forward

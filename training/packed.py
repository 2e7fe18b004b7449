"""Log-probabilities of answers in packed rows (`engines/hf/packing.py`), without padding or waste.

Shapes: `N` answers, `A` answer tokens, `D` width of the model, `V` vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from engines.hf.packing import PackedRow, pack
from engines.trees import Tree
from training.examples import EncodedAnswer
from training.logprobs import answer_logprobs, collate

_CHUNK = 256
"""Answer tokens whose logits are held at once."""


class _FrozenHead(torch.autograd.Function):
    """Log-probabilities of given tokens under a head that is not trained, a chunk of logits at a time.

    The gradient of a token's log-probability with respect to its hidden state is `W[token] - softmax @ W`. It
    is taken while the chunk's logits are there, so that the backward pass needs neither them nor a second
    product with the vocabulary.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        tokens: torch.Tensor,
    ) -> torch.Tensor:
        """Return (A,) log-probabilities in nats of `tokens` (A,) after `hidden` (A, D)."""
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
                minus = logits.sub_(total).exp_().neg_()
                minus.scatter_add_(-1, chosen, torch.ones_like(chosen, dtype=wide))
                slopes[part] = minus.to(weight.dtype) @ weight
        ctx.save_for_backward(slopes)
        return logprobs

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradient for the hidden states (A, D)."""
        (slopes,) = ctx.saved_tensors
        return grads[0].unsqueeze(-1).to(slopes.dtype) * slopes, None, None, None


def frozen_logprobs(hidden: torch.Tensor, head: torch.nn.Linear, tokens: torch.Tensor) -> torch.Tensor:
    """Return (A,) log-probabilities in nats of `tokens` (A,) after `hidden` (A, D), under a frozen head."""
    apart: Any = _FrozenHead.apply
    logprobs: torch.Tensor = apart(hidden, head.weight, head.bias, tokens)
    return logprobs


def token_logprobs(model: Any, row: PackedRow, *, head: torch.nn.Linear | None) -> torch.Tensor:
    """Return the log-probability of every answer token of a packed row, (A,), in nats.

    Args:
        model: a causal model, loaded with `engines.hf.attention`, possibly wrapped for several processes.
        row: prompts and answers.
        head: the model's output layer, if it is frozen and all that happens to the hidden states; None takes
            the logits as the model gives them.
    """
    inputs = {**row.inputs(), "logits_to_keep": row.predictors}
    if head is not None:
        with bypassed(head):
            hidden = model(**inputs).logits[0]
        return frozen_logprobs(hidden, head, row.answer_ids)
    logits: torch.Tensor = model(**inputs).logits[0]
    logits = logits if logits.dtype == torch.float64 else logits.float()
    return logits.log_softmax(dim=-1).gather(-1, row.answer_ids.unsqueeze(-1)).squeeze(-1)


def sum_by_answer(values: torch.Tensor, row: PackedRow) -> torch.Tensor:
    """Return (N,) the sums of (A,) values over each answer's tokens."""
    lengths = torch.tensor(row.lengths, device=values.device)
    owner = torch.arange(len(lengths), device=values.device).repeat_interleave(lengths)
    return values.new_zeros(len(lengths)).index_add(0, owner, values)


class PolicyScorer:
    """Log-probabilities of answers under a policy, by the fastest way that is exact on this model.

    Args:
        policy: the model, not wrapped.
        probe: a prompt with its answers, on which the ways are compared; the first way whose figures are the
            plain one's is taken: packed with the head apart, packed, or padded rows.
    """

    def __init__(self, policy: Any, probe: Tree) -> None:
        head = policy.get_output_embeddings()
        apart = type(head) is torch.nn.Linear and not head.weight.requires_grad and not _caps_logits(policy)
        self.head: torch.nn.Linear | None = head if apart else None
        self.packed = True
        if apart and not self._is_exact(policy, probe):
            self.head = None
        if self.head is None and not self._is_exact(policy, probe):
            self.packed = False

    def __call__(self, model: Any, trees: Sequence[Tree]) -> torch.Tensor:
        """Return (N,) the log-probability of each answer, summed over its tokens, in nats."""
        device = next(model.parameters()).device
        if not self.packed:
            return answer_logprobs(model, collate(_rows(trees)).to(device))
        row = pack(trees, device)
        return sum_by_answer(token_logprobs(model, row, head=self.head), row)

    def _is_exact(self, policy: Any, probe: Tree) -> bool:
        """Return whether the packed way gives what padded rows give, up to rounding, on the probe."""
        was_training = policy.training
        policy.eval()
        device = next(policy.parameters()).device
        with torch.inference_mode():
            plain = answer_logprobs(policy, collate(_rows([probe])).to(device))
            try:
                apart = (self(policy, [probe]) - plain).abs()
            except (RuntimeError, TypeError, ValueError, IndexError):  # a model of another build
                return False
            finally:
                policy.train(was_training)
        tokens = torch.tensor([max(1, len(answer)) for answer in probe.answers], device=device)
        return bool((apart / tokens).max() < _TOLERANCE[next(policy.parameters()).dtype])


_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3, torch.bfloat16: 0.05, torch.float16: 0.05}
"""Nats per token by which rounding may set two ways apart; another attention differs by far more."""


def _caps_logits(policy: Any) -> bool:
    """Return whether logits go through a tanh after the head, as Gemma 2's do; small ones hardly show it."""
    return getattr(policy.config.get_text_config(), "final_logit_softcapping", None) is not None


def _rows(trees: Sequence[Tree]) -> list[EncodedAnswer]:
    return [EncodedAnswer(tree.prompt_ids, answer) for tree in trees for answer in tree.answers]


@contextmanager
def bypassed(head: torch.nn.Module) -> Iterator[None]:
    """Let the model return the hidden states in place of the logits."""
    head.forward = lambda hidden: hidden
    try:
        yield
    finally:
        del head.forward

"""Divergence of student and teacher at every token of an answer, over the whole vocabulary.

With the student's distribution s and the teacher's t at a token (Agarwal et al. 2023, arXiv 2306.13649; the
values of `beta` are TRL's):

    beta = 0        KL(t || s)
    beta = 1        KL(s || t)
    0 < beta < 1    beta KL(t || m) + (1 - beta) KL(s || m),  m = beta t + (1 - beta) s

The gradient with respect to the student's logits z is s (g - E_s[g]), where g is the derivative with respect
to s: log s - log t for beta = 1, and (1 - beta)(log s - log m) between. For beta = 0 it is s - t.

Shapes: `A` answer tokens, `D` width of the model, `V` vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

_CHUNK_ELEMENTS = 2**24
"""Logits of each model in memory at a time (64 MiB in float32)."""
_FLOOR = -1e30
"""Least log-probability: a token that both models exclude by a logit of minus infinity then counts 0."""


class TokenDivergence(NamedTuple):
    """Divergence at every answer token, and what a step logs. All are (A,) and in nats."""

    divergence: torch.Tensor
    """The divergence to minimise; the only one with a gradient."""
    kl: torch.Tensor
    """KL(student || teacher), whatever `beta` is."""
    entropy: torch.Tensor
    """Entropy of the student's distribution."""
    logprobs: torch.Tensor
    """The student's log-probability of the answer's token."""


def token_divergence(
    student: torch.Tensor,
    teacher: torch.Tensor,
    head: torch.nn.Linear | None,
    tokens: torch.Tensor,
    *,
    beta: float,
    temperature: float = 1.0,
) -> TokenDivergence:
    """Return the divergence of student and teacher at every token of the answers.

    The whole vocabulary is computed for a part of the tokens at a time, and the gradient in the same pass.

    Args:
        student: (A, D) states that `head` maps to logits, or (A, V) logits without a head.
        teacher: the same of the teacher; no gradient flows to it.
        head: the frozen output head of both, without a bias; None if states are logits.
        tokens: (A,) ids of the answer's tokens.
        beta: 0 for the forward KL divergence, 1 for the reverse, between for the generalised JSD.
        temperature: divides the logits of both.
    """
    weight = None if head is None else head.weight
    if weight is not None:
        # accelerate and autocast may widen hidden states.
        student, teacher = student.to(weight.dtype), teacher.to(weight.dtype)
    apply: Any = _ChunkedDivergence.apply
    with torch.autocast(student.device.type, enabled=False):
        return TokenDivergence(*apply(student, teacher, weight, tokens, beta, temperature))


class _ChunkedDivergence(torch.autograd.Function):
    """Divergence with its gradient, computed in the forward pass while a chunk's logits are in memory."""

    @staticmethod
    def forward(
        ctx: Any,
        student: torch.Tensor,
        teacher: torch.Tensor,
        weight: torch.Tensor | None,
        tokens: torch.Tensor,
        beta: float,
        temperature: float,
    ) -> tuple[torch.Tensor, ...]:
        """Return divergence, KL, entropy and log-probabilities, (A,) each. Autocast must be off."""
        wide = torch.float64 if student.dtype == torch.float64 else torch.float32
        found = [student.new_empty(len(student), dtype=wide) for _ in TokenDivergence._fields]
        slopes = torch.empty_like(student) if ctx.needs_input_grad[0] else None
        ctx.set_materialize_grads(False)
        vocabulary = student.shape[-1] if weight is None else len(weight)
        rows = max(1, _CHUNK_ELEMENTS // vocabulary)
        project = _projection(weight, wide)
        for start in range(0, len(student), rows):
            part = slice(start, start + rows)
            ours, theirs = (_log_softmax(project(states[part]), temperature) for states in (student, teacher))
            *values, slope = _divergence(ours, theirs, beta, wants_slope=slopes is not None)
            values.append(ours.gather(-1, tokens[part, None]).squeeze(-1))
            for whole, value in zip(found, values, strict=True):
                whole[part] = value
            if slopes is not None:
                slope = slope.div_(temperature).to(slopes.dtype)
                slopes[part] = slope if weight is None else slope.to(weight.dtype) @ weight
        ctx.save_for_backward(slopes)
        ctx.mark_non_differentiable(*found[1:])
        return tuple(found)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        """Return the gradient with respect to the student's states."""
        (slopes,) = ctx.saved_tensors
        if grads[0] is None:
            return (None,) * 6
        return grads[0].unsqueeze(-1).to(slopes.dtype) * slopes, None, None, None, None, None


def _projection(weight: torch.Tensor | None, wide: torch.dtype) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the function from states to logits of the wide type.

    Logits of 16 bits would be rounded: two close distributions then differ by the rounding.
    """
    if weight is None:
        return lambda states: states.to(wide)
    if weight.device.type == "cuda" and weight.dtype in (torch.float16, torch.bfloat16):
        columns = weight.t()
        return lambda states: torch.mm(states, columns, out_dtype=wide)
    head = weight.to(wide)
    return lambda states: states.to(wide) @ head.t()


def _log_softmax(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the log-probabilities of the whole vocabulary."""
    return logits.div(temperature).log_softmax(dim=-1).clamp_(min=_FLOOR)


def _divergence(
    ours: torch.Tensor, theirs: torch.Tensor, beta: float, *, wants_slope: bool
) -> tuple[torch.Tensor, ...]:
    """Return divergence, KL(ours || theirs) and entropy of ours per row, and the slope of the divergence.

    Args:
        ours: log-probabilities of the student, one row per token.
        theirs: those of the teacher.
        beta: which divergence.
        wants_slope: whether to compute the derivative with respect to the student's scaled logits; else the
            last result is empty.
    """
    probs = ours.exp()
    gap = ours - theirs
    kl = (probs * gap).sum(dim=-1)
    entropy = -(probs * ours).sum(dim=-1)
    if beta == 1.0:
        value = kl
        slope = probs.mul_(gap.sub_(kl[:, None])) if wants_slope else probs
    elif beta == 0.0:
        wanted = theirs.exp()
        value = -(wanted * gap).sum(dim=-1)
        slope = probs.sub_(wanted) if wants_slope else probs
    else:
        mixture = torch.logaddexp(ours + math.log1p(-beta), theirs + math.log(beta))
        apart = ours - mixture
        own = (probs * apart).sum(dim=-1)
        value = beta * (theirs.exp() * (theirs - mixture)).sum(dim=-1) + (1 - beta) * own
        slope = probs.mul_(apart.sub_(own[:, None])).mul_(1 - beta) if wants_slope else probs
    return value, kl, entropy, slope

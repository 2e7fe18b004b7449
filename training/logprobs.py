"""Log-probabilities of answers under a model.

Shapes: `N` rows, `P` prompt tokens, `A` answer tokens, `V` vocabulary. Prompts are padded on the left and
answers on the right. All answers thus begin in the same column, and only answer positions are projected to
logits. Positions count real tokens. Padding is marked by the mask and never by a token id, so models
without a pad token, or whose pad token also ends turns, are scored correctly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from engines.hf.sampling import wide
from engines.hf.self_check import (
    acting_adapter,
    continuation_logprobs,
    one_line,
    plain_logprobs,
    probe_rows,
    require_equal,
    with_right_attention,
)
from training.examples import EncodedAnswer

_FILLER = 0
"""Token id of padding; any valid id will do, since the mask is 0 there."""
_BEST = 8
"""Most likely next tokens whose log-probabilities are compared; far down the tail rounding is larger."""


@dataclass(frozen=True)
class AnswerBatch:
    """Prompts and answers of several rows as tensors."""

    input_ids: torch.Tensor
    """(N, P + A)."""
    attention_mask: torch.Tensor
    """(N, P + A), 1 for real tokens."""
    answer_ids: torch.Tensor
    """(N, A), the last A columns of `input_ids`."""
    answer_mask: torch.Tensor
    """(N, A), True for real answer tokens."""

    @property
    def position_ids(self) -> torch.Tensor:
        """(N, P + A), counting real tokens from 0."""
        return (self.attention_mask.cumsum(dim=1) - 1).clamp(min=0)

    def to(self, device: torch.device) -> AnswerBatch:
        """Return the batch on a device."""
        return AnswerBatch(*(tensor.to(device) for tensor in vars(self).values()))


def collate(rows: Sequence[EncodedAnswer]) -> AnswerBatch:
    """Collate rows into one batch, padded to the longest prompt and the longest answer."""
    prompt = max(len(row.prompt_ids) for row in rows)
    answer = max(len(row.answer_ids) for row in rows)
    input_ids = torch.full((len(rows), prompt + answer), _FILLER)
    mask = torch.zeros_like(input_ids)
    for number, row in enumerate(rows):
        first, last = prompt - len(row.prompt_ids), prompt + len(row.answer_ids)
        input_ids[number, first:last] = torch.tensor([*row.prompt_ids, *row.answer_ids])
        mask[number, first:last] = 1
    return AnswerBatch(input_ids, mask, input_ids[:, prompt:], mask[:, prompt:].bool())


def answer_logits(model: Any, batch: AnswerBatch) -> torch.Tensor:
    """Return the logits that predict each answer token, (N, A, V), in the model's own dtype."""
    outputs = model(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        position_ids=batch.position_ids,
        logits_to_keep=batch.answer_ids.shape[1] + 1,  # the position before predicts the first answer token
        use_cache=False,
    )
    logits: torch.Tensor = outputs.logits[:, :-1]
    return logits


def answer_logprobs(model: Any, batch: AnswerBatch) -> torch.Tensor:
    """Return the log-probability of each answer, (N,), summed over its tokens, in nats."""
    # In bfloat16, sums over long answers would be off by whole nats.
    logits = wide(answer_logits(model, batch))
    # log_softmax would hold a second (N, A, V) tensor.
    chosen = logits.gather(-1, batch.answer_ids.unsqueeze(-1)).squeeze(-1)
    logprobs = chosen - logits.logsumexp(dim=-1)
    return (logprobs * batch.answer_mask).sum(dim=-1)


def probe_answers(policy: Any) -> list[EncodedAnswer]:
    """Return answers to short prompts on which ways of running a model are compared."""
    short, long, middle = probe_rows(policy)
    return [EncodedAnswer(short, long), EncodedAnswer(long, short), EncodedAnswer(middle, middle)]


def single_row_means(policy: Any, rows: Sequence[EncodedAnswer]) -> list[torch.Tensor]:
    """Return each answer's mean log-probability (1,) in nats, computed in single rows."""
    prompts, answers = [row.prompt_ids for row in rows], [row.answer_ids for row in rows]
    return [logprobs.mean()[None] for logprobs in continuation_logprobs(policy, prompts, answers)]


def require_padded_rows(policy: Any, name: str) -> None:
    """Raise EngineError if answers in a padded batch have other log-probabilities than in single rows.

    A model whose tokens see later ones is refused too: it would read the answer that it is to predict. If the
    attention function is at fault, the model gets eager attention instead.

    Args:
        policy: the model with its adapter, in evaluation mode.
        name: the model's name, for the message.
    """
    how = "padded rows"

    def check() -> None:
        with one_line(policy, how, name), acting_adapter(policy), torch.no_grad():
            rows = probe_answers(policy)
            found = answer_logprobs(policy, collate(rows).to(policy.device))
            expected = single_row_means(policy, rows)
            row = (*rows[0].prompt_ids, *rows[0].answer_ids)
            cut, whole = plain_logprobs(policy, [row[:-1], row])
        best = cut[0].topk(_BEST).indices
        require_equal(policy, "a row without its last token", [cut[0][best]], [whole[0][best]], name)
        lengths = torch.tensor([len(row.answer_ids) for row in rows], device=found.device)
        require_equal(policy, how, list((found / lengths)[:, None]), expected, name)

    with_right_attention(policy, name, check)

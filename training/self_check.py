"""Checks of a policy at load: training must see the log-probabilities of single rows.

The checks of inference are in `engines/hf/self_check.py`.

Shapes: `A` answer tokens.
"""

from __future__ import annotations

from typing import Any

import torch

from engines.hf.self_check import (
    acting_adapter,
    continuation_logprobs,
    one_line,
    probe_rows,
    require_equal,
    with_right_attention,
)
from training.examples import EncodedAnswer
from training.logprobs import answer_logprobs, collate


def require_padded_rows(policy: Any, name: str) -> None:
    """Raise EngineError if answers in a padded batch have other log-probabilities than in single rows.

    A model whose attention function is at fault gets eager attention instead.

    Args:
        policy: the model with its adapter, in evaluation mode.
        name: the model's name, for the message.
    """
    how = "padded rows"

    def check() -> None:
        with one_line(policy, how, name), acting_adapter(policy), torch.no_grad():
            short, long, middle = probe_rows(policy)
            rows = [EncodedAnswer(short, long), EncodedAnswer(long, short), EncodedAnswer(middle, middle)]
            found = answer_logprobs(policy, collate(rows).to(policy.device))
            expected = continuation_logprobs(
                policy, [row.prompt_ids for row in rows], [row.answer_ids for row in rows]
            )
        lengths = torch.tensor([len(row.answer_ids) for row in rows], device=found.device)
        means = torch.stack([logprobs.mean() for logprobs in expected])
        require_equal(policy, how, list((found / lengths)[:, None]), list(means[:, None]), name)

    with_right_attention(policy, name, check)

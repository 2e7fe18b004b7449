"""A check at load: a model must answer in a batch as it answers alone.

Batched decoding pads on the left and keeps a cache of keys and values. A model that takes no such cache, or
positions from elsewhere, gives other answers without any error. Comparing a few tokens takes milliseconds and
finds such models, whatever their architecture.
"""

from __future__ import annotations

from typing import Any

import torch

from core.errors import EngineError
from core.records import Sampling
from engines.hf.decoding import DecodingBatch, DecodingRow

CHECKED_TOKENS = 3
"""Tokens that are compared of each of the two answers."""
_LENGTHS = (3, 8)
"""Tokens of the two prompts: unlike, so that one of them is padded."""
_MIN_GAP = {torch.float64: 1e-6, torch.float32: 1e-3}
"""Gap in nats between the two best tokens below which rounding may choose the other one."""
_NARROW_GAP = 0.25
"""The same in bfloat16 and float16."""


def require_batched_decoding(model: Any, name: str) -> None:
    """Raise EngineError if greedy tokens in a batch differ from those of single rows without a cache.

    Args:
        model: a causal language model in evaluation mode.
        name: the model's name, for the message.
    """
    size = model.config.get_text_config().vocab_size
    prompts = [tuple((7 * n + 3 * i + 5) % size for i in range(n)) for n in _LENGTHS]
    rows = [DecodingRow(ids, Sampling(temperature=0.0, max_new_tokens=CHECKED_TOKENS), 0) for ids in prompts]
    batch = DecodingBatch(model, frozenset(), lambda tokens: "")
    with torch.inference_mode():
        batch.admit(rows)
        while batch.rows:
            batch.step()
        same = all(_is_greedy(model, ids, row.tokens) for ids, row in zip(prompts, rows, strict=True))
    if not same:
        raise EngineError(
            f"{type(model).__name__} does not give in a batch the tokens that it gives alone",
            where=name,
            accepted="a model with a key-value cache, or engine.kind=vllm",
        )


def _is_greedy(model: Any, prompt: tuple[int, ...], tokens: list[int]) -> bool:
    """Return whether each token is the most likely one, up to rounding, by a pass without a cache."""
    ids = torch.tensor([[*prompt, *tokens]], device=model.device)
    logits = model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1].float()
    gaps = logits.max(dim=-1).values - logits[torch.arange(len(tokens)), tokens]
    return bool(gaps.max() < _MIN_GAP.get(model.dtype, _NARROW_GAP))

"""Continuous batching on one model: rows join when slots are free and leave as soon as they finish."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

import torch
from transformers import PreTrainedModel

from core.records import Sampling
from engines.hf.kv_cache import RowCache
from engines.hf.prefill import next_logits, next_logits_behind, prefill
from engines.hf.prefixes import PrefixStore
from engines.hf.sampling import draw_tokens, logprobs_and_entropies

_STOP_WINDOW = 32
"""Number of last tokens of an answer that are searched for stop strings after each step."""


@dataclass
class DecodingRow:
    """State of one answer being decoded."""

    prompt: tuple[int, ...]
    sampling: Sampling
    seed: int
    ticket: Any = None
    """Caller's own reference, returned with the finished row."""
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    """Log-probabilities of the tokens in nats, at the row's temperature; only if the batch records them."""
    entropies: list[float] = field(default_factory=list)
    """Entropies in nats of the distributions that the tokens were drawn from; only if recorded."""
    finish_reason: Literal["stop", "length"] | None = None
    failed: bool = False
    """True if the row ended because the model's logits were not finite; its last token has no meaning."""
    random: Random = field(init=False)

    def __post_init__(self) -> None:
        # A generator of its own for each row, so its tokens do not depend on its neighbours in the batch.
        self.random = Random(self.seed)

    @property
    def max_tokens(self) -> int:
        """Number of tokens in the prompt and the longest possible answer."""
        return len(self.prompt) + self.sampling.max_new_tokens


class DecodingBatch:
    """Batch of rows that are decoded together, one token per row and step.

    Args:
        model: a causal language model in evaluation mode.
        end_ids: tokens that end an answer.
        decode: converts token ids to text; called only for rows that have stop strings.
        record_logprobs: record the log-probability and entropy of each token.
        prefixes: keys and values of finished rows, which new rows that begin like them start from; prompts
            are then packed. None for padded prompts, each computed from its first token, as for models that
            take no packed rows or whose weights change.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        end_ids: frozenset[int],
        decode: Callable[[list[int]], str],
        *,
        record_logprobs: bool = False,
        prefixes: PrefixStore | None = None,
    ) -> None:
        self._model: Any = model
        self._prefixes = prefixes
        self._record_logprobs = record_logprobs
        self._end_ids = end_ids
        self._decode = decode
        self.rows: list[DecodingRow] = []
        self._cache: RowCache
        self._mask: torch.Tensor
        self._logits: torch.Tensor

    @property
    def can_join(self) -> bool:
        """True if rows may be admitted: the batch is empty, or rows can join the model's cache."""
        return not self.rows or self._cache.can_join

    @property
    def stores_prefixes(self) -> bool:
        """True if keys and values of finished rows are stored for others."""
        return self._prefixes is not None and self._cache.can_join

    @torch.inference_mode()
    def admit(self, rows: Sequence[DecodingRow]) -> None:
        """Run the prompts of new rows and add the rows to the batch."""
        prompts = [row.prompt for row in rows]
        cache = RowCache(self._model.config)
        if self._prefixes is not None and cache.can_join:
            logits, mask = prefill(self._model, prompts, self._prefixes, cache)
        else:
            ids, mask = pad_left(prompts, self._model.device)
            logits = self._forward(ids, mask, positions_of(mask), cache)
        if not self.rows:
            self._cache, self._mask, self._logits = cache, mask, logits
        else:
            self._cache.join(cache)
            width = max(mask.shape[1], self._mask.shape[1])
            self._mask = torch.cat([_widen(self._mask, width), _widen(mask, width)])
            self._logits = torch.cat([self._logits, logits])
        self.rows += rows

    @torch.inference_mode()
    def step(self) -> list[DecodingRow]:
        """Draw one token for every row; return the rows that are finished by it, or that failed."""
        # The maximum is NaN or infinite where any logit is NaN or +inf; -inf only masks a token.
        usable = self._logits.amax(dim=-1).isfinite()
        uniforms = [row.random.random() if row.sampling.temperature > 0 else 0.0 for row in self.rows]
        drawn = draw_tokens(self._logits, [row.sampling for row in self.rows], uniforms)
        if self._record_logprobs:
            self._append_logprobs(drawn)
        for row, token, is_usable in zip(self.rows, drawn, usable.tolist(), strict=True):
            row.tokens.append(token)
            row.failed = not is_usable
            row.finish_reason = self._finish_reason(row)
        finished = [row for row in self.rows if row.finish_reason or row.failed]
        if finished:
            self._store_prefixes()
            # Remove them before the forward pass, which then does not compute them.
            self._keep([i for i, row in enumerate(self.rows) if not (row.finish_reason or row.failed)])
        if self.rows:
            # The mask covers the new token too: it attends to itself.
            self._mask = torch.nn.functional.pad(self._mask, (0, 1), value=1)
            last = torch.tensor([[row.tokens[-1]] for row in self.rows], device=self._mask.device)
            self._logits = self._forward(last, self._mask, positions_of(self._mask)[:, -1:], self._cache)
        return finished

    def _forward(
        self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: RowCache
    ) -> torch.Tensor:
        """Return next-token logits (B, V) after ids (B, T); only the last position is projected to logits."""
        output = self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    def _append_logprobs(self, drawn: Sequence[int]) -> None:
        """Append to each row the drawn token's log-probability and the entropy of its distribution."""
        values = logprobs_and_entropies(self._logits, [row.sampling for row in self.rows], drawn)
        for row, (logprob, entropy) in zip(self.rows, values, strict=True):
            row.logprobs.append(logprob)
            row.entropies.append(entropy)

    def _store_prefixes(self) -> None:
        """Store the keys and values of finished rows; the last token of each has none yet."""
        if self._prefixes is None or not self._cache.can_join:
            return
        for i, row in enumerate(self.rows):
            computed = (*row.prompt, *row.tokens[:-1])
            if row.finish_reason and not row.failed and self._prefixes.takes(computed):
                states = self._cache.copy_of(i, self._mask.shape[1] - len(computed))
                self._prefixes.store(computed, states)

    def _keep(self, indices: list[int]) -> None:
        if not indices:
            # The next rows may come much later, and another stage may need the memory.
            self.rows, self._cache = [], RowCache(self._model.config)
            return
        # Leading columns may be padding in all remaining rows.
        unused = int(self._mask[indices].any(dim=0).int().argmax())
        order, self._mask = self._cache.keep(indices, unused, self._mask)
        self.rows = [self.rows[i] for i in order]

    def _finish_reason(self, row: DecodingRow) -> Literal["stop", "length"] | None:
        if row.tokens[-1] in self._end_ids:
            return "stop"
        if row.sampling.stop:
            # Search the text, not the tokens: a stop string may begin or end within a token.
            tail = self._decode(row.tokens[-_STOP_WINDOW:])
            if any(stop in tail for stop in row.sampling.stop):
                return "stop"
        return "length" if len(row.tokens) >= row.sampling.max_new_tokens else None


@torch.inference_mode()
def next_token_logprobs(
    model: PreTrainedModel,
    prompts: Sequence[tuple[int, ...]],
    *,
    packed: bool = False,
    prefixes: PrefixStore | None = None,
) -> torch.Tensor:
    """Return log-probabilities (B, V) in nats, float32, of the token that follows each prompt.

    Args:
        model: a causal language model in evaluation mode.
        prompts: token ids.
        packed: compute common prefixes once, in a packed row; else each prompt in a padded row of its own.
        prefixes: keys and values to start from, to which those of these prompts are added; used only if
            packed, by models with a cache whose rows can join.
    """
    if packed:
        if prefixes is not None and RowCache(model.config).can_join:
            logits = next_logits_behind(model, prompts, prefixes)
        else:
            logits = next_logits(model, prompts)
    else:
        ids, mask = pad_left(prompts, model.device)
        forward: Any = model
        output = forward(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions_of(mask),
            use_cache=False,
            logits_to_keep=1,
        )
        logits = output.logits[:, -1]
    # bfloat16 would round the log-probabilities to about 3 digits.
    return torch.log_softmax(logits.float(), dim=-1)


def pad_left(prompts: Sequence[tuple[int, ...]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and mask, both (B, T), padded on the left so all rows end at the same position."""
    width = max(len(prompt) for prompt in prompts)
    ids = torch.zeros(len(prompts), width, dtype=torch.long)  # any id will do: the mask marks padding
    mask = torch.zeros(len(prompts), width, dtype=torch.long)
    for i, prompt in enumerate(prompts):
        ids[i, width - len(prompt) :] = torch.tensor(prompt)
        mask[i, width - len(prompt) :] = 1
    return ids.to(device), mask.to(device)


def positions_of(mask: torch.Tensor) -> torch.Tensor:
    """Return position ids (B, T), counted from 0 at each row's first real token."""
    # Padding would get position -1, which is out of range for models with learned position embeddings.
    return (mask.cumsum(dim=-1) - 1).clamp(min=0)


def _widen(mask: torch.Tensor, width: int) -> torch.Tensor:
    return torch.nn.functional.pad(mask, (width - mask.shape[1], 0))

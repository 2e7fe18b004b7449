"""Prompts computed without padding: in one packed row, each token that they share once.

The usual way pads all prompts to the longest and computes each from its first token. Here

- prompts that are only scored form trees of a common prefix and what follows it (`next_logits`);
- prompts that are to be continued are computed behind the keys and values that are stored for them, and equal
  ones once (`prefill`);
- prompts that are scored now, and soon again with another end, are both: what they share with each other and
  with what is stored is computed once (`next_logits_behind`).

The results equal those of padded rows up to rounding; `engines/hf/self_check.py` compares them at load.

Shapes: `B` prompts, `S` tokens of the longest prompt, `V` tokens of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

import torch

from engines.hf.attention import register
from engines.hf.kv_cache import RowCache
from engines.hf.packing import AttentionCall, additive_mask, pack, packed_inputs, window_mask
from engines.hf.prefixes import PrefixStore
from engines.trees import prefix_groups, prefix_tree


@dataclass(slots=True)
class Continuation:
    """Place of one prompt in a packed row, and of its stored part in the cache that precedes the row."""

    columns: slice
    """Columns of the row."""
    stored: slice
    """Columns of the cache with the keys and values of the prompt's first tokens."""
    before: int
    """Number of columns of the cache that precede the row."""
    device: torch.device | str = "cpu"
    _pieces: dict[tuple[int | None, int, torch.dtype], list[AttentionCall]] = field(default_factory=dict)

    @property
    def keys(self) -> tuple[slice, slice]:
        """Columns of the cache that hold the prompt once its row is computed."""
        return self.stored, slice(self.before + self.columns.start, self.before + self.columns.stop)

    def pieces(self, window: int | None, group: int, dtype: torch.dtype) -> list[AttentionCall]:
        """Return the attention call that computes the prompt, as `engines.hf.packing.Block` does."""
        case = (window, group, dtype)
        if case not in self._pieces:  # the same for all layers
            past, length = (part.stop - part.start for part in self.keys)
            mask = None
            if past or (window is not None and length > window):
                position = torch.arange(past + length)
                seen = window_mask(position[past:], position, window)
                mask = additive_mask(seen, group, dtype, self.device)
            keys = self.keys if past else self.keys[1:]
            self._pieces[case] = [AttentionCall(self.columns, keys, mask)]
        return self._pieces[case]


def prefill(
    model: Any, prompts: Sequence[tuple[int, ...]], prefixes: PrefixStore, cache: RowCache
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute prompts into an empty cache, one row each; return next-token logits (B, V) and the mask (B, S).

    Args:
        model: a model that takes packed rows (`engines.hf.self_check.require_inference`).
        prompts: token ids.
        prefixes: keys and values to start from.
        cache: a cache whose rows can join (`RowCache.can_join`).
    """
    different = list(dict.fromkeys(prompts))
    logits, parts = _continued(model, different, prefixes, cache)
    rows = [different.index(prompt) for prompt in prompts]
    cache.unpack([parts[row].keys for row in rows])
    width = max(map(len, prompts))
    lengths = torch.tensor(list(map(len, prompts)), device=model.device)
    mask = (torch.arange(width, device=model.device) >= width - lengths[:, None]).long()
    return logits[rows], mask


def next_logits_behind(model: Any, prompts: Sequence[tuple[int, ...]], prefixes: PrefixStore) -> torch.Tensor:
    """Return next-token logits (B, V) after each prompt, and store their keys and values for the next ones.

    What prompts share with each other is stored once. A prompt of which half is stored by then is not stored
    itself: the next one shares as much with what is there.

    Args:
        model: a model that takes packed rows, with a cache whose rows can join.
        prompts: token ids.
        prefixes: keys and values to start from.
    """
    groups = [[prompts[index] for index in group] for group in prefix_groups(prompts)]
    shared = [prefix_tree(group).prompt_ids for group in groups if len(group) > 1]
    starts = [start for start in dict.fromkeys(shared) if prefixes.is_mostly_new(start)]
    if starts:
        _continued_and_stored(model, starts, prefixes)
    different = list(dict.fromkeys(prompts))
    logits = _continued_and_stored(model, different, prefixes)
    return logits[[different.index(prompt) for prompt in prompts]]


def _continued_and_stored(
    model: Any, prompts: Sequence[tuple[int, ...]], prefixes: PrefixStore
) -> torch.Tensor:
    """Return next-token logits (B, V) of different prompts, and store those that are mostly new."""
    new = [prompt for prompt in prompts if prefixes.is_mostly_new(prompt)]
    cache = RowCache(model.config)
    logits, parts = _continued(model, prompts, prefixes, cache)
    places = dict(zip(prompts, parts, strict=True))
    for prompt in new:
        prefixes.store(prompt, cache.columns(places[prompt].keys))
    return logits


def _continued(
    model: Any, prompts: Sequence[tuple[int, ...]], prefixes: PrefixStore, cache: RowCache
) -> tuple[torch.Tensor, list[Continuation]]:
    """Compute different prompts behind their stored prefixes; return next-token logits (B, V) and places.

    The cache is left as one row: the stored prefixes, then what was computed.
    """
    device = model.device
    found = [prefixes.find(prompt) for prompt in prompts]
    rest = [prompt[prefix.length :] for prompt, prefix in zip(prompts, found, strict=True)]
    stored = list(accumulate((prefix.length for prefix in found), initial=0))
    starts = list(accumulate(map(len, rest), initial=0))
    parts = [
        Continuation(slice(*columns), slice(*past), stored[-1], device)
        for columns, past in zip(_spans(starts), _spans(stored), strict=True)
    ]
    positions = [range(prefix.length, len(prompt)) for prompt, prefix in zip(prompts, found, strict=True)]
    cache.fill([prefix.states for prefix in found if prefix.length])
    inputs = packed_inputs(_row(rest, device), _row(positions, device), parts)
    inputs |= {"past_key_values": cache.cache, "use_cache": True}
    ends = torch.tensor([part.columns.stop - 1 for part in parts], device=device)
    with packed_attention_of(model):
        logits: torch.Tensor = model(**inputs, logits_to_keep=ends).logits[0]
    return logits, parts


def next_logits(model: Any, prompts: Sequence[tuple[int, ...]]) -> torch.Tensor:
    """Return next-token logits (B, V) after each prompt, whose common prefixes are computed once."""
    groups = prefix_groups(prompts)
    row = pack([prefix_tree([prompts[index] for index in group]) for group in groups], model.device)
    with packed_attention_of(model):
        logits: torch.Tensor = model(**row.inputs(), logits_to_keep=row.ends).logits[0]
    order = torch.tensor([index for group in groups for index in group], device=logits.device)
    return logits[order.argsort()]


@contextmanager
def packed_attention_of(model: Any) -> Iterator[None]:
    """Run a model in the attention function that packed rows need; on a GPU it decodes in another one."""
    before, ours = model.config._attn_implementation, register()
    if before == ours:
        yield
        return
    model.set_attn_implementation(ours)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def _spans(bounds: Sequence[int]) -> list[tuple[int, int]]:
    return list(pairwise(bounds))


def _row(parts: Sequence[Sequence[int]], device: torch.device) -> torch.Tensor:
    """Return numbers one after the other, as a row (1, T)."""
    return torch.tensor([[number for part in parts for number in part]], device=device)

"""Key-value cache that is written in place and whose rows can leave and join.

transformers' `DynamicLayer` concatenates the whole cache for each new token. Here each layer allocates
storage with spare capacity and returns views of it. All rows end at the same position (prompts are padded on
the left), so the rows of another cache are added by aligning the ends. Prompts that were computed as one
packed row become rows of their own (`RowCache.unpack`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import Cache, DynamicCache, PreTrainedConfig
from transformers.cache_utils import DynamicLayer

States = Sequence[tuple[torch.Tensor, torch.Tensor]]
"""Keys and values (B, K, S, D) of each layer."""

_ROOM = 128
"""Minimum spare capacity in tokens. Storage grows by this or by a quarter, whichever is larger."""
_WASTE = 0.25
"""Share of leading positions that no row uses above which they are dropped, which copies all rows."""


class GrowingLayer(DynamicLayer):  # type: ignore[no-untyped-call]  # its base registers subclasses, untyped
    """Keys and values (B, K, S, D) of one layer: views of storage with spare rows and positions."""

    keys: torch.Tensor
    values: torch.Tensor

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Allocate storage with the shape and data type of the first states."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self._allocate(key_states[:, :, :0], value_states[:, :, :0], key_states.shape[2])
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append the new states; return views of all states."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.keys.shape[2]
        end = start + key_states.shape[2]
        if end > self._key_storage.shape[2]:
            self._allocate(self.keys, self.values, end - start)
        rows = len(key_states)
        self._key_storage[:rows, :, start:end] = key_states
        self._value_storage[:rows, :, start:end] = value_states
        self._show(rows, end)
        return self.keys, self.values

    def select(self, rows: torch.Tensor, start: int) -> None:
        """Keep only the given rows (b,), without their first `start` positions."""
        rows = rows.to(self.keys.device)  # with engine.device_map=auto, layers are on several GPUs
        self._allocate(self.keys[rows, :, start:], self.values[rows, :, start:], 0)

    def move(self, moves: Sequence[tuple[int, int]], count: int) -> None:
        """Keep only the first `count` rows, after copying rows to others' places (place, row)."""
        for states in (self.keys, self.values):
            for place, row in moves:
                states[place] = states[row]
        self._show(count, self.keys.shape[2])

    def join(self, other: GrowingLayer) -> None:
        """Append the other layer's rows, aligned at the end; the caller masks the gap at the start."""
        mine, theirs = self.keys.shape[2], other.keys.shape[2]
        length = max(mine, theirs)
        pairs = [(self.keys, other.keys), (self.values, other.values)]
        keys, values = (torch.cat([_pad_left(one, length), _pad_left(two, length)]) for one, two in pairs)
        self._allocate(keys, values, 0)

    def unpack(self, spans: Sequence[Sequence[slice]]) -> None:
        """Turn one row into several, each made of some of its columns and aligned at the end."""
        packed = (self.keys, self.values)
        lengths = [sum(span.stop - span.start for span in parts) for parts in spans]
        keys, values = (
            states.new_zeros(len(spans), states.shape[1], max(lengths), states.shape[3]) for states in packed
        )
        for old, new in zip(packed, (keys, values), strict=True):
            for row, parts, length in zip(new, spans, lengths, strict=True):
                start = new.shape[2] - length
                for span in parts:
                    end = start + span.stop - span.start
                    row[:, start:end] = old[0, :, span]
                    start = end
        self._allocate(keys, values, 0)

    def _allocate(self, keys: torch.Tensor, values: torch.Tensor, more: int) -> None:
        length = keys.shape[2]
        # Spare capacity in proportion to the length: the cost of copying per token stays constant.
        capacity = length + more + max(_ROOM, length // 4)
        self._key_storage = keys.new_empty(*keys.shape[:2], capacity, keys.shape[3])
        self._value_storage = values.new_empty(*values.shape[:2], capacity, values.shape[3])
        self._key_storage[:, :, :length] = keys
        self._value_storage[:, :, :length] = values
        self._show(len(keys), length)

    def _show(self, rows: int, length: int) -> None:
        self.keys = self._key_storage[:rows, :, :length]
        self.values = self._value_storage[:rows, :, :length]

    @property
    def spare_rows(self) -> int:
        """Number of rows of the storage that are not used."""
        return len(self._key_storage) - len(self.keys)


def _columns(states: torch.Tensor, spans: Sequence[slice]) -> torch.Tensor:
    return torch.cat([states[:1, :, span] for span in spans], dim=2)


def _pad_left(states: torch.Tensor, length: int) -> torch.Tensor:
    """Return states (B, K, S, D) with zeros in front, up to `length` positions."""
    return torch.nn.functional.pad(states, (0, 0, length - states.shape[2], 0))


class RowCache:
    """Cache of one decoding batch, for all layers.

    Models with full attention in all layers get growing layers, whose rows can leave and join. Others
    (sliding windows, linear attention) use transformers' own layers: their rows can leave, but none can join.
    """

    def __init__(self, config: PreTrainedConfig) -> None:
        stock = DynamicCache(config=config)
        self.can_join = bool(stock.layers) and all(type(layer) is DynamicLayer for layer in stock.layers)
        layer: Any = GrowingLayer
        self.cache: Any = Cache(layers=[layer() for _ in stock.layers]) if self.can_join else stock

    def keep(self, rows: Sequence[int], unused: int, mask: torch.Tensor) -> tuple[list[int], torch.Tensor]:
        """Keep only some rows; return them in their new order, with their mask.

        The last rows take the places of those that leave, so that few rows are copied. Storage that is half
        empty is copied whole.

        Args:
            rows: rows to keep, in ascending order.
            unused: number of leading positions that none of them uses.
            mask: mask (B, S) of all rows.
        """
        order, dropped = list(rows), 0
        index = torch.tensor(order, device=mask.device)
        if not self.can_join:
            self.cache.reorder_cache(index)  # made for beam search, but it selects any rows
        elif unused > _WASTE * mask.shape[1] or len(mask) + self.cache.layers[0].spare_rows > 2 * len(rows):
            dropped = unused
            for layer in self.cache.layers:
                layer.select(index, dropped)
        else:
            count, kept = len(rows), set(rows)
            gaps = [place for place in range(count) if place not in kept]
            moves = list(zip(gaps, (row for row in rows if row >= count), strict=True))
            order = list(range(count))
            for place, row in moves:
                order[place] = row
            for layer in self.cache.layers:
                layer.move(moves, count)
            index = torch.tensor(order, device=mask.device)
        return order, mask[index][:, dropped:]

    def fill(self, rows: Sequence[States]) -> None:
        """Put the states of rows, each (1, K, S, D), one after the other into one row of an empty cache."""
        for layer, states in zip(self.cache.layers, zip(*rows, strict=True), strict=False):
            layer.update(*(torch.cat(parts, dim=2) for parts in zip(*states, strict=True)))

    def unpack(self, spans: Sequence[Sequence[slice]]) -> None:
        """Turn one row into several, each made of some of its columns and aligned at the end."""
        for layer in self.cache.layers:
            layer.unpack(spans)

    def copy_of(self, row: int, start: int) -> States:
        """Return a copy of the keys and values (1, K, S, D) of a row, without its first `start` positions."""
        own = slice(row, row + 1)
        return [
            (layer.keys[own, :, start:].clone(), layer.values[own, :, start:].clone())
            for layer in self.cache.layers
        ]

    def columns(self, spans: Sequence[slice]) -> States:
        """Return a copy of the keys and values (1, K, S, D) of some columns of the first row."""
        return [(_columns(layer.keys, spans), _columns(layer.values, spans)) for layer in self.cache.layers]

    def join(self, other: RowCache) -> None:
        """Append the rows of another cache."""
        for mine, theirs in zip(self.cache.layers, other.cache.layers, strict=True):
            mine.join(theirs)

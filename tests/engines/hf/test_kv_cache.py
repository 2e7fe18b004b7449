"""The growing cache holds what transformers' own would, and its rows leave and join."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
import torch
from transformers.cache_utils import DynamicLayer

from engines.hf.kv_cache import GrowingLayer, RowCache


def states(rows: int, length: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 2, length, 4, generator=generator), torch.randn(
        rows, 2, length, 4, generator=generator
    )


def filled(rows: int, length: int, seed: int) -> GrowingLayer:
    layer = GrowingLayer()
    layer.update(*states(rows, length, seed))
    return layer


def test_updates_give_what_concatenation_gives():
    ours, stock = GrowingLayer(), DynamicLayer()
    for number, length in enumerate([7, 1, 1, 150, 1, 300, 1]):
        mine, theirs = (layer.update(*states(3, length, number)) for layer in (ours, stock))
        assert torch.equal(mine[0], theirs[0])
        assert torch.equal(mine[1], theirs[1])
    assert ours.get_seq_length() == stock.get_seq_length() == 461


def test_a_new_token_is_written_in_place():
    layer = filled(2, 10, 0)
    place = layer.keys.data_ptr()
    for number in range(100):
        layer.update(*states(2, 1, number))
    assert layer.keys.data_ptr() == place


def test_storage_that_grew_keeps_what_was_there():
    layer = filled(2, 10, 0)
    before = layer.keys.clone()
    layer.update(*states(2, 1000, 1))
    assert torch.equal(layer.keys[:, :, :10], before)


def test_selected_rows_lose_the_positions_that_none_of_them_uses():
    layer = filled(4, 9, 0)
    keys, values = layer.keys.clone(), layer.values.clone()
    layer.select(torch.tensor([3, 1]), 2)
    assert torch.equal(layer.keys, keys[[3, 1], :, 2:])
    assert torch.equal(layer.values, values[[3, 1], :, 2:])


@pytest.mark.parametrize(("mine", "theirs"), [(9, 4), (4, 9), (6, 6)])
def test_joined_rows_end_together(mine: int, theirs: int):
    one, two = filled(2, mine, 0), filled(3, theirs, 1)
    keys, others = one.keys.clone(), two.keys.clone()
    one.join(two)
    assert one.keys.shape == one.values.shape == (5, 2, max(mine, theirs), 4)
    assert torch.equal(one.keys[:2, :, -mine:], keys)
    assert torch.equal(one.keys[2:, :, -theirs:], others)
    assert one.keys[:2, :, :-mine].abs().sum() == one.keys[2:, :, :-theirs].abs().sum() == 0


def test_joining_leaves_the_other_cache_alone():
    one, two = filled(2, 5, 0), filled(2, 8, 1)
    before = two.keys.clone()
    one.join(two)
    one.update(*states(4, 1, 2))
    assert torch.equal(two.keys, before)


def test_model_with_full_attention_lets_rows_join(tiny_model: Callable[..., Any]):
    cache = RowCache(tiny_model().config)
    assert cache.can_join
    assert [type(layer) for layer in cache.cache.layers] == [GrowingLayer, GrowingLayer]


def test_model_with_a_sliding_window_keeps_its_own_cache(tiny_model: Callable[..., Any]):
    cache = RowCache(tiny_model(sliding_window=8).config)
    assert not cache.can_join
    assert GrowingLayer not in map(type, cache.cache.layers)


def test_rows_that_leave_one_by_one_leave_the_others_unharmed(tiny_model: Callable[..., Any]):
    chance, cache = Random(0), RowCache(tiny_model().config)
    count, width = 12, 40
    for number, layer in enumerate(cache.cache.layers):
        layer.update(*states(count, width, number))
    expected = [[layer.keys.clone(), layer.values.clone()] for layer in cache.cache.layers]
    names = list(range(count))
    starts = [0, 0, 3, 12, 12, 15, 20, 20, 30, 30, 38, 39]
    mask = torch.stack([(torch.arange(width) >= start).long() for start in starts])
    copied = 0
    while len(names) > 1:
        kept = sorted(chance.sample(range(len(names)), chance.randint(1, len(names) - 1)))
        unused = int(mask[kept].any(dim=0).int().argmax())
        place = cache.cache.layers[0].keys.data_ptr()
        order, mask = cache.keep(kept, unused, mask)
        copied += cache.cache.layers[0].keys.data_ptr() != place
        assert sorted(order) == kept
        names = [names[i] for i in order]
        length = mask.shape[1]
        for layer, (keys, values) in zip(cache.cache.layers, expected, strict=True):
            assert torch.equal(layer.keys, keys[names][:, :, -length:])
            assert torch.equal(layer.values, values[names][:, :, -length:])
        assert mask.sum(-1).tolist() == [width - starts[name] for name in names]
    assert copied >= 1


def test_row_that_leaves_costs_no_copy_of_the_others(tiny_model: Callable[..., Any]):
    cache = RowCache(tiny_model().config)
    for number, layer in enumerate(cache.cache.layers):
        layer.update(*states(8, 20, number))
    place = cache.cache.layers[0].keys.data_ptr()
    order, mask = cache.keep([0, 1, 3, 4, 5, 6, 7], 2, torch.ones(8, 20))
    assert order == [0, 1, 7, 3, 4, 5, 6]
    assert mask.shape == (7, 20)
    assert cache.cache.layers[0].keys.data_ptr() == place
    order, mask = cache.keep([2, 3], 2, mask)
    assert order == [2, 3]
    assert mask.shape == (2, 18)
    assert cache.cache.layers[0].spare_rows == 0

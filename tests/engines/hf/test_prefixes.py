"""Stored keys and values are found by their tokens, and stay within their bound."""

from __future__ import annotations

import random

import torch

from engines.hf.kv_cache import States
from engines.hf.prefixes import PrefixStore
from engines.trees import common_length

Row = tuple[int, ...]
TOKEN_BYTES = 2 * 2 * 2 * 3 * 4
"""Two layers of keys and values, two heads of width 3 in float32."""


def states(row: Row) -> States:
    """States that name the token that they belong to."""
    one = torch.tensor(row, dtype=torch.float32)[None, None, :, None].expand(1, 2, len(row), 3)
    return [(one + layer, -one - layer) for layer in range(2)]


def row(*tokens: int, length: int = 20) -> Row:
    return (*tokens, *range(100, 100 + length - len(tokens)))


def filled(*rows: Row, room: int = 1000) -> PrefixStore:
    store = PrefixStore(room * TOKEN_BYTES)
    for one in rows:
        store.store(one, states(one))
    return store


def test_prompt_that_continues_a_row_finds_all_of_it():
    first = row(1, 2)
    found = filled(first, row(1, 3), row(0)).find((*first, 7, 8))
    assert found.length == 20
    for layer, (keys, values) in enumerate(found.states):
        assert keys.shape == (1, 2, 20, 3)
        assert keys[0, 0, :, 0].tolist() == [token + layer for token in first]
        assert torch.equal(values, -keys)


def test_prompt_that_turns_off_finds_the_common_part():
    found = filled(row(1, 2)).find((*row(1, 2)[:12], 5, 5, 5))
    assert found.length == 12
    assert all(keys.shape[2] == values.shape[2] == 12 for keys, values in found.states)


def test_last_token_of_a_prompt_is_always_computed():
    first = row(1, 2)
    assert filled(first).find(first).length == 19
    assert filled(first).find(first[:15]).length == 14


def test_few_common_tokens_are_not_worth_it():
    assert filled(row(1, 2)).find((1, 2, 100, 5, 5, 5, 5, 5, 5, 5)).length == 0
    assert filled().find(row(1)).length == 0


def test_longest_common_prefix_is_found_among_many():
    chance = random.Random(0)
    rows = [tuple(chance.randrange(2) for _ in range(30)) for _ in range(60)]
    store = filled(*rows, room=10**6)
    for _ in range(50):
        prompt = tuple(chance.randrange(2) for _ in range(40))
        best = max(common_length(prompt, one) for one in rows)
        assert store.find(prompt).length == (best if best >= 8 else 0)


def test_row_that_continues_another_replaces_it():
    first = row(1, 2)
    store = filled(first, row(3))
    longer = (*first, 7, 8, 9)
    store.store(longer, states(longer))
    assert len(store) == 2
    assert store.size == (23 + 20) * TOKEN_BYTES
    assert not store.takes(first)
    store.store(first, states(first))
    assert len(store) == 2


def test_memory_is_bounded_and_the_longest_unused_row_goes():
    store = filled(row(1), row(2), room=50)
    store.find((*row(1), 5))
    store.store(row(3), states(row(3)))
    assert [store.find((*row(n), 5)).length for n in (1, 2, 3)] == [20, 0, 20]
    assert store.size == 40 * TOKEN_BYTES


def test_row_that_is_larger_than_the_bound_is_not_stored():
    store = filled(row(1, length=80), room=50)
    assert (len(store), store.size) == (0, 0)


def test_store_without_room_takes_nothing():
    assert not filled(room=0).takes(row(1))


def test_random_use_keeps_the_books():
    chance = random.Random(1)
    store = PrefixStore(200 * TOKEN_BYTES)
    for _ in range(300):
        one = tuple(chance.randrange(2) for _ in range(chance.randint(8, 40)))
        store.find(one)
        store.store(one, states(one))
        assert store.size == sum(map(len, store._order)) * TOKEN_BYTES <= 200 * TOKEN_BYTES
        assert store._order == sorted(store._rows)
        assert not any(b[: len(a)] == a for a in store._order for b in store._order if a != b)

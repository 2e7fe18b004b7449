"""Ids are told apart as by a Python set, in memory that does not grow with their number."""

from __future__ import annotations

import tracemalloc

from core.digests import record_id
from core.store.seen_ids import SeenIds


def test_id_is_new_once():
    with SeenIds() as seen:
        assert [seen.add(id) for id in ("a", "b", "a", "A", "", "b", "")] == [
            True,
            True,
            False,
            True,
            True,
            False,
            False,
        ]


def test_two_sets_share_nothing():
    with SeenIds() as one, SeenIds() as two:
        assert one.add("a")
        assert two.add("a")


def test_agrees_with_a_set_on_many_ids_without_holding_them():
    with SeenIds() as seen:
        seen.add("first")
        tracemalloc.start()
        try:
            assert all(seen.add(record_id(number)) for number in range(5000))
            grown = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert not any(seen.add(record_id(number)) for number in range(0, 5000, 7))
    assert grown < 5000 * 10  # a set takes over 100 bytes an id

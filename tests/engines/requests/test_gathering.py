"""Items that wait are answered by one call, each with its own result or the call's error."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from engines.requests.gathering import GatheredCalls


def test_items_of_one_turn_share_a_call_and_have_their_own_results():
    calls: list[int] = []

    def double(items: Sequence[int]) -> list[int]:
        calls.append(len(items))
        return [2 * item for item in items]

    gathered = GatheredCalls(double)

    async def ask() -> list[int]:
        return list(await asyncio.gather(*map(gathered.ask, range(50))))

    assert asyncio.run(ask()) == [2 * n for n in range(50)]
    assert sum(calls) == 50
    assert len(calls) <= 2
    assert asyncio.run(ask()) == [2 * n for n in range(50)]  # another event loop


def test_an_error_reaches_all_that_wait_and_the_next_call_is_answered():
    broken = threading.Event()
    broken.set()

    def answer(items: Sequence[str]) -> list[str]:
        if broken.is_set():
            raise ValueError("no memory")
        return list(items)

    gathered = GatheredCalls(answer)

    async def ask() -> list[object]:
        return await asyncio.gather(*map(gathered.ask, "abc"), return_exceptions=True)

    assert [str(one) for one in asyncio.run(ask())] == ["no memory"] * 3
    broken.clear()
    assert asyncio.run(ask()) == ["a", "b", "c"]


def test_an_item_that_nobody_waits_for_any_more_stops_no_other():
    slow = threading.Event()

    def answer(items: Sequence[int]) -> list[int]:
        slow.wait(10)
        return list(items)

    gathered = GatheredCalls(answer)

    async def ask() -> int:
        given_up, kept = (asyncio.create_task(gathered.ask(n)) for n in (1, 2))
        await asyncio.sleep(0.05)
        given_up.cancel()
        slow.set()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        return await kept

    assert asyncio.run(ask()) == 2

"""Bounded work: the limit holds, nothing is drawn ahead, and a failure comes out as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from core.concurrency import for_each
from core.errors import RequestError


def test_every_item_is_worked_on_once():
    done: list[int] = []

    async def work(number: int) -> None:
        await asyncio.sleep(0)
        done.append(number)

    asyncio.run(for_each(range(50), work, limit=7))
    assert sorted(done) == list(range(50))


@pytest.mark.parametrize("limit", [1, 3, 8])
def test_no_more_than_the_limit_run_at_a_time_and_the_limit_is_reached(limit: int):
    running, most = 0, 0

    async def work(_: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    asyncio.run(for_each(range(40), work, limit))
    assert most == limit


def test_one_at_a_time_keeps_the_order():
    done: list[int] = []

    async def work(number: int) -> None:
        await asyncio.sleep(0)
        done.append(number)

    asyncio.run(for_each(range(20), work, limit=1))
    assert done == list(range(20))


def test_an_item_is_drawn_only_when_its_work_can_start():
    drawn, done = 0, 0

    def items() -> Iterator[int]:
        nonlocal drawn
        for number in range(30):
            drawn += 1
            yield number

    async def work(_: int) -> None:
        nonlocal done
        assert drawn - done <= 4
        await asyncio.sleep(0)
        done += 1

    asyncio.run(for_each(items(), work, limit=4))
    assert (drawn, done) == (30, 30)


def test_fewer_items_than_the_limit_and_none_at_all_end_quietly():
    done: list[str] = []

    async def work(word: str) -> None:
        done.append(word)

    asyncio.run(for_each(["only"], work, limit=16))
    asyncio.run(for_each([], work, limit=16))
    assert done == ["only"]


def test_the_first_failure_is_raised_as_it_is():
    failure = RequestError("the conversation is too long")

    async def work(number: int) -> None:
        await asyncio.sleep(0)
        if number == 3:
            raise failure

    with pytest.raises(RequestError) as caught:
        asyncio.run(for_each(range(10), work, limit=2))
    assert caught.value is failure


def test_a_failure_keeps_the_cause_that_it_came_with():
    cause = OSError("disk full")

    async def work(_: int) -> None:
        raise RequestError("cannot be written") from cause

    with pytest.raises(RequestError) as caught:
        asyncio.run(for_each(range(3), work, limit=2))
    assert caught.value.__cause__ is cause


def test_a_failure_cancels_the_others_and_draws_nothing_more():
    started: list[int] = []
    cancelled: list[int] = []

    async def work(number: int) -> None:
        started.append(number)
        if number == 2:
            raise RequestError("no")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(number)
            raise

    with pytest.raises(RequestError):
        asyncio.run(for_each(range(100), work, limit=3))
    assert started == [0, 1, 2]
    assert sorted(cancelled) == [0, 1]


def test_of_two_failures_the_earlier_is_raised():
    async def work(word: str) -> None:
        try:
            if word == "waits":
                await asyncio.Event().wait()
            raise RequestError("first")
        except asyncio.CancelledError:
            raise RequestError("second, while it was being cancelled") from None

    with pytest.raises(RequestError, match=r"^first$"):
        asyncio.run(for_each(["waits", "fails"], work, limit=2))


def test_a_failure_of_the_source_of_items_is_raised_as_it_is():
    def items() -> Iterator[int]:
        yield 1
        raise RequestError("line 2 is torn")

    async def work(_: int) -> None:
        await asyncio.sleep(0)

    with pytest.raises(RequestError, match="line 2 is torn"):
        asyncio.run(for_each(items(), work, limit=2))


def test_cancelling_from_outside_cancels_the_work():
    cancelled: list[int] = []

    async def work(number: int) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(number)
            raise

    async def main() -> None:
        task = asyncio.create_task(for_each(range(9), work, limit=2))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert sorted(cancelled) == [0, 1]


def test_work_that_never_waits_can_be_cancelled():
    done: list[int] = []

    async def work(number: int) -> None:
        done.append(number)  # answered at once, as from a cache

    async def main() -> None:
        task = asyncio.create_task(for_each(range(10_000), work, limit=4))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert len(done) < 100
    assert done == sorted(done)


def test_work_that_cancels_itself_is_a_failure_and_no_quiet_end():
    async def work(number: int) -> None:
        await asyncio.sleep(0)
        if number == 3:
            raise asyncio.CancelledError

    with pytest.raises(RuntimeError, match="cancelled from within"):
        asyncio.run(for_each(range(10), work, limit=2))

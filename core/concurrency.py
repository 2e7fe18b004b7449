"""Concurrency: bounded over an iterable that need not fit in memory, and all at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from typing import Any, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


async def all_or_none(work: Iterable[Coroutine[Any, Any, _Result]]) -> list[_Result]:
    """Return the results of coroutines that run at once. The first failure cancels the others."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


async def for_each(
    items: Iterable[_Item] | AsyncIterable[_Item], work: Callable[[_Item], Awaitable[None]], limit: int
) -> None:
    """Run `work` on every item, at most `limit` at a time. An item is taken only when its work can start.

    Items may arrive while others are worked on.

    The first failure cancels the work in progress. It is raised as it is, not inside an exception group.
    Work that ends with CancelledError although nobody cancelled it is a failure too.
    """
    assert limit >= 1, "limit must be at least 1"
    iterator = aiter(items) if isinstance(items, AsyncIterable) else _at_once(iter(items))
    taking = asyncio.Lock()  # an asynchronous generator cannot be resumed twice at the same time

    async def taken() -> _Item:
        async with taking:
            return await anext(iterator)

    async def worker() -> None:
        # All workers share one iterator, so each item is taken exactly once.
        while True:
            try:
                item = await taken()
            except StopAsyncIteration:
                return
            try:
                await work(item)
            except asyncio.CancelledError:
                if (task := asyncio.current_task()) is None or task.cancelling():
                    raise
                # Nobody cancelled this worker, and a task group would take its end for a success.
                raise RuntimeError("the work on an item was cancelled from within") from None
            # Work that is answered from a cache never waits; without this, an interruption would wait for it.
            await asyncio.sleep(0)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(limit):
                group.create_task(worker())
    except BaseExceptionGroup as failures:
        first = failures.exceptions[0]
        raise first from first.__cause__  # keep its original cause, not the exception group


async def _at_once(items: Iterator[_Item]) -> AsyncIterator[_Item]:
    for item in items:
        yield item

"""Concurrency: bounded over an iterable that need not fit in memory, and all at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
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


async def for_each(items: Iterable[_Item], work: Callable[[_Item], Awaitable[None]], limit: int) -> None:
    """Run `work` on every item, at most `limit` at a time. An item is taken only when its work can start.

    The first failure cancels the work in progress. It is raised as it is, not inside an exception group.
    Work that ends with CancelledError although nobody cancelled it is a failure too.
    """
    assert limit >= 1, "limit must be at least 1"
    iterator = iter(items)

    async def worker() -> None:
        # All workers share one iterator, so each item is taken exactly once.
        for item in iterator:
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

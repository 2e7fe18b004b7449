"""Bounded asynchronous work over an iterable that need not fit in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

_Item = TypeVar("_Item")


async def for_each(items: Iterable[_Item], work: Callable[[_Item], Awaitable[None]], limit: int) -> None:
    """Run `work` on every item, at most `limit` at a time; items are drawn only when one can start.

    The first failure cancels what is under way and is raised as it is, not inside a group.
    """
    assert limit >= 1, "with no worker nothing would be done"
    iterator = iter(items)

    async def worker() -> None:
        for item in iterator:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(limit):
                group.create_task(worker())
    except BaseExceptionGroup as failures:
        first = failures.exceptions[0]
        raise first from first.__cause__  # the cause that it came with, not the group around it

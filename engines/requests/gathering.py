"""Calls of a model that arrive together, answered by one call on a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Lock
from typing import Generic, TypeVar

_Item = TypeVar("_Item")
_Found = TypeVar("_Found")


class GatheredCalls(Generic[_Item, _Found]):
    """Answers single items by a function of many: those that wait are answered together.

    Args:
        answer: returns the result of each item, in their order. It runs on one thread at a time.
    """

    def __init__(self, answer: Callable[[Sequence[_Item]], Sequence[_Found]]) -> None:
        self._answer = answer
        self._waiting: SimpleQueue[tuple[_Item, asyncio.Future[_Found]]] = SimpleQueue()
        self._busy = Lock()

    async def ask(self, item: _Item) -> _Found:
        """Return the result of an item. Raises what the function raised for the items that it was given."""
        future: asyncio.Future[_Found] = asyncio.get_running_loop().create_future()
        self._waiting.put((item, future))
        await asyncio.sleep(0)  # items of the same turn of the event loop are answered together
        await asyncio.to_thread(self._answer_waiting)
        return await future

    def _answer_waiting(self) -> None:
        """Answer all items that wait; the thread that comes next finds none of them left."""
        with self._busy:
            waiting = [self._waiting.get_nowait() for _ in range(self._waiting.qsize())]
            if not waiting:
                return
            try:
                found = self._answer([item for item, _ in waiting])
            except Exception as error:  # noqa: BLE001  raised again by each of those that wait
                for _, future in waiting:
                    future.get_loop().call_soon_threadsafe(_fail, future, error)
                return
            for result, (_, future) in zip(found, waiting, strict=True):
                future.get_loop().call_soon_threadsafe(_settle, future, result)


def _settle(future: asyncio.Future[_Found], result: _Found) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[_Found], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)

"""The event stream of the page: topics whose last content every page has, however often it reconnects.

A page gets the last content of each topic when it connects, and every later one. So a page that lost its
connection, or a server that was killed and started again, needs no other request to be up to date.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

ALIVE_S = 15.0
"""Seconds of silence after which a comment line shows that the connection is alive."""

Content = dict[str, Any]


class _Page:
    """The messages that a connected page has not got yet; an older one of the same topic is replaced."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[str, Content] = {}
        self._arrived = asyncio.Event()

    def put(self, topic: str, content: Content) -> None:
        """Add a message, from any thread."""
        self._loop.call_soon_threadsafe(self._put, topic, content)

    def _put(self, topic: str, content: Content) -> None:
        self._waiting.pop(topic, None)
        self._waiting[topic] = content
        self._arrived.set()

    async def taken(self) -> dict[str, Content]:
        """Return the messages by topic, after waiting for the first one; none after `ALIVE_S` of silence."""
        try:
            await asyncio.wait_for(self._arrived.wait(), ALIVE_S)
        except TimeoutError:
            return {}
        taken, self._waiting = self._waiting, {}
        self._arrived.clear()
        return taken


class Feed:
    """Publishes the content of topics to all connected pages. Thread-safe.

    A slow page gets the last content of a topic and not those before it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[str, Content] = {}
        self._providers: dict[str, Callable[[], Content]] = {}
        self._pages: list[_Page] = []
        self._opened: list[Callable[[], None]] = []

    def publish(self, topic: str, content: Content) -> None:
        """Send the content of a topic, which replaces the content before."""
        with self._lock:
            self._last[topic] = content
            for page in self._pages:
                page.put(topic, content)

    def provide(self, topic: str, content: Callable[[], Content]) -> None:
        """Call a function for the content of a topic whenever a page connects."""
        with self._lock:
            self._providers[topic] = content

    def when_opened(self, call: Callable[[], None]) -> None:
        """Call a function whenever a page has connected."""
        self._opened.append(call)

    async def messages(self) -> AsyncIterator[str]:
        """Yield the event stream of one page, as text of `text/event-stream`, until it is closed."""
        page = _Page()
        with self._lock:
            provided = list(self._providers.items())
            for topic, content in self._last.items():
                page.put(topic, content)
            self._pages.append(page)
        try:
            for topic, provider in provided:
                page.put(topic, await asyncio.to_thread(provider))
            for call in self._opened:
                call()
            yield "retry: 500\n\n"
            while True:
                taken = await page.taken()
                yield "".join(map(_event, taken.items())) or ": alive\n\n"
        finally:
            with self._lock:
                self._pages.remove(page)


def _event(message: tuple[str, Content]) -> str:
    topic, content = message
    # JSON escapes line breaks, which would end the event.
    return f"data: {json.dumps({'topic': topic, 'content': content})}\n\n"

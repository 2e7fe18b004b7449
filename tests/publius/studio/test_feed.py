"""A page that connects gets the last content of each topic, and then each later one."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from publius.studio.feed import Feed


def messages_of(texts: list[str]) -> list[dict[str, Any]]:
    lines = "".join(texts).splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


def test_new_page_gets_the_last_content_of_each_topic():
    feed = Feed()
    feed.publish("one", {"n": 1})
    feed.publish("one", {"n": 2})
    feed.provide("two", lambda: {"n": 3})

    async def read() -> list[str]:
        stream = feed.messages()
        texts = [await anext(stream)]
        while len(messages_of(texts)) < 2:
            texts.append(await anext(stream))
        feed.publish("one", {"n": 4, "text": "a\n\ndata: b"})
        while len(messages_of(texts)) < 3:
            texts.append(await anext(stream))
        await stream.aclose()  # type: ignore[attr-defined]
        return texts

    found = messages_of(asyncio.run(read()))
    assert {"topic": "one", "content": {"n": 2}} in found
    assert {"topic": "two", "content": {"n": 3}} in found
    assert found[-1] == {"topic": "one", "content": {"n": 4, "text": "a\n\ndata: b"}}


def test_closed_page_gets_nothing_more():
    feed = Feed()

    async def read() -> None:
        stream = feed.messages()
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]

    asyncio.run(read())
    feed.publish("one", {})  # its loop is closed; this would raise

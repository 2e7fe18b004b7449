"""Bodies of requests to a local web server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from core.web.bodies import RejectedBodyError, bounded_body


def received(*messages: dict[str, Any]) -> bytes:
    """The body that a client sends in these messages."""
    left = iter(messages)

    async def receive() -> dict[str, Any]:
        return next(left)

    return asyncio.run(bounded_body(receive, {}, 10, 5.0))


def part(body: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_in_parts_is_whole():
    assert received(part(b"ab", more=True), part(b"c", more=False)) == b"abc"


def test_half_a_body_of_a_client_that_is_gone_is_no_body():
    with pytest.raises(RejectedBodyError, match="disconnected"):
        received(part(b"{}", more=True), {"type": "http.disconnect"})


def test_a_body_over_the_limit_is_refused():
    with pytest.raises(RejectedBodyError) as caught:
        received(part(b"x" * 11, more=True))
    assert caught.value.status == 413

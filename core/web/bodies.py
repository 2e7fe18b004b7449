"""Bodies of requests to an ASGI application, read with limits on size and time, and short JSON responses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Send


class RejectedBodyError(Exception):
    """A body that was not read.

    Args:
        status: the HTTP status of the response.
        reason: what the client is told.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


async def bounded_body(
    receive: Receive, headers: Mapping[bytes, bytes], max_bytes: int, within_s: float
) -> bytes:
    """Return the whole body of a request.

    Args:
        receive: of the ASGI application.
        headers: headers of the request, with names in lower case.
        max_bytes: largest size of the body.
        within_s: seconds to wait for it; a client that sends half of one would hold its connection for ever.

    Raises:
        RejectedBodyError: if the body is larger or slower, or the client disconnected.
    """
    try:
        async with asyncio.timeout(within_s):
            body = await _whole_body(receive, headers, max_bytes)
    except TimeoutError:
        reason = f"the request was not complete after {within_s:g} seconds"
        raise RejectedBodyError(408, reason) from None
    if body is None:
        raise RejectedBodyError(413, f"the request is larger than {max_bytes:,} bytes")
    return body


async def _whole_body(receive: Receive, headers: Mapping[bytes, bytes], max_bytes: int) -> bytes | None:
    """Return the whole body, or None as soon as it exceeds the limit."""
    announced = headers.get(b"content-length", b"0")
    if not announced.isdigit() or int(announced) > max_bytes:
        return None
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RejectedBodyError(400, "the client disconnected before the request was complete")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > max_bytes:
            return None
    return bytes(body)


def replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` function that first returns the body already read, then forwards to `receive`."""
    unread = True

    async def replayed() -> Message:
        nonlocal unread
        if unread:
            unread = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replayed


async def respond(send: Send, status: int, content: object, *more: tuple[bytes, bytes]) -> None:
    """Send a response with JSON content. After a body that was not read, the connection is closed."""
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *more]
    if status == 408:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

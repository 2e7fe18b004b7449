"""ASGI middleware that validates every request before it is read, and sets security headers."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from labelers.page.hosts import Hosts

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 65_536
"""Twice the size of a request with the longest comment, 4,000 characters."""
BODY_S = 10.0
"""Seconds to wait for a whole body; a client that sends half of one would hold its connection for ever."""
OWN_HEADER = b"x-publius"
"""CSRF protection: a form on another site cannot send this header; a script there needs a CORS preflight."""

_HEADERS = {
    b"content-security-policy": b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    b"require-trusted-types-for 'script'; trusted-types 'none'",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
}


class Guard:
    """Reject foreign hosts, foreign origins and large bodies before anything else runs."""

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request to the application, or respond with the reason for rejecting it."""
        if scope["type"] != "http":
            return  # the application uses neither lifespan events nor web sockets

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS.items()]
            await send(message)

        headers = dict(scope["headers"])
        refusal = self._refusal(scope["method"], headers)
        if refusal is not None:
            await _refuse(send_guarded, 403, refusal)
            return
        try:
            async with asyncio.timeout(BODY_S):
                body = await _read_body(receive, headers)
        except TimeoutError:
            reason = f"the request was not complete after {BODY_S:g} seconds"
            await _refuse(send_guarded, 408, reason, (b"connection", b"close"))
            return
        if body is None:
            await _refuse(send_guarded, 413, f"the request is larger than {MAX_BODY_BYTES:,} bytes")
            return
        await self._app(scope, _replay(body, receive), send_guarded)

    def _refusal(self, method: str, headers: dict[bytes, bytes]) -> str | None:
        host = headers.get(b"host", b"").decode("latin-1")
        if not self._hosts.accepts(host):
            return f"unknown host name {host!r}; start the server with --allow-host to accept it"
        if method in ("GET", "HEAD"):
            return None
        origin = headers.get(b"origin", b"").decode("latin-1").lower()
        if origin not in (f"http://{host.lower()}", f"https://{host.lower()}"):
            return "the request comes from another site"
        if OWN_HEADER not in headers:
            return "the request does not come from the page (no X-Publius header)"
        return None


async def _read_body(receive: Receive, headers: dict[bytes, bytes]) -> bytes | None:
    """Return the whole body, or None as soon as it exceeds the limit."""
    announced = headers.get(b"content-length", b"0")
    if not announced.isdigit() or int(announced) > MAX_BODY_BYTES:
        return None
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY_BYTES:
            return None
    return body


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` function that first returns the body already read, then forwards to `receive`."""
    unread = True

    async def replay() -> Message:
        nonlocal unread
        if unread:
            unread = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replay


async def _refuse(send: Send, status: int, reason: str, *more: tuple[bytes, bytes]) -> None:
    body = json.dumps({"error": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

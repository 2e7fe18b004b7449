"""ASGI middleware that validates every request before it is read, and sets security headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.web.bodies import RejectedBodyError, bounded_body, replay, respond
from core.web.hosts import Hosts

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 65_536
"""Twice the size of a request with the longest comment, 4,000 characters."""
BODY_S = 10.0
"""Seconds to wait for a whole body."""
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
    """Reject foreign hosts, foreign origins and large bodies before anything else runs.

    Args:
        app: the application. A header that it sets itself, such as a stricter policy, is kept.
        hosts: accepted values of the Host header.
        max_body_bytes: size of the largest request.
    """

    def __init__(self, app: ASGIApp, hosts: Hosts, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self._app, self._hosts, self._max_body_bytes = app, hosts, max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request to the application, or respond with the reason for rejecting it."""
        if scope["type"] != "http":
            return  # the application uses neither lifespan events nor web sockets

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in message["headers"]}
                more = (header for header in _HEADERS.items() if header[0] not in own)
                message["headers"] = [*message["headers"], *more]
            await send(message)

        headers = dict(scope["headers"])
        refusal = self._refusal(scope["method"], headers)
        if refusal is not None:
            await respond(send_guarded, 403, {"error": refusal})
            return
        try:
            body = await bounded_body(receive, headers, self._max_body_bytes, BODY_S)
        except RejectedBodyError as error:
            await respond(send_guarded, error.status, {"error": error.reason})
            return
        await self._app(scope, replay(body, receive), send_guarded)

    def _refusal(self, method: str, headers: dict[bytes, bytes]) -> str | None:
        host = headers.get(b"host", b"").decode("latin-1")
        if not self._hosts.accepts(host):
            return f"unknown host name {host!r}; start the server with --allow-host to accept it"
        origin = headers.get(b"origin", b"").decode("latin-1").lower()
        if method in ("GET", "HEAD") and not origin:
            return None  # browsers send none with a request of the page itself
        if origin not in (f"http://{host.lower()}", f"https://{host.lower()}"):
            return "the request comes from another site"
        if method not in ("GET", "HEAD") and OWN_HEADER not in headers:
            return "the request does not come from the page (no X-Publius header)"
        return None

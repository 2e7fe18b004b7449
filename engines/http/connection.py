"""The HTTP client of one event loop, and what its errors say about the server."""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncGenerator, Iterator
from typing import Any
from urllib.request import getproxies, proxy_bypass

from core.errors import on_one_line
from core.lazy import require
from engines.endpoint.settings import Timeouts
from engines.http.faults import TryFailedError, shortened

EXTRA = "http"
_IDLE_S = 4.0
"""Seconds after which an unused connection is closed, before the server does that (uvicorn after 5 s): a
request on a connection that is being closed is lost."""


async def open_client(concurrency: int, timeouts: Timeouts) -> AsyncGenerator[Any, None]:
    """Yield an HTTP client with proxies and certificates from the usual environment variables.

    An asynchronous generator, because an event loop that ends closes those that were begun in it: connections
    are closed with `asyncio.run`, which ends before anybody could await `aclose`.
    """
    httpx2 = require("httpx2", EXTRA)
    client = httpx2.AsyncClient(
        headers={"User-Agent": "publius", "Content-Type": "application/json", "Accept": "application/json"},
        timeout=httpx2.Timeout(timeouts.read, connect=timeouts.connect, pool=None),
        limits=httpx2.Limits(
            max_connections=None, max_keepalive_connections=concurrency, keepalive_expiry=_IDLE_S
        ),
        follow_redirects=False,
    )
    try:
        yield client
    finally:
        await client.aclose()


def same_origin(one: Any, other: Any) -> bool:
    """Return True if two addresses have the same scheme, host and port."""
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


def connection_fault(error: Exception, url: str, timeouts: Timeouts) -> TryFailedError:
    """Return what an error of the HTTP client means for one try.

    Args:
        error: an `httpx2.HTTPError`.
        url: the server's address.
        timeouts: the time limits.
    """
    httpx2 = require("httpx2", EXTRA)
    if isinstance(error, httpx2.ConnectTimeout):
        detail = f"engine.timeouts.connect is {timeouts.connect:g} s{_by_proxy(url)}"
        return TryFailedError("no connection in time", detail, "unreachable")
    if isinstance(error, httpx2.TimeoutException):
        return TryFailedError("timed out", f"engine.timeouts.read is {timeouts.read:g} s")
    if isinstance(error, httpx2.ConnectError | httpx2.ProxyError | httpx2.UnsupportedProtocol):
        return TryFailedError("no connection", f"{_cause(error)}{_by_proxy(url)}", "unreachable")
    if isinstance(error, httpx2.DecodingError):
        return TryFailedError("response cannot be decompressed", _cause(error))
    return TryFailedError("connection lost", _cause(error))


def _cause(error: BaseException) -> str:
    """Return the reason of the operating system or of TLS, which the client's own message lacks."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"{cause.verify_message}; SSL_CERT_FILE names a file of trusted certificates"
        if isinstance(cause, ssl.SSLError):
            return f"TLS: {cause.reason or on_one_line(cause)}"
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno) if cause.errno > 0 else str(cause.strerror)
    return shortened(str(error)) or type(error).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions that led to an error, the first one last seen, those of a group too."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        waiting += [current.__context__, current.__cause__]
        if isinstance(current, BaseExceptionGroup):
            waiting += reversed(current.exceptions)


def _by_proxy(url: str) -> str:
    """Return which proxy of the environment the request went through, if any."""
    scheme, _, rest = url.partition("://")
    host = rest.partition("/")[0]
    proxies = getproxies()
    name = next((name for name in (scheme, "all") if proxies.get(name)), None)
    if name is None or proxy_bypass(host):
        return ""
    return f", through the proxy in {name.upper()}_PROXY; NO_PROXY={host} avoids it"

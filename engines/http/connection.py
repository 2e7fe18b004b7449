"""The HTTP client of one event loop, and what its errors say about the server."""

from __future__ import annotations

import functools
import os
import ssl
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from typing import Any
from urllib.request import getproxies, proxy_bypass

from core.errors import ConfigError, on_one_line
from core.lazy import require
from engines.endpoint.credentials import Credentials
from engines.endpoint.settings import Timeouts
from engines.http.bodies import read_body
from engines.http.faults import TryFailedError, shortened

EXTRA = "http"
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_REDIRECTS = 3
_IDLE_S = 4.0
"""Seconds after which an unused connection is closed, before the server does that (uvicorn after 5 s): a
request on a connection that is being closed is lost."""


def open_client(concurrency: int, timeouts: Timeouts) -> Callable[[], AsyncGenerator[Any, None]]:
    """Return a function that opens an HTTP client, with what the usual environment variables say.

    It returns an asynchronous generator, which yields the client: an event loop that ends closes those that
    were begun in it, so connections are closed with `asyncio.run`, which ends before anybody could await
    `aclose`. It raises ConfigError if no client can be built with these variables.
    """
    return functools.partial(_opened, concurrency, timeouts)


async def _opened(concurrency: int, timeouts: Timeouts) -> AsyncGenerator[Any, None]:
    httpx2 = require("httpx2", EXTRA)
    try:
        client = _client(httpx2, concurrency, timeouts)
    except (OSError, ImportError, ValueError, httpx2.InvalidURL) as error:
        raise _environment_error(error) from None
    try:
        yield client
    finally:
        await client.aclose()


def address(url: str, path: str) -> Any:
    """Return the address of a route as the client's `URL`.

    Raises:
        ConfigError: if the host has a name that cannot be looked up.
    """
    httpx2 = require("httpx2", EXTRA)
    try:
        return httpx2.URL(f"{url}/{path.lstrip('/')}")
    except (httpx2.InvalidURL, ValueError):
        raise ConfigError(
            "the host in the address is not a valid name",
            where=url,
            accepted="an engine.url with a name of letters, digits and hyphens, or an IP address",
        ) from None


async def exchange(
    client: Any, url: Any, content: bytes | None, headers: Mapping[str, str]
) -> tuple[Any, bytes]:
    """Return a response and its body; follow a redirection only if it stays at the server.

    Args:
        client: the HTTP client.
        url: address of the route.
        content: body of a POST request; None for a GET request.
        headers: headers with the key.
    """
    method = "GET" if content is None else "POST"
    for left in reversed(range(_REDIRECTS)):
        request = client.build_request(method, url, content=content, headers=headers)
        response = await client.send(request, stream=True)
        try:
            next_one = response.next_request
            followed = response.status_code in (307, 308) and next_one is not None and left > 0
            if not (followed and _same_origin(next_one.url, url)):
                return response, await read_body(response)
            url = next_one.url
        finally:
            await response.aclose()
    raise AssertionError("the last response is returned")


def _same_origin(one: Any, other: Any) -> bool:
    """Return True if two addresses have the same scheme, host and port."""
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


@functools.lru_cache(maxsize=8)
def _trusted(httpx2: Any, *variables: str | None) -> ssl.SSLContext:
    """Return the trusted certificates of the environment; reading them takes 30 ms of CPU time."""
    context: ssl.SSLContext = httpx2.create_ssl_context()
    return context


def _client(httpx2: Any, concurrency: int, timeouts: Timeouts) -> Any:
    return httpx2.AsyncClient(
        verify=_trusted(httpx2, *map(os.environ.get, _CERTIFICATES)),
        headers={"User-Agent": "publius", "Content-Type": "application/json", "Accept": "application/json"},
        timeout=httpx2.Timeout(timeouts.read, connect=timeouts.connect, pool=None),
        limits=httpx2.Limits(
            max_connections=None, max_keepalive_connections=concurrency, keepalive_expiry=_IDLE_S
        ),
        follow_redirects=False,
    )


def _environment_error(error: Exception) -> ConfigError:
    """Return which variable allows no client. Its value is not shown, which may hold a password."""
    if isinstance(error, OSError):
        name = next((name for name in _CERTIFICATES if os.environ.get(name)), "the default certificates")
        return ConfigError(
            f"the trusted certificates cannot be read: {_reason(error)}",
            where=name,
            accepted="a file of certificates in PEM form (SSL_CERT_FILE), or a folder of them (SSL_CERT_DIR)",
        )
    proxies = getproxies()
    names = [f"{scheme.upper()}_PROXY" for scheme in ("http", "https", "all") if proxies.get(scheme)]
    is_socks = isinstance(error, ImportError)
    return ConfigError(
        "a SOCKS proxy needs the package socksio" if is_socks else "the proxy's address is not valid",
        where=" or ".join(names) or "the proxy of this system",
        accepted="http://HOST:PORT, or no proxy",
        run="pip install socksio" if is_socks else None,
    )


def connection_fault(
    error: Exception, url: str, timeouts: Timeouts, credentials: Credentials
) -> TryFailedError:
    """Return what an error of the HTTP client means for one try.

    Args:
        error: an `httpx2.HTTPError`, or an error of the operating system.
        url: the server's address.
        timeouts: the time limits.
        credentials: the key, which a response that is not HTTP may repeat.
    """
    httpx2 = require("httpx2", EXTRA)
    if isinstance(error, httpx2.ConnectTimeout):
        detail = f"engine.timeouts.connect is {timeouts.connect:g} s{_by_proxy(url)}"
        return TryFailedError("no connection in time", detail, "unreachable")
    if isinstance(error, httpx2.TimeoutException):
        return TryFailedError("timed out", f"engine.timeouts.read is {timeouts.read:g} s")
    cause = _cause(error, credentials)
    if isinstance(error, UnicodeError):  # the lookup of a name that no server can have
        return TryFailedError("no connection", "the host's name is not valid", "unreachable")
    if isinstance(error, httpx2.ConnectError | httpx2.ProxyError | httpx2.UnsupportedProtocol):
        return TryFailedError("no connection", f"{cause}{_by_proxy(url)}", "unreachable")
    if isinstance(error, httpx2.DecodingError):
        return TryFailedError("response cannot be decompressed", cause)
    return TryFailedError("connection lost", cause)


def _cause(error: BaseException, credentials: Credentials) -> str:
    """Return the reason of the operating system or of TLS, which the client's own message lacks."""
    for cause in _causes(error):
        if isinstance(cause, OSError) and (cause.errno or isinstance(cause, ssl.SSLError)):
            return shortened(credentials.mask(_reason(cause)))
    # The message of a response that is not HTTP quotes it.
    return shortened(credentials.mask(str(error))) or type(error).__name__


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{error.verify_message}; SSL_CERT_FILE names a file of trusted certificates"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or on_one_line(error)}"
    if error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or on_one_line(error)


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

"""ASGI middleware of the API: accepted hosts, the token, and bounded JSON bodies. It sends no CORS headers.

A page of another site can neither read a response nor send JSON: a browser asks first (CORS preflight), and
is refused. The Host header is checked against DNS rebinding (`core.web.hosts`).
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core.errors import ConfigError
from core.web.bodies import RejectedBodyError, bounded_body, replay, respond
from core.web.hosts import Hosts, is_loopback

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

MAX_REQUEST_BYTES = 8 * 2**20
"""Largest request: a prompt of two million tokens."""
REQUEST_S = 30.0
"""Seconds to wait for a whole body."""
TOKEN_VARIABLE = "PUBLIUS_SERVE_TOKEN"
"""Environment variable of the token."""
OPEN_PATHS = ("/health",)
"""Paths that need no token."""

_TOKEN = re.compile(r"[\x21-\x7e]{16,256}")


@dataclass(frozen=True)
class Bearer:
    """The secret that clients send as `Authorization: Bearer TOKEN`."""

    token: str | None = field(repr=False)
    """None if every client on this machine may ask."""
    is_new: bool = False
    """True if it was generated now, so that the user has to be told."""

    def accepts(self, header: str) -> bool:
        """Return whether an Authorization header has the token, compared in constant time."""
        if self.token is None:
            return True
        scheme, _, given = header.partition(" ")
        same = hmac.compare_digest(given.strip().encode("utf-8", "surrogatepass"), self.token.encode())
        return same and scheme.lower() == "bearer"


def choose_token(host: str, variable: str, *, wanted: bool, environment: Mapping[str, str]) -> Bearer:
    """Return the token of the server: that of the environment, else a new one.

    Args:
        host: the address to listen on.
        variable: name of the environment variable.
        wanted: False for no token at all.
        environment: environment variables.

    Raises:
        ConfigError: if there is no token on an address that other machines reach, or it is no secret.
    """
    if not wanted:
        if not is_loopback(host):
            raise ConfigError(
                f"{host} can be reached from other machines",
                where="--no-token",
                accepted="--host 127.0.0.1, or a token",
            )
        return Bearer(None)
    token = environment.get(variable)
    if token is None:
        return Bearer(secrets.token_urlsafe(24), is_new=True)
    if not _TOKEN.fullmatch(token):
        raise ConfigError(
            f"a token of {len(token)} characters",
            where=f"environment variable {variable}",
            accepted="16 to 256 printable ASCII characters without spaces",
        )
    return Bearer(token)


def token_of_environment(host: str, variable: str | None, *, wanted: bool) -> Bearer:
    """Return the token as `choose_token` does from this process's environment.

    Raises:
        ConfigError: as `choose_token`, or if a variable was named that is not set.
    """
    if variable is not None and wanted and variable not in os.environ:
        raise ConfigError(
            f"the environment variable {variable} is not set",
            where="--token-env",
            accepted="the name of a variable that holds the token",
        )
    return choose_token(host, variable or TOKEN_VARIABLE, wanted=wanted, environment=os.environ)


class ApiGuard:
    """Reject what does not come from a client with the token, before anything else runs.

    Args:
        app: the application.
        hosts: accepted values of the Host header.
        bearer: the token.
    """

    def __init__(self, app: ASGIApp, hosts: Hosts, bearer: Bearer) -> None:
        self._app, self._hosts, self._bearer = app, hosts, bearer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request to the application, or respond with the reason for rejecting it."""
        if scope["type"] != "http":
            return  # the application uses neither lifespan events nor web sockets
        headers = dict(scope["headers"])
        refusal = self._refusal(scope["method"], scope["path"], headers)
        if refusal is not None:
            status, reason = refusal
            more = ((b"www-authenticate", b"Bearer"),) if status == 401 else ()
            await respond(send, status, api_error(status, reason), *more)
            return
        try:
            body = await bounded_body(receive, headers, MAX_REQUEST_BYTES, REQUEST_S)
        except RejectedBodyError as error:
            await respond(send, error.status, api_error(error.status, error.reason))
            return
        await self._app(scope, replay(body, receive), send)

    def _refusal(self, method: str, path: str, headers: dict[bytes, bytes]) -> tuple[int, str] | None:
        """Return status and reason if the request is refused."""
        host = headers.get(b"host", b"").decode("latin-1")
        if not self._hosts.accepts(host):
            return 403, f"unknown host name {host!r}; start the server with --allow-host to accept it"
        origin = headers.get(b"origin", b"").decode("latin-1").lower()
        if origin and origin not in (f"http://{host.lower()}", f"https://{host.lower()}"):
            return 403, "the request comes from a page of another site"
        authorization = headers.get(b"authorization", b"").decode("latin-1")
        if path not in OPEN_PATHS and not self._bearer.accepts(authorization):
            return 401, "no valid token; send the header Authorization: Bearer TOKEN with the server's token"
        kind = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
        if method not in ("GET", "HEAD") and kind != "application/json":
            return 415, f"the content type is {kind!r}; it must be application/json"
        return None


def api_error(status: int, message: str, param: str | None = None) -> dict[str, object]:
    """Return the body of an error response in OpenAI's form."""
    kinds = {401: "authentication_error", 403: "permission_error", 404: "not_found_error"}
    kind = kinds.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": status}}

"""Listen and serve; the only module that uses uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from core.errors import ConfigError, shell_command
from core.lazy import require
from core.terminal.interrupts import stopped_by

if TYPE_CHECKING:
    from starlette.types import ASGIApp
    from uvicorn import Server

_LOOK_S = 0.5
_GRACEFUL_S = 0.25
"""Seconds that requests may take to end when the server stops; browsers repeat what was not acknowledged."""
_HEAD_S = 10.0
"""Seconds that a client has for the head of a request; half of one would hold its connection for ever."""


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address of this machine; port 0 selects a free port.

    Raises:
        ConfigError: if the address is not one of this machine, or the port is in use or reserved.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(
            f"cannot resolve the address: {error.strerror or error}",
            where=f"--host {host}",
            accepted="an address of this machine, such as 127.0.0.1",
        ) from error
    try:
        # Allows a restart on the same port while old connections are still in TIME_WAIT.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise _not_bound(error, host, port) from error
    return listening


def _not_bound(error: OSError, host: str, port: int) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        return ConfigError(
            "the port is already in use",
            where=f"--port {port}",
            accepted="another port, or 0 for a free one",
            run=shell_command("ss", "-ltnp", f"sport = :{port}"),
        )
    if error.errno == errno.EADDRNOTAVAIL:
        what, accepted = "this machine has no such address", "an address of this machine, such as 127.0.0.1"
        return ConfigError(what, where=f"--host {host}", accepted=accepted)
    return ConfigError(
        f"cannot listen on this address and port: {error.strerror}",
        where=f"--host {host} --port {port}",
        accepted="a port from 1024 to 65535",
    )


def serve(
    app: ASGIApp,
    listening: socket.socket,
    extra: str,
    is_done: Callable[[], bool] = lambda: False,
    grace_s: float = 0.0,
) -> None:
    """Serve requests until the user interrupts or the work is done.

    Args:
        app: the application.
        listening: the socket from `listen`.
        extra: the optional extra that installs uvicorn.
        is_done: returns whether the work is done.
        grace_s: seconds for which `is_done` must hold before serving ends, since an annotator may undo.
    """
    uvicorn = require("uvicorn", extra)
    protocol = _protocol_with_time_out(extra)
    config = uvicorn.Config(
        app,
        http=protocol,
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACEFUL_S,
    )
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # signals are handled here

    def stop() -> None:
        # It reports each request that it ends.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        server.should_exit = True

    threading.Thread(target=_end_when_done, args=(server, is_done, grace_s), daemon=True).start()
    try:
        # Ctrl-C is the normal way to stop the server.
        with contextlib.suppress(KeyboardInterrupt), stopped_by(stop):
            server.run(sockets=[listening])
    finally:
        server.should_exit = True
        listening.close()


def _protocol_with_time_out(extra: str) -> type[asyncio.Protocol]:
    """Return uvicorn's HTTP protocol, with a limit on the time that the head of a request may take."""
    base: Any = require("uvicorn.protocols.http.h11_impl", extra).H11Protocol

    class TimedProtocol(base):  # type: ignore[misc]  # the class is untyped here
        timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self.timer = self.loop.call_later(_HEAD_S, self.close_if_waiting)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.timer is None:
                self.timer = self.loop.call_later(_HEAD_S, self.close_if_waiting)
            if self.is_answering():
                self.timer.cancel()
                self.timer = None

        def connection_lost(self, exc: Exception | None) -> None:
            if self.timer is not None:
                self.timer.cancel()
            super().connection_lost(exc)

        def is_answering(self) -> bool:
            return self.cycle is not None and not self.cycle.response_complete

        def close_if_waiting(self) -> None:
            self.timer = None
            if not self.is_answering():
                self.transport.close()

    return TimedProtocol


def _end_when_done(server: Server, is_done: Callable[[], bool], grace_s: float) -> None:
    since: float | None = None
    while not server.should_exit:
        since = (since or time.monotonic()) if is_done() else None
        if since is not None and time.monotonic() - since >= grace_s:
            server.should_exit = True
            return
        time.sleep(_LOOK_S)

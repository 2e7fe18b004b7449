"""Listening and serving: the only place that knows uvicorn."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from core.errors import ConfigError
from core.lazy import require

if TYPE_CHECKING:
    from starlette.types import ASGIApp
    from uvicorn import Server

ANNOTATE_EXTRA = "annotate"
_LOOK_S = 0.5


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address of this machine; port 0 takes a free one.

    Raises:
        ConfigError: the address is not one of this machine, or the port is taken or reserved.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(
            f"no address is called so: {error.strerror or error}",
            where=f"--host {host}",
            accepted="an address of this machine, such as 127.0.0.1",
        ) from error
    try:
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
            "another program listens there",
            where=f"--port {port}",
            accepted="another port, or 0 for a free one",
            run=f"ss -ltnp 'sport = :{port}'",
        )
    if error.errno == errno.EADDRNOTAVAIL:
        what, accepted = "this machine has no such address", "an address of this machine, such as 127.0.0.1"
        return ConfigError(what, where=f"--host {host}", accepted=accepted)
    return ConfigError(
        f"cannot listen there: {error.strerror}",
        where=f"--host {host} --port {port}",
        accepted="a port from 1024 to 65535",
    )


def serve(app: ASGIApp, listening: socket.socket, is_done: Callable[[], bool], grace_s: float) -> None:
    """Answer requests until the user interrupts, or until all is done.

    Args:
        app: what answers.
        listening: from `listen`.
        is_done: whether the work has come to its end.
        grace_s: for how many seconds that must be so before serving ends: somebody may take an answer back.
    """
    uvicorn = require("uvicorn", ANNOTATE_EXTRA)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    threading.Thread(target=_end_when_done, args=(server, is_done, grace_s), daemon=True).start()
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:
        pass  # the way to end it
    finally:
        server.should_exit = True
        listening.close()


def _end_when_done(server: Server, is_done: Callable[[], bool], grace_s: float) -> None:
    since: float | None = None
    while not server.should_exit:
        since = (since or time.monotonic()) if is_done() else None
        if since is not None and time.monotonic() - since >= grace_s:
            server.should_exit = True
            return
        time.sleep(_LOOK_S)

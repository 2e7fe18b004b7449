"""Listen and serve; the only module that uses uvicorn."""

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
            run=f"ss -ltnp 'sport = :{port}'",
        )
    if error.errno == errno.EADDRNOTAVAIL:
        what, accepted = "this machine has no such address", "an address of this machine, such as 127.0.0.1"
        return ConfigError(what, where=f"--host {host}", accepted=accepted)
    return ConfigError(
        f"cannot listen on this address and port: {error.strerror}",
        where=f"--host {host} --port {port}",
        accepted="a port from 1024 to 65535",
    )


def serve(app: ASGIApp, listening: socket.socket, is_done: Callable[[], bool], grace_s: float) -> None:
    """Serve requests until the user interrupts or the work is done.

    Args:
        app: the application.
        listening: the socket from `listen`.
        is_done: returns whether the work is done.
        grace_s: seconds for which `is_done` must hold before serving ends, since an annotator may undo.
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
        pass  # Ctrl-C is the normal way to stop the server
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

"""A client that sends half a request does not keep its connection."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import core.web.server
import labelers.page.guard
from core.web.hosts import Hosts
from labelers.page.guard import Guard

pytest.importorskip("uvicorn", reason="the extra 'annotate' is not installed")


async def answer(scope, receive, send):
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@contextmanager
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    monkeypatch.setattr(labelers.page.guard, "BODY_S", 0.2)
    monkeypatch.setattr(core.web.server, "_HEAD_S", 0.2)
    listening = core.web.server.listen("127.0.0.1", 0)
    address = listening.getsockname()
    done = threading.Event()
    monkeypatch.setattr(core.web.server, "_LOOK_S", 0.05)
    app = Guard(answer, Hosts.of("127.0.0.1"))
    thread = threading.Thread(target=core.web.server.serve, args=(app, listening, "annotate", done.is_set))
    thread.start()
    try:
        yield address
    finally:
        done.set()
        thread.join()


def received(address: tuple[str, int], sent: bytes) -> bytes:
    """Return all that comes back until the server closes the connection."""
    with socket.create_connection(address, timeout=10) as client:
        client.sendall(sent)
        parts = []
        while part := client.recv(4096):
            parts.append(part)
    return b"".join(parts)


def test_half_a_request_is_given_up(monkeypatch: pytest.MonkeyPatch):
    with served(monkeypatch) as address:
        host = f"Host: 127.0.0.1:{address[1]}\r\n".encode()
        origin = f"Origin: http://127.0.0.1:{address[1]}\r\nX-Publius: 1\r\n".encode()
        head = b"POST /api/decide HTTP/1.1\r\n" + host + origin + b"Content-Length: 100\r\n\r\n"
        assert received(address, head + b"half").startswith(b"HTTP/1.1 408")
        assert received(address, b"GET / HT") == b""
        assert received(address, b"") == b""
        whole = b"GET / HTTP/1.1\r\n" + host + b"\r\n"
        assert received(address, whole + b"GET / HT").startswith(b"HTTP/1.1 200")


def test_a_whole_request_passes(monkeypatch: pytest.MonkeyPatch):
    with served(monkeypatch) as address:
        request = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{address[1]}\r\nConnection: close\r\n\r\n"
        assert received(address, request.encode()).endswith(b"ok")

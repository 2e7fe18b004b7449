"""The API on a free port of this machine, in a thread of the test, and a plain client for it."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

import core.web.server
from core.web.hosts import Hosts
from engines.protocols import Engine
from publius.serving.guard import Bearer

TOKEN = "a-token-of-this-test"


@dataclass(frozen=True)
class Client:
    """Sends requests with the token."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def send(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str | None] = {}
    ) -> tuple[int, str, Mapping[str, str]]:
        """Return status, text and headers of a response; a header of None is not sent."""
        given = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", **headers}
        sent = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        try:
            connection.request(
                method, path, sent, {name: value for name, value in given.items() if value is not None}
            )
            response = connection.getresponse()
            return response.status, response.read().decode(), dict(response.getheaders())
        finally:
            connection.close()

    def post(self, path: str, body: object) -> tuple[int, Any]:
        """Return status and JSON of a response."""
        status, text, _ = self.send("POST", path, body)
        return status, json.loads(text)

    def get(self, path: str) -> tuple[int, Any]:
        """Return status and JSON of a response."""
        status, text, _ = self.send("GET", path)
        return status, json.loads(text)


@contextmanager
def served(engines: Mapping[str, Engine], deciders: Mapping[str, Any] | None = None) -> Iterator[Client]:
    """Serve engines, whose decisions they answer themselves if no deciders are given."""
    pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
    from publius.serving.app import Service, build_api
    from publius.serving.deciding import EngineDecider

    if deciders is None:
        deciders = {name: EngineDecider(engine) for name, engine in engines.items()}
    app = build_api(Service(engines, deciders), Hosts.of("127.0.0.1"), Bearer(TOKEN))
    listening = core.web.server.listen("127.0.0.1", 0)
    port, done = listening.getsockname()[1], threading.Event()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(core.web.server, "_LOOK_S", 0.02)
        thread = threading.Thread(target=core.web.server.serve, args=(app, listening, "serve", done.is_set))
        thread.start()
        try:
            yield Client(port)
        finally:
            done.set()
            thread.join()

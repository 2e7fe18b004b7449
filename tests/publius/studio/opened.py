"""The real command in a process of its own, a plain client for it, and a bench without a page."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

REPOSITORY = Path(__file__).parents[3]
TOO_SMALL_TO_TOUCH = """() => [...document.querySelectorAll('button, input, select, textarea, summary')]
    .filter((one) => one.checkVisibility() && !one.closest('.cm-editor'))
    .filter((one) => {
        const { width, height } = (one.closest('label') ?? one).getBoundingClientRect()
        return Math.min(width, height) < 24
    })
    .map((one) => one.outerHTML.slice(0, 120))"""
"""A function of a page: its controls that are less than 24 pixels wide or high, with their labels."""
PATIENCE_S = 600.0
_PROGRAM = "import sys; sys.argv[0] = 'publius'; from publius.cli import main; main()"


class OpenedStudio:
    """A running `publius studio`."""

    def __init__(self, project: Path, *options: object) -> None:
        command = [sys.executable, "-c", _PROGRAM, "studio", str(project), "--json", *map(str, options)]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read() if self.process.stderr else ""
        self.url: str = json.loads(line)["url"]
        self.port = urlsplit(self.url).port or 0
        self.token = urlsplit(self.url).fragment

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def studio_on(project: Path, *options: object) -> Iterator[OpenedStudio]:
    """A running command that is killed at the latest when the block ends."""
    opened = OpenedStudio(project, *(options or ("--port", 0)))
    try:
        yield opened
    finally:
        if opened.process.poll() is None:
            opened.kill()


class Client:
    """A signed-in client of a studio's server."""

    def __init__(self, studio: OpenedStudio) -> None:
        self.port, self.cookie = studio.port, ""
        _, _, headers = self.send("/api/enter", {"token": studio.token})
        self.cookie = (headers["set-cookie"] or "").partition(";")[0]

    def send(
        self, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, Any]:
        """Return status, JSON and headers of the response; with a body the request is a POST."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        sent = {"Cookie": self.cookie}
        if body is not None:
            sent |= {"Origin": f"http://127.0.0.1:{self.port}", "X-Publius": "1"}
            sent["Content-Type"] = "application/json"
        try:
            method = "GET" if body is None else "POST"
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, sent | (headers or {}))
            response = connection.getresponse()
            content = response.read()
            kind = response.headers.get_content_type()
            return (
                response.status,
                json.loads(content) if kind == "application/json" else content,
                response.headers,
            )
        finally:
            connection.close()


class Shown:
    """What a studio publishes, and a way to wait for it."""

    def __init__(self) -> None:
        self.topics: dict[str, dict[str, Any]] = {}
        self._arrived = threading.Condition()

    def __call__(self, topic: str, content: dict[str, Any]) -> None:
        with self._arrived:
            self.topics[topic] = content
            self._arrived.notify_all()

    def wait(self, topic: str, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the content of a topic once it fits."""
        with self._arrived:
            found = self._arrived.wait_for(
                lambda: topic in self.topics and fits(self.topics[topic]), PATIENCE_S
            )
            assert found, self.topics.get(topic)
            return self.topics[topic]

    def settled(self) -> dict[str, Any]:
        """Return the bench once nothing is under way on it."""
        return self.wait("bench", is_settled)


def is_settled(bench: dict[str, Any]) -> bool:
    """Return whether all cards have their answers and labels."""
    return not bench["busy"] and all(card["state"] in ("done", "failed") for card in bench["cards"])

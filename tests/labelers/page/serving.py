"""The real command in a process of its own, and a plain client for it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

REPOSITORY = Path(__file__).parents[3]
_PROGRAM = "import sys; sys.argv[0] = 'publius'; from publius.cli import main; main()"


class Served:
    """A running `publius annotate`."""

    def __init__(self, folder: Path, *options: object) -> None:
        command = [sys.executable, "-c", _PROGRAM, "annotate", str(folder), "--json", *map(str, options)]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read() if self.process.stderr else ""
        self.links: dict[str, Any] = json.loads(line)

    @property
    def port(self) -> int:
        return urlsplit(self.links["people"]).port or 0

    @property
    def token(self) -> str:
        return urlsplit(self.links["people"]).fragment

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.communicate()

    def interrupt(self) -> tuple[dict[str, Any], str]:
        """End it as a user does; return what it printed last, and what went to standard error."""
        self.process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self) -> tuple[dict[str, Any], str]:
        """Wait until it ends by itself; return as `interrupt` does."""
        out, err = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, err
        return json.loads(out.splitlines()[-1]), err


@contextlib.contextmanager
def serving(folder: Path, *options: object) -> Iterator[Served]:
    """A running command that is killed at the latest when the block ends."""
    served = Served(folder, *options)
    try:
        yield served
    finally:
        if served.process.poll() is None:
            served.kill()


class Person:
    """An annotator who decides by plain HTTP, and repeats requests without a response."""

    def __init__(self, name: str, served: Served) -> None:
        self.name, self.port, self._cookie = name, served.port, ""
        entry = {"token": served.token, "annotator": name}
        _, headers = self._send("/api/enter", entry)
        self._cookie = (headers["set-cookie"] or "").partition(";")[0]

    def view(self) -> dict[str, Any]:
        return self._send("/api/view")[0]

    def decide(self, body: dict[str, Any]) -> dict[str, Any]:
        return self._send("/api/decide", body)[0]

    def undo(self, judgment_id: str) -> dict[str, Any]:
        return self._send("/api/undo", {"judgment": judgment_id})[0]

    def _send(self, path: str, body: dict[str, Any] | None = None) -> tuple[dict[str, Any], Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Origin": f"http://127.0.0.1:{self.port}", "X-Publius": "1", "Cookie": self._cookie}
        try:
            if body is None:
                connection.request("GET", path, headers=headers)
            else:
                headers["Content-Type"] = "application/json"
                connection.request("POST", path, json.dumps(body), headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
            assert response.status == 200, (response.status, answer)
            return answer, response.headers
        finally:
            connection.close()


def write_folder(folder: Path, comparisons: list[Any]) -> Path:
    """Write a folder that holds comparisons and nothing else."""
    folder.mkdir(parents=True)
    (folder / "comparisons.jsonl").write_text("".join(c.to_line() for c in comparisons), encoding="utf-8")
    return folder

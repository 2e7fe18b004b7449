"""A hub on this machine: the routes of the Hub's API that its client calls to upload, and what they store."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

TOKEN = "hf_" + "LocalHubServerTokenOfTheTests" + "abcdefgh"
READ_TOKEN = "hf_" + "LocalHubReadOnlyTokenOfTests" + "abcdefgh"
OWNER = "me"
_LARGE = 10 * 2**20
_LFS_SUFFIXES = (".safetensors", ".gguf", ".bin", ".parquet")


@dataclass
class Commit:
    """A commit of a branch: the whole content of the repository after it."""

    oid: str
    message: str
    files: dict[str, bytes]


@dataclass
class Repository:
    """A repository with its branches, oldest commit first."""

    private: bool
    branches: dict[str, list[Commit]]


@dataclass
class Hub:
    """What the server stores and what it was asked."""

    url: str = ""
    repositories: dict[tuple[str, str], Repository] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    """Large files by their SHA-256."""
    requests: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of each request."""
    uploaded: set[str] = field(default_factory=set)
    """Paths that were committed as large files."""
    refusals: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)
    """Status and headers that are answered to requests whose path has this part."""

    def files(self, kind: str, name: str, branch: str = "main") -> dict[str, bytes]:
        """Return the files of a branch, without those that the Hub makes."""
        last = self.repositories[kind, name].branches[branch][-1]
        return {path: content for path, content in last.files.items() if path != ".gitattributes"}

    def make(self, kind: str, name: str, private: bool = False) -> Repository:
        first = Commit(_oid("first", kind, name), "initial commit", {".gitattributes": b"*.bin filter=lfs\n"})
        made = Repository(private, {"main": [first]})
        self.repositories[kind, name] = made
        return made


def _oid(*parts: str) -> str:
    return hashlib.sha1("/".join(parts).encode()).hexdigest()


def _git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def _answer(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        self.hub.requests.append((method, path))
        for part, (status, headers) in self.hub.refusals.items():
            if part in path:
                return self._send(status, {"error": f"refused by the test: {part}"}, headers)
        for pattern, route in _ROUTES.items():
            match = re.fullmatch(pattern, f"{method} {path}")
            if match:
                return route(self, body, *(unquote(part or "") for part in match.groups()))
        return self._send(404, {"error": "no such route"})

    def _send(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _may(self, *, write: bool) -> bool:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token not in (TOKEN, READ_TOKEN):
            self._send(
                401, {"error": "nobody"}, {"X-Error-Message": "Invalid credentials in Authorization header"}
            )
            return False
        if write and token == READ_TOKEN:
            self._send(403, {"error": "this token may only read"})
            return False
        return True

    def _of(self, kind: str, name: str) -> Repository | None:
        found = self.hub.repositories.get((kind, name))
        if found is None:
            self._send(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        return found

    def create(self, body: bytes) -> None:
        if not self._may(write=True):
            return
        asked = json.loads(body)
        name = f"{asked.get('organization') or OWNER}/{asked['name']}"
        kind = asked.get("type", "model")
        if not name.startswith(f"{OWNER}/"):
            return self._send(403, {"error": f'no rights to create a {kind} under "{asked["organization"]}"'})
        if (kind, name) in self.hub.repositories:
            return self._send(409, {"error": "You already created this repo"})
        self.hub.make(kind, name, asked.get("visibility") == "private")
        self._send(200, {"url": f"{self.hub.url}/{'datasets/' if kind == 'dataset' else ''}{name}"})

    def info(self, body: bytes, kind: str, name: str, branch: str = "main") -> None:
        if not self._may(write=False) or (found := self._of(kind, name)) is None:
            return
        if branch not in found.branches:
            return self._send(404, {"error": "no such revision"}, {"X-Error-Code": "RevisionNotFound"})
        last = found.branches[branch][-1]
        files = [{"rfilename": path} for path in last.files]
        self._send(200, {"id": name, "sha": last.oid, "private": found.private, "siblings": files})

    def branch(self, body: bytes, kind: str, name: str, branch: str) -> None:
        if not self._may(write=True) or (found := self._of(kind, name)) is None:
            return
        if branch in found.branches:
            return self._send(409, {"error": "Reference already exists"})
        found.branches[branch] = list(found.branches["main"])
        self._send(200, {})

    def validate(self, body: bytes) -> None:
        content = json.loads(body)["content"]
        valid = content.startswith("---\n")
        self._send(
            200 if valid else 400, {"errors": [] if valid else [{"message": "no metadata"}], "warnings": []}
        )

    def preupload(self, body: bytes, kind: str, name: str, branch: str) -> None:
        if not self._may(write=True) or (found := self._of(kind, name)) is None:
            return
        there = found.branches[branch][-1].files
        answers = []
        for file in json.loads(body)["files"]:
            large = file["path"].endswith(_LFS_SUFFIXES) or file["size"] > _LARGE
            content = there.get(file["path"])
            oid = content and (hashlib.sha256(content).hexdigest() if large else _git_oid(content))
            mode = "lfs" if large else "regular"
            answers.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self._send(200, {"files": answers})

    def batch(self, body: bytes, prefix: str, name: str) -> None:
        if not self._may(write=True):
            return
        objects = []
        for wanted in json.loads(body)["objects"]:
            upload = {"upload": {"href": f"{self.hub.url}/lfs/{wanted['oid']}"}}
            known = wanted["oid"] in self.hub.blobs
            objects.append({**wanted, **({} if known else {"actions": upload})})
        self._send(200, {"transfer": "basic", "objects": objects})

    def blob(self, body: bytes, oid: str) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            return self._send(400, {"error": "other content"})
        self.hub.blobs[oid] = body
        self._send(200, {})

    def commit(self, body: bytes, kind: str, name: str, branch: str) -> None:
        if not self._may(write=True) or (found := self._of(kind, name)) is None:
            return
        lines = [json.loads(line) for line in body.splitlines()]
        history = found.branches[branch]
        files = dict(history[-1].files)
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            else:
                assert line["key"] == "lfsFile"
                files[value["path"]] = self.hub.blobs[value["oid"]]
                self.hub.uploaded.add(value["path"])
        oid = _oid(kind, name, branch, str(len(history)))
        history.append(Commit(oid, lines[0]["value"]["summary"], files))
        self._send(200, {"commitUrl": f"{self.hub.url}/{name}/commit/{oid}", "commitOid": oid})


_NAME = r"([^/]+/[^/]+)"
_ROUTES: dict[str, Any] = {
    r"POST /api/repos/create": _Handler.create,
    r"POST /api/validate-yaml": _Handler.validate,
    rf"GET /api/(model|dataset)s/{_NAME}": _Handler.info,
    rf"GET /api/(model|dataset)s/{_NAME}/revision/([^/]+)": _Handler.info,
    rf"POST /api/(model|dataset)s/{_NAME}/branch/([^/]+)": _Handler.branch,
    rf"POST /api/(model|dataset)s/{_NAME}/preupload/([^/]+)": _Handler.preupload,
    rf"POST /api/(model|dataset)s/{_NAME}/commit/([^/]+)": _Handler.commit,
    rf"POST /(datasets/)?{_NAME}\.git/info/lfs/objects/batch": _Handler.batch,
    r"PUT /lfs/([0-9a-f]{64})": _Handler.blob,
}


@contextlib.contextmanager
def serving() -> Iterator[Hub]:
    """Serve an empty hub while the block runs."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def use_hub(url: str, token: str | None, patch: pytest.MonkeyPatch) -> None:
    """Direct the Hub's client of this process, which reads its environment once, to a server."""
    constants = pytest.importorskip("huggingface_hub.constants")
    patch.setattr(constants, "ENDPOINT", url)
    patch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # its storage is another service
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    patch.setattr("huggingface_hub.get_token", lambda: token)

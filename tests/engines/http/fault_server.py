"""A server on the loopback that speaks OpenAI's chat completions and fails on purpose.

What it does with each request is drawn from a seed, or decided by a function. It counts every request, every
fault and every answer, so that a test can compare its counts with the client's.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import math
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "served-model"
FAULTS = (
    "500",
    "503",
    "429",
    "429 retry-after",
    "timeout",
    "cut",
    "cut body",
    "truncated",
    "empty choices",
    "null content",
    "wrong model",
    "html",
)
"""Every fault that may pass."""

Body = dict[str, Any]


@dataclass
class Answered:
    """One request and what the server did with it."""

    path: str
    body: Body
    headers: dict[str, str]
    fault: str | None


@dataclass
class Behaviour:
    """What the server does; a test changes it while the server runs."""

    fault_share: float = 0.0
    faults: tuple[str, ...] = FAULTS
    decide: Callable[[Body], str | None] | None = None
    """Returns the fault for a request, in place of the draw."""
    answer: Callable[[Body], str] = lambda body: words(body)
    response: Callable[[Body, Body], Body] = lambda body, response: response
    """Changes a response before it is sent."""
    reply: Callable[[Body], tuple[int, dict[str, str], bytes] | None] = lambda body: None
    """Returns status, headers and body in place of everything else."""
    models: list[Body] = field(default_factory=lambda: [{"id": MODEL, "object": "model", "owned_by": "test"}])
    delay_s: float = 0.0
    hang_s: float = 2.0
    key: str | None = None
    """The key that requests must have."""
    logprobs: bool = True
    fingerprint: str | None = None


class FaultServer:
    """A running server; `url` is its address."""

    def __init__(self, behaviour: Behaviour, seed: int) -> None:
        self.behaviour = behaviour
        self.requests: list[Answered] = []
        self.faults: Counter[str] = Counter()
        self.in_flight = self.most_in_flight = 0
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def chats(self) -> list[Answered]:
        return [request for request in self.requests if request.path == "/v1/chat/completions"]

    @property
    def answers(self) -> int:
        """Chat requests that were answered without a fault."""
        return sum(request.fault is None for request in self.chats)

    def stop(self) -> None:
        """Stop listening and cut all connections, as a server that is killed."""
        self._server.shutdown()
        self._server.server_close()
        self._server.cut_connections()


@contextlib.contextmanager
def serving(seed: int = 0, **behaviour: Any) -> Iterator[FaultServer]:
    server = FaultServer(Behaviour(**behaviour), seed)
    try:
        yield server
    finally:
        server.stop()


def words(body: Body) -> str:
    """Words that depend on the conversation alone."""
    text = json.dumps(body["messages"], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"Answer {digest[:8]} to {len(body['messages'])} messages."


def first_token(body: Body) -> list[Body]:
    """Log-probabilities that lean to a letter by the conversation."""
    text = json.dumps(body["messages"], sort_keys=True)
    lean = int(hashlib.sha256(text.encode()).hexdigest()[:4], 16) / 2**16
    a = 0.1 + 0.7 * lean
    listed = {"A": a, " A": 0.001, "B": 0.9 - a, "Yes": 0.02, "No": 0.01}
    entries = [{"token": token, "logprob": math.log(p), "bytes": None} for token, p in listed.items()]
    return sorted(entries, key=lambda entry: -entry["logprob"])


def completion(server: FaultServer, body: Body) -> Body:
    """A response in OpenAI's form."""
    text = server.behaviour.answer(body)
    choice: Body = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    if body.get("logprobs") and server.behaviour.logprobs:
        listed = first_token(body)
        choice["logprobs"] = {"content": [{**listed[0], "top_logprobs": listed}]}
    prompt = sum(len(message["content"].split()) for message in body["messages"])
    usage = {"prompt_tokens": prompt, "completion_tokens": len(text.split())}
    response = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body["model"],
        "choices": [choice],
        "usage": {**usage, "total_tokens": sum(usage.values())},
    }
    if server.behaviour.fingerprint is not None:
        response["system_fingerprint"] = server.behaviour.fingerprint
    return server.behaviour.response(body, response)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    owner: FaultServer

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._connections: set[socket.socket] = set()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections.add(connection)
        return connection, address

    def cut_connections(self) -> None:
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # clients that gave up


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        owner = self.server.owner
        with owner.lock:
            owner.requests.append(Answered(self.path, {}, dict(self.headers), None))
        if self._refuses_key():
            return
        if (reply := owner.behaviour.reply({"path": self.path})) is not None:
            self._send(*reply)
        elif self.path == "/v1/models":
            self._json(200, {"object": "list", "data": owner.behaviour.models})
        else:
            self._json(404, {"error": {"message": f"no route {self.path}"}})

    def do_POST(self) -> None:
        owner = self.server.owner
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with owner.lock:
            owner.in_flight += 1
            owner.most_in_flight = max(owner.most_in_flight, owner.in_flight)
            fault = self._draw(body)
            owner.faults[fault or ""] += 1
            owner.requests.append(Answered(self.path, body, dict(self.headers), fault))
        try:
            self._answer(owner, body, fault)
        finally:
            with owner.lock:
                owner.in_flight -= 1

    def _draw(self, body: Body) -> str | None:
        owner = self.server.owner
        if owner.behaviour.decide is not None:
            return owner.behaviour.decide(body)
        if owner.random.random() < owner.behaviour.fault_share:
            return owner.random.choice(owner.behaviour.faults)
        return None

    def _answer(self, owner: FaultServer, body: Body, fault: str | None) -> None:
        if owner.behaviour.delay_s:
            time.sleep(owner.behaviour.delay_s)
        if self._refuses_key():
            return
        if (reply := owner.behaviour.reply(body)) is not None:
            self._send(*reply)
        elif self.path != "/v1/chat/completions":
            self._json(404, {"error": {"message": f"no route {self.path}"}})
        elif fault is None:
            self._json(200, completion(owner, body))
        else:
            self._fail(owner, body, fault)

    def _fail(self, owner: FaultServer, body: Body, fault: str) -> None:
        response = completion(owner, body)
        whole = json.dumps(response).encode()
        if fault in ("429", "429 retry-after"):
            after = {"retry-after": "0.02"} if fault != "429" else {}
            self._send(429, after, b'{"error": {"message": "rate limit reached"}}')
        elif fault.isdigit():
            self._send(int(fault), {}, b"it failed")
        elif fault in ("timeout", "cut", "cut body", "trickle"):
            self._break_off(owner, fault, whole)
        else:
            self._send(200, {}, spoilt(response, fault))

    def _break_off(self, owner: FaultServer, fault: str, whole: bytes) -> None:
        self.close_connection = True
        if fault == "timeout":
            time.sleep(owner.behaviour.hang_s)
        elif fault in ("cut body", "trickle"):
            self.send_response(200)
            self.send_header("content-length", str(len(whole)))
            self.end_headers()
            if fault == "cut body":
                self.wfile.write(whole[: len(whole) // 2])
            for byte in whole[:10] if fault == "trickle" else b"":
                self.wfile.write(bytes([byte]))
                time.sleep(0.1)

    def _refuses_key(self) -> bool:
        key = self.server.owner.behaviour.key
        found = self.headers.get("authorization", "")
        if key is None or found == f"Bearer {key}":
            return False
        self._json(
            401, {"error": {"message": f"Incorrect API key provided: {found.removeprefix('Bearer ')}"}}
        )
        return True

    def _json(self, status: int, value: object) -> None:
        # As the servers of .NET do; JSON has this character in texts alone.
        text = json.dumps(value).replace("&", r"\u0026")
        self._send(status, {"content-type": "application/json"}, text.encode())

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)


def spoilt(response: Body, fault: str) -> bytes:
    """The body of a response with status 200 that has no answer."""
    if fault == "truncated":
        return json.dumps(response).encode()[:-20]
    if fault == "html":
        return b"<html><title>Welcome</title></html>"
    if fault == "empty choices":
        response["choices"] = []
    elif fault == "wrong model":
        response["model"] = "another-model"
    elif fault == "null content":
        response["choices"][0] |= {"message": {"role": "assistant", "content": None}, "logprobs": None}
    else:
        raise AssertionError(fault)
    return json.dumps(response).encode()


def gzipped(size: int) -> bytes:
    """A small body that decompresses to `size` bytes."""
    return gzip.compress(b" " * size)

"""What an environment, an address or bytes that are not HTTP do to a request, and to the key in them."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from core.errors import ConfigError, EngineError, FailedRequestError
from engines.endpoint.credentials import Credentials
from engines.http.transport import Endpoint, HttpTransport
from tests.engines.http.fault_server import serving
from tests.engines.http.test_transport import BODY, first_then_well, post, transport_to


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("SSL_CERT_FILE", "/nonexistent", "SSL_CERT_FILE: the trusted certificates cannot be read: No such"),
        ("HTTPS_PROXY", "foo://u:s3cret@host", "HTTPS_PROXY: the proxy's address is not valid"),
        ("HTTP_PROXY", "http://u:s3cret@h:::", "HTTP_PROXY: the proxy's address is not valid"),
        pytest.param(
            "ALL_PROXY",
            "socks5://u:s3cret@127.0.0.1:1",
            "ALL_PROXY: a SOCKS proxy needs the package socksio.*run: pip install socksio",
            marks=pytest.mark.skipif(bool(importlib.util.find_spec("socksio")), reason="socksio installed"),
        ),
    ],
)
def test_an_environment_that_allows_no_client_is_one_line(
    variable: str, value: str, line: str, monkeypatch: pytest.MonkeyPatch
):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv(variable, value)
    transport = HttpTransport(Endpoint("https://127.0.0.1:9/v1"))

    async def twice() -> None:
        for _ in range(2):
            with pytest.raises(ConfigError, match=line) as caught:
                await transport.post("chat/completions", BODY, purpose="test")
            assert "s3cret" not in str(caught.value)

    asyncio.run(twice())


@pytest.mark.parametrize(
    ("host", "line"),
    [
        ("é..b", "the host in the address is not a valid name"),
        ("☃.net", "the host in the address is not a valid name"),
        ("a..b", r"no connection \("),
        ("a" * 300, r"no connection \("),
    ],
)
def test_a_host_that_has_no_name_is_one_line(host: str, line: str):
    transport = HttpTransport(Endpoint(f"http://{host}/v1"))
    with pytest.raises((ConfigError, EngineError), match=line):
        post(transport)


@contextmanager
def sending(raw: bytes) -> Iterator[str]:
    """A server that sends the same bytes to everyone."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65_536)
                    connection.sendall(raw)

        threading.Thread(target=answer, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nbad header KEY\r\n\r\n",
        b"BAD KEY\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: KEY\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nKEY\r\n",
        b"HTTP/1.1 302 Found\r\nlocation: http://KEY:x/\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nlocation: http://KEY/\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 500 KEY\r\n\r\nKEY",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\nKEY",
        b"HTTP/1.1 401 KEY\r\nwww-authenticate: KEY\r\n\r\n<p>KEY</p>",
    ],
)
def test_a_key_in_what_is_no_http_is_masked(raw: bytes):
    key = "sk-planted'7f3a\\9c51+e0"
    with sending(raw.replace(b"KEY", key.encode())) as url:
        transport = HttpTransport(Endpoint(url, credentials=Credentials(key), max_tries=1))
        with pytest.raises((EngineError, FailedRequestError)) as caught:
            post(transport)
    for shown in (str(caught.value), repr(caught.value.__dict__), repr(transport.traffic)):
        assert "planted" not in shown


@pytest.mark.parametrize("status", [200, 401, 500])
def test_a_key_that_is_escaped_in_json_is_masked_in_all_of_it(status: int):
    key = "sk-planted-7f3a+9c/51&e0"
    escaped = "".join(f"\\u{ord(character):04X}" for character in key)
    body = f'{{"a": ["{escaped}", {{"x {escaped}": 1}}], "error": {{"message": "no {escaped}"}}}}'
    if status == 200:
        body = body.replace("error", "choices")
    with serving(reply=lambda _: (status, {}, body.encode())) as server:
        transport = transport_to(server, credentials=Credentials(key), max_tries=1)
        try:
            shown = repr(post(transport))
        except (EngineError, FailedRequestError) as error:
            shown = str(error)
    assert "planted" not in shown
    assert "***" in shown


def test_a_response_of_an_unforeseen_shape_is_tried_again():
    def read(value: dict[str, Any]) -> Any:
        return 10**400 * 1.0 if len(server.chats) < 2 else value

    with serving() as server:
        transport = transport_to(server)
        asyncio.run(transport.ask("chat/completions", BODY, read, purpose="test"))
    assert transport.traffic.retries == {"response cannot be read": 1}


@pytest.mark.parametrize("status", [403, 404])
def test_a_web_page_of_a_proxy_refuses_nothing_once_the_server_has_answered(status: int):
    page = (status, {}, b"<html><title>Just a moment</title></html>")
    with serving() as server:
        transport = transport_to(server)
        post(transport)
        server.behaviour.reply = first_then_well(page)
        assert post(transport)["choices"]
        assert transport.traffic.retries == {f"{status} with a web page": 1}
        server.behaviour.reply = lambda body: page
        with pytest.raises(EngineError, match=f"{status}: Just a moment"):  # the address may be wrong
            post(transport_to(server))


def test_a_body_that_is_too_large_for_a_proxy_is_refused_by_its_web_page():
    with serving() as server:
        transport = transport_to(server)
        post(transport)
        server.behaviour.reply = lambda body: (413, {}, b"<html><title>413 Request Entity Too Large</title>")
        with pytest.raises(FailedRequestError, match="413"):
            post(transport)
    assert transport.traffic.retries == {}

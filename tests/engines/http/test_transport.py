"""One request against every kind of response: what is tried again, what is not, and what never happens."""

from __future__ import annotations

import asyncio
import email.utils
import importlib.util
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from core.errors import ConfigError, EngineError, FailedRequestError, RequestError
from engines.endpoint.credentials import Credentials
from engines.endpoint.settings import Budget, Timeouts
from engines.endpoint.spending import Spending
from engines.http import transport as module
from engines.http.faults import RefusedError, TryFailedError, retry_after
from engines.http.transport import Endpoint, HttpTransport
from tests.engines.http.fault_server import MODEL, FaultServer, gzipped, serving

Reply = tuple[int, dict[str, str], bytes]
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "Hello."}]}
KEY = "sk-planted-7f3a9c51e0"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_BACK_OFF_S", 0.001)
    monkeypatch.setattr(module, "_FIRST_CONTACT_S", 0.01)


def transport_to(server: FaultServer, **settings: Any) -> HttpTransport:
    settings = {"timeouts": Timeouts(connect=5, read=5, total=9), "max_tries": 4, **settings}
    return HttpTransport(Endpoint(f"{server.url}/v1", **settings))


def post(transport: HttpTransport, body: dict[str, Any] = BODY) -> Any:
    return asyncio.run(transport.post("chat/completions", body, purpose="test"))


def first_then_well(*replies: Reply) -> Callable[[dict[str, Any]], Reply | None]:
    """Give each reply once, and answer all requests after them."""
    left = list(replies)
    return lambda body: left.pop(0) if left else None


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ((500, {}, b"oops"), "500 Internal Server Error"),
        ((502, {}, b"<html><title>Bad gateway</title></html>"), "502 Bad Gateway"),
        ((503, {}, b'{"error": "loading"}'), "503 Service Unavailable"),
        ((529, {}, b"{}"), "529 Overloaded"),
        ((429, {}, b""), "429 Too Many Requests"),
        ((408, {}, b""), "408 Request Timeout"),
        ((200, {}, b""), "empty response"),
        ((200, {}, b"<!doctype html><p>Sign in"), "HTML instead of JSON"),
        ((200, {}, b'{"choices": [{"message": {"con'), "truncated JSON"),
        ((200, {}, b"data: {}"), "response is not JSON"),
        ((200, {}, b"[1, 2]"), "response is not a JSON object"),
        ((200, {}, b"[" * 100_000), "response is not JSON"),
        ((200, {}, b'{"a": "\xff\xfe"}'), "response is not UTF-8"),
        ((200, {}, b'{"error": {"message": "upstream", "code": 502}}'), "502 Bad Gateway"),
        ((200, {"content-encoding": "gzip"}, b"not gzip"), "response cannot be decompressed"),
        ((302, {"location": "http://127.0.0.1:1/elsewhere"}, b""), "redirected"),
        ((307, {"location": "http://127.0.0.1:1/elsewhere"}, b""), "redirected"),
    ],
)
def test_what_may_pass_is_tried_again_and_counted(reply: Reply, reason: str):
    with serving(reply=first_then_well(reply)) as server:
        transport = transport_to(server)
        assert post(transport)["choices"]
    assert transport.traffic.retries == {reason: 1}
    assert transport.traffic.tries == len(server.chats) == 2


@pytest.mark.parametrize("fault", ["timeout", "cut", "cut body"])
def test_a_connection_that_is_lost_or_silent_is_tried_again(fault: str):
    kinds = [fault, None]
    with serving(decide=lambda body: kinds.pop(0) if kinds else None, hang_s=0.7) as server:
        transport = transport_to(server, timeouts=Timeouts(read=0.4 if fault == "timeout" else 5))
        assert post(transport)["choices"]
    assert transport.traffic.retries["timed out" if fault == "timeout" else "connection lost"] >= 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 501])
def test_what_fails_for_good_is_sent_once(status: int):
    with serving(reply=lambda body: (status, {}, b'{"error": {"message": "no such thing"}}')) as server:
        transport = transport_to(server)
        with pytest.raises((EngineError, FailedRequestError), match="no such thing"):
            post(transport)
        assert len(server.chats) == 1


def test_an_empty_account_is_no_reason_to_wait():
    body = b'{"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}'
    with serving(reply=lambda _: (429, {}, body)) as server:
        with pytest.raises(
            EngineError, match=r"402: You exceeded your current quota.*an account with credit"
        ):
            post(transport_to(server))
        assert len(server.chats) == 1


def test_a_request_that_never_succeeds_is_given_up_with_the_last_reason():
    turn = iter(range(10**6))

    def decide(body: dict[str, Any]) -> str | None:
        return "html" if "poison" in json.dumps(body) else None

    async def ask(transport: HttpTransport) -> list[Any]:
        def body(word: str) -> dict[str, Any]:
            return {"model": MODEL, "messages": [{"role": "user", "content": f"{word} {next(turn)}"}]}

        bodies = [body("poison"), *(body("fine") for _ in range(30))]
        asked = (transport.post("chat/completions", b, purpose="test") for b in bodies)
        return await asyncio.gather(*asked, return_exceptions=True)

    with serving(decide=decide) as server:
        transport = transport_to(server)
        poisoned, *fine = asyncio.run(ask(transport))
    assert isinstance(poisoned, FailedRequestError)
    assert "4 tries; the last one: HTML instead of JSON (Welcome)" in str(poisoned)
    assert all(isinstance(answer, dict) for answer in fine)
    assert transport.traffic.failures == {"HTML instead of JSON": 1}


@pytest.mark.parametrize("encoding", ["gzip", None])
def test_a_body_without_end_is_not_read_to_its_end(encoding: str | None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("engines.http.bodies.MAX_RESPONSE_BYTES", 2**20)
    body = gzipped(2**24) if encoding else b" " * (2**20 + 1)
    headers = {"content-encoding": encoding} if encoding else {}
    with serving(reply=first_then_well((200, headers, body))) as server:
        transport = transport_to(server)
        assert post(transport)["choices"]
    assert transport.traffic.retries == {"response too large": 1}


def test_the_key_goes_to_no_other_host():
    with serving() as thief, serving() as server:
        location = f"{thief.url}/v1/chat/completions"
        server.behaviour.reply = first_then_well(*[(307, {"location": location}, b"")] * 2)
        transport = transport_to(server, credentials=Credentials(KEY))
        assert post(transport)["choices"]
        assert thief.requests == []
    assert transport.traffic.retries == {"redirected": 2}


def test_a_redirection_within_the_server_is_followed():
    with serving() as server:
        moved = (308, {"location": f"{server.url}/v1/chat/completions"}, b"")
        server.behaviour.reply = first_then_well(moved)
        transport = transport_to(server)
        assert post(transport)["choices"]
    assert transport.traffic.retries == {}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "-4"}, 0.0),
        ({"retry-after": "86400"}, 120.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
        ({"retry-after": email.utils.formatdate(1_000_030, usegmt=True)}, 30.0),
        ({"retry-after": email.utils.formatdate(999_000, usegmt=True)}, 0.0),
        ({"retry-after": "Sun, 99 Foo 2026 99:99:99 GMT"}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_bounded(headers: dict[str, str], seconds: float | None):
    assert retry_after(headers, now=1_000_000) == seconds


def test_retry_after_is_waited_for():
    with serving(reply=first_then_well((429, {"retry-after": "0.3"}, b""))) as server:
        started = time.monotonic()
        post(transport_to(server))
        assert time.monotonic() - started >= 0.3


def test_never_more_requests_are_in_flight_than_the_limit_allows():
    async def ask(transport: HttpTransport) -> None:
        asked = (transport.post("chat/completions", {**BODY, "n": i}, purpose="test") for i in range(40))
        await asyncio.gather(*asked)

    with serving(delay_s=0.005) as server:
        asyncio.run(ask(transport_to(server, concurrency=3)))
        assert server.most_in_flight == 3


def test_a_cancelled_request_gives_its_place_to_another():
    async def ask(transport: HttpTransport) -> Any:
        hanging = asyncio.ensure_future(transport.post("chat/completions", BODY, purpose="test"))
        await asyncio.sleep(0.1)
        waiting = [
            asyncio.ensure_future(transport.post("chat/completions", BODY, purpose="test")) for _ in range(3)
        ]
        await asyncio.sleep(0.01)
        waiting[0].cancel()
        hanging.cancel()
        return await asyncio.gather(*waiting[1:])

    kinds = ["timeout"]
    with serving(decide=lambda body: kinds.pop() if kinds else None, hang_s=1.0) as server:
        assert len(asyncio.run(ask(transport_to(server, concurrency=1)))) == 2


def test_requests_of_later_event_loops_use_connections_of_their_own():
    with serving() as server:
        transport = transport_to(server)
        for _ in range(3):
            post(transport)
        assert transport.traffic.tries == 3


def test_a_spent_budget_lets_the_requests_in_flight_finish():
    async def ask(transport: HttpTransport) -> list[Any]:
        asked = (transport.post("chat/completions", {**BODY, "n": i}, purpose="test") for i in range(12))
        return await asyncio.gather(*asked, return_exceptions=True)

    with serving(delay_s=0.02) as server:
        transport = transport_to(server, concurrency=2)
        transport.spending = [Spending(Budget(tokens=20))]
        outcomes = asyncio.run(ask(transport))
        answered = [outcome for outcome in outcomes if isinstance(outcome, dict)]
        refused = [outcome for outcome in outcomes if not isinstance(outcome, dict)]
    assert len(answered) == server.answers
    assert all(isinstance(error, EngineError) and "budget of 20 tokens" in str(error) for error in refused)
    assert 20 <= transport.traffic.tokens <= 20 + 3 * 6  # each has six, and two may be in flight


def test_a_text_that_is_no_unicode_is_not_sent():
    with serving() as server:
        with pytest.raises(RequestError, match="the prompt is not valid Unicode"):
            post(transport_to(server), {"messages": ["half \ud83d"]})
        assert server.chats == []


def test_a_key_in_a_refusal_is_masked():
    with serving(key="another") as server:
        transport = transport_to(server, credentials=Credentials(KEY, "MY_KEY"))
        with pytest.raises(EngineError, match=r"Incorrect API key provided: \*\*\*.*in MY_KEY") as caught:
            post(transport)
    assert KEY not in str(caught.value)
    assert KEY not in repr(caught.value.__dict__)


def test_a_refusal_can_be_read_by_who_can_change_the_request():
    with serving(reply=lambda body: (400, {}, b'{"error": {"message": "no", "param": "top_k"}}')) as server:
        asked = transport_to(server).ask("chat/completions", BODY, dict, purpose="test")
        with pytest.raises(RefusedError) as caught:
            asyncio.run(asked)
    assert caught.value.message.fields == {"top_k"}


def test_a_budget_that_cannot_be_kept_is_warned_of_once(caplog: pytest.LogCaptureFixture):
    with serving(response=lambda body, response: {**response, "usage": None}) as server:
        transport = transport_to(server)
        transport.spending = [Spending(Budget(tokens=5))]
        post(transport)
        post(transport)
    (line,) = (record.getMessage() for record in caplog.records)
    assert "no budget is kept" in line


def test_a_server_that_is_back_is_found_in_the_same_event_loop():
    async def ask() -> None:
        with serving() as server:
            transport = transport_to(server, unreachable_s=0.1)
            await transport.post("chat/completions", BODY, purpose="test")
        for _ in range(2):
            with pytest.raises(EngineError, match=r"no connection|connection lost"):
                await transport.post("chat/completions", BODY, purpose="test")
        with serving() as other:
            transport.endpoint = replace(transport.endpoint, url=f"{other.url}/v1")
            await transport.post("chat/completions", BODY, purpose="test")

    asyncio.run(ask())


def test_a_server_that_sends_a_byte_now_and_then_is_given_up_in_time():
    kinds = ["trickle"]
    with serving(decide=lambda body: kinds.pop() if kinds else None) as server:
        transport = transport_to(server, timeouts=Timeouts(total=0.6))
        assert post(transport)["choices"]
    assert transport.traffic.retries["timed out"] >= 1


def test_a_request_that_is_lost_is_sent_again_long_before_the_limit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("engines.http.pace._SHORTEST_S", 0.5)
    monkeypatch.setattr("engines.http.pace._FACTOR", 3.0)
    kinds: list[str] = []

    async def ask(transport: HttpTransport) -> None:
        for _ in range(20):
            await transport.post("chat/completions", BODY, purpose="draft")
        kinds.append("timeout")
        await transport.post("chat/completions", BODY, purpose="draft")

    with serving(decide=lambda body: kinds.pop() if kinds else None, hang_s=60.0) as server:
        transport = transport_to(server, timeouts=Timeouts())
        asyncio.run(ask(transport))
    assert transport.traffic.retries["lost request"] >= 1


def test_a_list_of_models_that_does_not_come_is_not_waited_for_as_an_answer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_LIST_S", 1.0)
    slow = [True]

    def reply(body: dict[str, Any]) -> Reply | None:
        if slow:
            slow.clear()
            time.sleep(2.0)
        return None

    with serving(reply=reply) as server:
        transport = transport_to(server)
        assert asyncio.run(transport.get("models", dict))["data"]
    assert transport.traffic.retries["timed out"] >= 1


def test_a_connection_that_fails_says_which_proxy_it_went_through(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with serving() as server:
        with pytest.raises(
            EngineError, match=r"through the proxy in HTTP_PROXY; NO_PROXY=127.0.0.1:\d+ avoids"
        ):
            post(transport_to(server))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert post(transport_to(server))["choices"]


def test_a_server_that_speaks_no_tls_is_an_error_that_says_so():
    with serving() as server:
        transport = transport_to(server)
        transport.endpoint = replace(transport.endpoint, url=server.url.replace("http:", "https:"))
        with pytest.raises(EngineError, match=r"no connection \(TLS: "):
            post(transport)


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the circuit pause for a few hundredths of a second."""
    monkeypatch.setattr("engines.http.breaker._FIRST_WAIT_S", 0.02)
    longest = {"fault": 0.05, "overload": 0.05, "unreachable": 0.05}
    monkeypatch.setattr("engines.http.breaker._LONGEST_WAIT_S", longest)
    monkeypatch.setattr("engines.http.lane._LOOK_S", 0.1)
    monkeypatch.setattr(module, "_LONGEST_BACK_OFF_S", longest)
    monkeypatch.setattr(module, "_OTHERS_FIRST_S", 0.01)


async def settled(transport: HttpTransport, count: int, read: Callable[[dict[str, Any]], Any] = dict) -> Any:
    """Ask one request, then many at once; return the answers and errors of these."""
    await transport.ask("chat/completions", BODY, dict, purpose="test")
    asked = (transport.ask("chat/completions", {**BODY, "n": i}, read, purpose="test") for i in range(count))
    return await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 60)


@pytest.mark.usefixtures("short_pauses")
def test_an_outage_in_which_requests_are_given_up_leaves_nobody_waiting():
    failures = iter(range(30))
    first: list[int] = []

    def reply(body: dict[str, Any]) -> Reply | None:
        if not first:
            first.append(1)
            return None
        return (500, {}, b"") if next(failures, None) is not None else None

    with serving(reply=reply) as server:
        transport = transport_to(server, max_tries=2, concurrency=4)
        outcomes = asyncio.run(settled(transport, 10))
    answered = [outcome for outcome in outcomes if isinstance(outcome, dict)]
    given_up = [outcome for outcome in outcomes if isinstance(outcome, FailedRequestError)]
    assert len(given_up) >= 1
    assert len(answered) + len(given_up) == 10
    assert transport.traffic.failures.total() == len(given_up)


@pytest.mark.usefixtures("short_pauses")
def test_the_failures_of_an_outage_are_shared_by_the_requests():
    failures = iter(range(20))
    first: list[int] = []

    def reply(body: dict[str, Any]) -> Reply | None:
        if not first:
            first.append(1)
            return None
        return (500, {}, b"") if next(failures, None) is not None else None

    with serving(reply=reply) as server:
        transport = transport_to(server, max_tries=8)
        outcomes = asyncio.run(settled(transport, 12))
    assert all(isinstance(outcome, dict) for outcome in outcomes)
    assert transport.traffic.retries == {"500 Internal Server Error": 20}


@pytest.mark.usefixtures("short_pauses")
def test_an_answer_that_a_filter_removed_closes_the_circuit():
    failures = iter(range(12))
    first: list[int] = []

    def reply(body: dict[str, Any]) -> Reply | None:
        if not first:
            first.append(1)
            return None
        return (500, {}, b"") if next(failures, None) is not None else None

    def filtered(value: dict[str, Any]) -> Any:
        raise RequestError("the server's content filter removed the answer")

    with serving(reply=reply) as server:
        transport = transport_to(server, max_tries=16)
        outcomes = asyncio.run(settled(transport, 10, filtered))
    assert [type(outcome) for outcome in outcomes] == [RequestError] * 10
    assert transport.traffic.tries == 1 + 12 + 10
    assert not transport._breaker.is_open


@pytest.mark.usefixtures("short_pauses")
def test_a_storm_before_the_first_answer_ends_by_no_single_fault():
    storm = [(429, {}, b"")] * 12 + [(500, {}, b"once")]

    async def ask(transport: HttpTransport) -> Any:
        asked = (transport.post("chat/completions", {**BODY, "n": i}, purpose="test") for i in range(8))
        return await asyncio.gather(*asked, return_exceptions=True)

    with serving(reply=first_then_well(*storm)) as server:
        outcomes = asyncio.run(ask(transport_to(server)))
    assert all(isinstance(outcome, dict) for outcome in outcomes), outcomes


@pytest.mark.usefixtures("short_pauses")
def test_a_server_that_only_fails_has_a_while_to_start(monkeypatch: pytest.MonkeyPatch):
    with serving(reply=first_then_well(*[(500, {}, b"")] * 11)) as server:
        assert post(transport_to(server, max_tries=16))["choices"]
    monkeypatch.setattr(module, "_FIRST_ANSWER_S", 0.2)
    starting = pytest.raises(EngineError, match=r"no usable answer; the last failure: 500 .*starting")
    with serving(reply=lambda body: (500, {}, b"starting")) as server, starting:
        post(transport_to(server, max_tries=1000))


@pytest.mark.usefixtures("short_pauses")
def test_one_try_without_a_connection_after_a_storm_ends_nothing(monkeypatch: pytest.MonkeyPatch):
    import httpx2

    started = time.monotonic()
    restarted: list[int] = []

    def reply(body: dict[str, Any]) -> Reply | None:
        return (503, {}, b"draining") if not restarted and transport.reached else None

    with serving(reply=reply) as server:
        transport = transport_to(server, unreachable_s=0.5, max_tries=1000)
        exchange = module.exchange

        async def restarting(*args: Any) -> Any:
            if transport._breaker.failing_s() > 0.6 and not restarted:
                restarted.append(1)
                raise httpx2.ConnectError("connection refused")
            return await exchange(*args)

        monkeypatch.setattr(module, "exchange", restarting)
        outcomes = asyncio.run(settled(transport, 4))
    assert time.monotonic() - started > 0.6
    assert restarted
    assert all(isinstance(outcome, dict) for outcome in outcomes), outcomes


def test_a_long_answer_beside_quick_ones_is_waited_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("engines.http.pace._SHORTEST_S", 0.2)
    monkeypatch.setattr("engines.http.pace._FACTOR", 1.0)
    monkeypatch.setattr("engines.http.pace._ENOUGH", 1)

    def reply(body: dict[str, Any]) -> Reply | None:
        if body.get("slow"):
            time.sleep(0.6)
        return None

    async def ask(transport: HttpTransport) -> Any:
        await transport.post("chat/completions", BODY, purpose="draft")
        slow = asyncio.ensure_future(transport.post("chat/completions", {**BODY, "slow": 1}, purpose="draft"))
        while not slow.done():
            await transport.post("chat/completions", BODY, purpose="draft")
            await asyncio.sleep(0.02)
        return await slow

    with serving(reply=reply) as server:
        transport = transport_to(server, timeouts=Timeouts(), max_tries=4)
        assert asyncio.run(ask(transport))["choices"]
    assert 1 <= transport.traffic.retries["lost request"] <= 3


def test_a_server_that_asks_for_no_wait_is_not_asked_at_once_for_ever():
    with serving() as server:
        transport = transport_to(server)
    transport.reached, transport._random = True, random.Random(0)
    error = TryFailedError("429 Too Many Requests", cause="overload", wait_s=0.0)
    waits = [transport._wait_s(error, failures=30) for _ in range(100)]
    assert max(waits) > 5.0
    assert sum(wait == 0.0 for wait in waits) == 0
    longer = TryFailedError("429 Too Many Requests", cause="overload", wait_s=60.0)
    assert 60.0 <= transport._wait_s(longer, failures=30) <= 66.0


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


def test_a_request_that_hangs_before_a_limit_is_known_gets_it_later(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("engines.http.pace._SHORTEST_S", 0.3)
    kinds = ["timeout"]

    async def ask(transport: HttpTransport) -> None:
        hanging = asyncio.ensure_future(transport.post("chat/completions", BODY, purpose="draft"))
        while not server.chats:
            await asyncio.sleep(0.01)
        for _ in range(20):
            await transport.post("chat/completions", BODY, purpose="draft")
        assert (await hanging)["choices"]

    with serving(decide=lambda body: kinds.pop() if kinds else None, hang_s=60.0) as server:
        transport = transport_to(server, timeouts=Timeouts())
        asyncio.run(ask(transport))
    assert transport.traffic.retries["lost request"] >= 1


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

"""One request against every kind of response: what is tried again, what is not, and what never happens."""

from __future__ import annotations

import asyncio
import email.utils
import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from core.errors import EngineError, FailedRequestError, RequestError
from engines.endpoint.credentials import Credentials
from engines.endpoint.settings import Budget, Timeouts
from engines.endpoint.spending import Spending
from engines.http import transport as module
from engines.http.faults import RefusedError, retry_after
from engines.http.transport import Endpoint, HttpTransport
from tests.engines.http.fault_server import MODEL, FaultServer, gzipped, serving

Reply = tuple[int, dict[str, str], bytes]
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "Hello."}]}
KEY = "sk-planted-7f3a9c51e0"


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

    with serving(delay_s=0.02) as server:
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


def test_a_second_event_loop_leaves_the_circuit_of_the_first_open():
    ok = {"choices": [], "usage": {}}
    replies = first_then_well((200, {}, json.dumps(ok).encode()))
    with serving(reply=lambda body: replies(body) or (500, {}, b"")) as server:
        transport = transport_to(server, max_tries=1000, outage_s=60.0)
        seen: list[str] = []

        async def beside() -> None:
            asking = asyncio.create_task(transport.post("chat/completions", BODY, purpose="probe"))
            await asyncio.sleep(0)
            seen.append(transport.summary())
            asking.cancel()

        async def first() -> None:
            await transport.post("chat/completions", BODY, purpose="test")
            asking = [asyncio.create_task(transport.post("chat/completions", BODY, purpose="test"))]
            while "circuit open" not in transport.summary():
                await asyncio.sleep(0.005)
            await asyncio.to_thread(asyncio.run, beside())
            asking[0].cancel()

        asyncio.run(first())
    assert "circuit open" in seen[0]

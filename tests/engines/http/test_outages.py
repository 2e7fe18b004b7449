"""Storms, outages and long answers: no run ends by one fault, and no request waits for ever."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from core.errors import EngineError, FailedRequestError, RequestError
from core.notices import LOGGER
from engines.endpoint.settings import Timeouts
from engines.http import transport as module
from engines.http.contact import wait_for
from engines.http.faults import TryFailedError
from engines.http.transport import HttpTransport
from tests.engines.http.fault_server import serving
from tests.engines.http.test_transport import BODY, Reply, first_then_well, post, transport_to


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
        # The first of the ten never succeeds. How often others fail in the outage depends on their order.
        at_fault = body["n"] == 0
        return (500, {}, b"") if at_fault or next(failures, None) is not None else None

    with serving(reply=reply) as server:
        transport = transport_to(server, max_tries=2, concurrency=4)
        outcomes = asyncio.run(settled(transport, 10))
    answered = [outcome for outcome in outcomes if isinstance(outcome, dict)]
    given_up = [outcome for outcome in outcomes if isinstance(outcome, FailedRequestError)]
    assert isinstance(outcomes[0], FailedRequestError), outcomes[0]
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


def failing_after_the_first(times: int) -> Callable[[dict[str, Any]], Reply | None]:
    """Answer one request, then fail so many times."""
    count = iter(range(times + 1))
    return lambda body: (500, {}, b"") if next(count, 0) else None


@pytest.mark.usefixtures("short_pauses")
def test_the_last_request_of_a_run_is_not_given_up_in_an_outage():
    with serving(reply=failing_after_the_first(60)) as server:
        transport = transport_to(server, max_tries=12)
        assert [type(outcome) for outcome in asyncio.run(settled(transport, 1))] == [dict]
    assert transport.traffic.retries == {"500 Internal Server Error": 60}
    assert transport.traffic.tries == 1 + 60 + 1
    assert not transport.traffic.failures


@pytest.mark.usefixtures("short_pauses")
def test_an_outage_that_lasts_ends_the_run_though_one_request_is_left():
    with serving(reply=failing_after_the_first(10**6)) as server:
        transport = transport_to(server, max_tries=12, outage_s=1.0)
        (outcome,) = asyncio.run(settled(transport, 1))
    assert isinstance(outcome, EngineError)
    assert "no usable answer for" in str(outcome)
    assert not transport.traffic.failures


@pytest.mark.parametrize("outage_s", [600.0, 0.01])
@pytest.mark.usefixtures("short_pauses")
def test_a_last_request_that_fails_by_itself_is_given_up(outage_s: float):
    with serving(reply=lambda body: (500, {}, b"") if "n" in body else None) as server:
        transport = transport_to(server, max_tries=12, outage_s=outage_s)
        (outcome,) = asyncio.run(settled(transport, 1))
    assert isinstance(outcome, FailedRequestError), outcome
    assert "12 tries; the last one: 500 Internal Server Error" in str(outcome)
    assert transport.traffic.retries["500 Internal Server Error"] == 11
    assert transport.traffic.retries["answered request sent again"] >= 1
    assert transport.traffic.tries == 1 + 12 + transport.traffic.retries["answered request sent again"]


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
        transport = transport_to(server, timeouts=Timeouts(), max_tries=10)
        assert asyncio.run(ask(transport))["choices"]
    # Three where nothing else runs; on a busy machine the answers beside it take longer, too.
    assert 1 <= transport.traffic.retries["lost request"] < 10


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


def test_a_storm_of_refusals_at_the_start_is_shown_at_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", logger=LOGGER.name)
    monkeypatch.setattr("engines.http.contact._SHOWN_AFTER_S", 60.0)
    refused = [(429, {"retry-after": "0.2"}, b"slow down")] * 2
    with serving(reply=first_then_well(*refused)) as server:
        transport = transport_to(server)
        shown: list[str] = []

        async def ask() -> None:
            await transport.get("models", dict)
            shown.extend(record.getMessage() for record in caplog.records)

        wait_for(ask(), transport)
    assert [line for line in shown if line.startswith(f"wait for {server.url}/v1")]


def test_a_server_that_is_not_there_is_not_shown_as_waited_for(caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", logger=LOGGER.name)
    with serving() as server:
        pass
    transport = transport_to(server)
    with pytest.raises(EngineError, match="no connection"):
        wait_for(transport.get("models", dict), transport)
    assert not [record for record in caplog.records if "wait for" in record.getMessage()]

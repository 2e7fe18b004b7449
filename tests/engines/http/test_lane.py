"""Who waits for a place at a server, and that nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from core.errors import ConfigError
from engines.http.breaker import CircuitBreaker
from engines.http.faults import TryFailedError
from engines.http.lane import Lane
from engines.http.pace import Pace

FAILED = TryFailedError("500 Internal Server Error")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engines.http.breaker._FIRST_WAIT_S", 0.01)
    monkeypatch.setattr("engines.http.breaker._LONGEST_WAIT_S", dict.fromkeys(("fault", "overload"), 0.02))
    monkeypatch.setattr("engines.http.lane._LOOK_S", 0.05)


async def opening() -> AsyncGenerator[Any, None]:
    yield "client"


def with_open_circuit() -> tuple[Lane, CircuitBreaker]:
    breaker = CircuitBreaker("http://host")
    lane = Lane(opening, Pace(64), breaker)
    while not breaker.is_open:
        breaker.failed(FAILED, probe=False)
    return lane, breaker


async def waiting_behind_a_probe(lane: Lane, count: int) -> list[asyncio.Task[Any]]:
    """Let one request probe the server and others wait for what becomes of it."""
    _, probe = await asyncio.wait_for(lane.enter(), 30)
    assert probe
    tasks = [asyncio.ensure_future(lane.enter()) for _ in range(count)]
    await asyncio.sleep(0.02)
    assert not any(task.done() for task in tasks)
    return tasks


def test_another_one_probes_when_the_probe_failed_and_does_not_come_back():
    async def check() -> None:
        lane, breaker = with_open_circuit()
        waiting = await waiting_behind_a_probe(lane, 5)
        for left in (4, 3):
            breaker.failed(FAILED, probe=True)
            lane.leave()
            done, pending = await asyncio.wait(waiting, timeout=30, return_when=asyncio.FIRST_COMPLETED)
            assert len(pending) == left
            assert done.pop().result()[1]
            waiting = list(pending)
        breaker.answered()
        lane.leave()
        await asyncio.wait_for(asyncio.gather(*waiting), 30)

    asyncio.run(check())


@pytest.mark.parametrize("leaves", [True, False])
def test_another_one_probes_when_the_probe_was_cancelled(leaves: bool):
    async def check() -> None:
        lane, breaker = with_open_circuit()
        waiting = await waiting_behind_a_probe(lane, 3)
        breaker.abandoned(probe=True)
        if leaves:  # else it was one of another event loop, which wakes nobody here
            lane.leave()
        done, _ = await asyncio.wait(waiting, timeout=30, return_when=asyncio.FIRST_COMPLETED)
        assert len(done) == 1
        for task in waiting:
            task.cancel()

    asyncio.run(check())


def test_a_client_that_could_not_be_opened_is_opened_again():
    tries = 0

    async def failing() -> AsyncGenerator[Any, None]:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise ConfigError("no certificates")
        yield "client"

    async def check() -> None:
        lane = Lane(failing, Pace(64), CircuitBreaker("http://host"))
        for _ in range(2):
            with pytest.raises(ConfigError):
                await lane.client()
        assert await lane.client() == "client"

    asyncio.run(check())

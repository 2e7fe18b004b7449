"""The time limit counts an engine's silence, never the time in a queue or in loading."""

from __future__ import annotations

import asyncio

import pytest

from core.errors import FailedRequestError
from engines.requests.waiting import WaitingRequests


class Clock:
    """A clock that tests set, in place of the time."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Working:
    """An engine that reports its steps."""

    progress: int | None = None


async def silent(waiting: WaitingRequests) -> None:
    with waiting.request():
        await asyncio.Event().wait()


def test_a_request_of_a_silent_engine_fails_and_names_the_setting():
    waiting = WaitingRequests(object(), 0.05)
    with pytest.raises(FailedRequestError, match="no answer within the time limit") as caught:
        asyncio.run(silent(waiting))
    assert caught.value.detail == "engine.request_timeout_s is 0.05"
    assert waiting.stuck() == (0, 0.0)


def test_without_a_limit_a_request_waits():
    async def main() -> None:
        async with asyncio.timeout(0.1):
            await silent(WaitingRequests(object(), None))

    with pytest.raises(TimeoutError):
        asyncio.run(main())


def test_answers_to_others_keep_a_request_alive():
    async def main() -> tuple[float, float]:
        clock = Clock()
        waiting = WaitingRequests(object(), 100.0, clock)
        task = asyncio.create_task(silent(waiting))
        await asyncio.sleep(0)
        clock.now = 45.0
        waiting.stuck()
        clock.now = 90.0
        before = waiting.stuck()[1]
        with waiting.request():
            pass
        after = waiting.stuck()[1]
        task.cancel()
        return before, after

    assert asyncio.run(main()) == (90.0, 0.0)


def test_the_time_in_which_this_process_was_stopped_is_not_the_engine_s_silence():
    async def main() -> float:
        clock = Clock()
        waiting = WaitingRequests(object(), 100.0, clock)
        task = asyncio.create_task(silent(waiting))
        await asyncio.sleep(0)
        clock.now = 7200.0  # Ctrl-Z, and `fg` two hours later
        quiet = waiting.stuck()[1]
        task.cancel()
        return quiet

    assert asyncio.run(main()) == 0.0


def test_loading_and_steps_are_progress():
    async def main() -> list[float]:
        clock, engine, found = Clock(), Working(), []
        waiting = WaitingRequests(engine, 100.0, clock)
        task = asyncio.create_task(silent(waiting))
        await asyncio.sleep(0)
        for now, progress in ((90.0, None), (180.0, 0), (240.0, 0), (300.0, 1), (330.0, 1)):
            clock.now, engine.progress = now, progress
            found.append(waiting.stuck()[1])
        task.cancel()
        return found

    assert asyncio.run(main()) == [0.0, 0.0, 60.0, 0.0, 30.0]


def test_cancelling_from_outside_is_no_time_out():
    async def main() -> None:
        task = asyncio.create_task(silent(WaitingRequests(object(), 10.0)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())

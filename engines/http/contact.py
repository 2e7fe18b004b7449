"""Ask a server from code that is not asynchronous, and show that it is waited for.

A server that works but refuses for overload may do so for a minute: that is shown at once.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from core.progress import progress
from core.terminal.interrupts import run_interruptibly
from engines.http.transport import HttpTransport

_SHOWN_AFTER_S = 1.5
_LOOK_S = 0.1
_REFRESH_S = 0.5

_Result = TypeVar("_Result")


def wait_for(work: Coroutine[Any, Any, _Result], transport: HttpTransport) -> _Result:
    """Return the result of a coroutine that asks a server; show progress if that takes longer than a moment.

    It runs in a thread of its own if this thread runs an event loop already.
    """
    shown = _shown(work, transport)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return run_interruptibly(shown)
    return _in_thread(shown)


async def _shown(work: Coroutine[Any, Any, _Result], transport: HttpTransport) -> _Result:
    task = asyncio.ensure_future(work)
    try:
        shown_at = time.monotonic() + _SHOWN_AFTER_S
        while not task.done() and not transport.is_retrying and time.monotonic() < shown_at:
            await asyncio.wait({task}, timeout=_LOOK_S)
        if not task.done():
            with progress(f"wait for {transport.endpoint.url}", None) as shown:
                while not task.done():
                    shown.note(transport.summary())
                    await asyncio.wait({task}, timeout=_REFRESH_S)
        return task.result()
    finally:
        task.cancel()


def _in_thread(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a coroutine in a new thread, which an interruption does not wait for."""
    results: list[_Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(asyncio.run(work))
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            errors.append(error)

    thread = threading.Thread(target=run, name="server contact", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]

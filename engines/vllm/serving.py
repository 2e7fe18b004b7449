"""The host process's side: serve one model to one parent process and never outlive it.

Inference libraries start processes that keep running when their parent dies. The host is the leader of a
process group that contains all of them. A watchdog thread watches the parent and kills the whole group as
soon as the parent is gone, for whatever reason. It is a thread because loading blocks the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Protocol

from core.errors import FailedRequestError, RequestError, on_one_line
from engines.vllm.processes import kill_group
from engines.vllm.wire import (
    Adapter,
    AdapterAttached,
    Ask,
    AttachAdapter,
    Cancel,
    Close,
    Down,
    FromHost,
    Load,
    Progress,
    Ready,
    Refused,
    Response,
    ToHost,
    to_host,
)

_SIGN_S = 5.0
"""Seconds between two signs that the model is working."""
_WATCH_S = 1.0
"""Seconds between checks of the parent's id: a forked child of the parent may keep the socket open."""


class Backend(Protocol):
    """A loaded model."""

    @property
    def max_tokens(self) -> int:
        """Maximum number of tokens in a prompt and its answer."""
        ...

    async def answer(self, ask: Ask) -> Response:
        """Return the answer. Raises RequestError if this request alone cannot be run."""
        ...

    async def attach(self, adapter: Adapter) -> None:
        """Load an adapter that replaces the previous one for all later requests that name none."""
        ...

    @property
    def is_broken(self) -> bool:
        """True if no further request can be answered."""
        ...

    @property
    def tokens(self) -> int:
        """Number of tokens drawn for finished and running requests."""
        ...

    def close(self) -> None:
        """Free the model and end the processes that run it."""
        ...


class Host:
    """Serves the requests that arrive over a connection.

    Args:
        connection: the socket to the parent.
        parent: the parent's process id.
        load: loads the model; it may block the event loop.
    """

    def __init__(
        self, connection: socket.socket, parent: int, load: Callable[[Load], Awaitable[Backend]]
    ) -> None:
        # Otherwise processes started here would hold the connection open after this one has died.
        connection.set_inheritable(False)
        self._connection = connection
        self._parent = parent
        self._load = load
        self._loaded = False
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Load the model and serve until the parent closes the link; return early if the model fails."""
        loop = asyncio.get_running_loop()
        inbox: asyncio.Queue[ToHost] = asyncio.Queue()
        threading.Thread(target=self._watch, args=(loop, inbox), name="watchdog", daemon=True).start()
        first = await inbox.get()
        assert isinstance(first, Load)
        try:
            backend = await self._load(first)
        except Exception as error:  # noqa: BLE001  vLLM may raise anything, and the parent must be notified
            self._send(Down(reason=_reason(error)))
            return
        self._loaded = True
        self._send(Ready(max_tokens=backend.max_tokens))
        try:
            await self._serve(backend, inbox)
        finally:
            backend.close()

    async def _serve(self, backend: Backend, inbox: asyncio.Queue[ToHost]) -> None:
        broken = asyncio.Event()
        signs = asyncio.create_task(self._show_progress(backend))
        try:
            await self._receive(backend, inbox, broken)
        finally:
            signs.cancel()

    async def _show_progress(self, backend: Backend) -> None:
        """Report from time to time that tokens are drawn: an answer is sent only when it is complete."""
        shown = -1
        while True:
            await asyncio.sleep(_SIGN_S)
            try:
                tokens = backend.tokens
            except Exception:  # noqa: BLE001  vLLM's own state has another form: not known counts as alive
                tokens = shown + 1
            if self._tasks and tokens != shown:
                shown = tokens
                self._send(Progress(tokens=shown))

    async def _receive(self, backend: Backend, inbox: asyncio.Queue[ToHost], broken: asyncio.Event) -> None:
        end = asyncio.create_task(broken.wait())
        while True:
            got = asyncio.create_task(inbox.get())
            await asyncio.wait((got, end), return_when=asyncio.FIRST_COMPLETED)
            if broken.is_set():
                return
            match got.result():
                case Ask() as ask:
                    work = self._reply(ask.id, backend, partial(backend.answer, ask), broken)
                    self._tasks[ask.id] = asyncio.create_task(work)
                case AttachAdapter() as attach:
                    work = self._reply(attach.id, backend, partial(_attach, backend, attach), broken)
                    self._tasks[attach.id] = asyncio.create_task(work)
                case Cancel(id=number) if number in self._tasks:
                    self._tasks[number].cancel()
                case Close():
                    break
        for task in self._tasks.values():
            task.cancel()
        # The backend may only be closed when no task uses it any more.
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _reply(
        self,
        number: int,
        backend: Backend,
        work: Callable[[], Awaitable[FromHost]],
        broken: asyncio.Event,
    ) -> None:
        try:
            self._send(await work())
        except RequestError as error:
            may_pass = isinstance(error, FailedRequestError)
            self._send(Refused(id=number, reason=error.reason, detail=error.detail, may_pass=may_pass))
        except Exception as error:  # noqa: BLE001  see `run`
            if not backend.is_broken:
                reason = f"the engine failed on the request ({type(error).__name__})"
                self._send(Refused(id=number, reason=reason, detail=on_one_line(error), may_pass=True))
                return
            # After one failure the host shuts down and other requests fail too: only the first is reported.
            if not broken.is_set():
                self._send(Down(reason=_reason(error)))
            broken.set()
        finally:
            self._tasks.pop(number, None)

    def _send(self, message: FromHost) -> None:
        with contextlib.suppress(OSError):  # if the parent is gone, the watchdog ends this process
            self._connection.sendall(message.to_line())

    def _watch(self, loop: asyncio.AbstractEventLoop, inbox: asyncio.Queue[ToHost]) -> None:
        try:
            for line in _lines(self._connection, self._parent):
                message = to_host.validate_json(line)
                if isinstance(message, Close) and not self._loaded:
                    # The event loop is busy loading and could not react. Nothing needs an orderly end yet.
                    break
                try:
                    loop.call_soon_threadsafe(inbox.put_nowait, message)
                except RuntimeError:  # the event loop is closed: the process is about to exit
                    return
        except ValueError as error:  # a parent of another version
            self._send(Down(reason=f"a message that the host does not know ({_reason(error)})"))
        end_own_group()


async def _attach(backend: Backend, attach: AttachAdapter) -> AdapterAttached:
    await backend.attach(attach.adapter)
    return AdapterAttached(id=attach.id)


def end_own_group() -> None:
    """Kill this process at once, with its whole process group if it leads one."""
    if os.getpgrp() == os.getpid():
        kill_group(os.getpgrp())
    os.kill(os.getpid(), signal.SIGKILL)


def _lines(connection: socket.socket, parent: int) -> Iterator[bytes]:
    """Yield the lines that the parent sends until it is gone."""
    rest = b""
    while True:
        readable, _, _ = select.select([connection], [], [], _WATCH_S)
        if not readable:
            # An orphan is given another parent. The socket alone would not tell: see `_WATCH_S`.
            if os.getppid() != parent:
                return
            continue
        try:
            received = connection.recv(1 << 18)
        except OSError:
            return
        if not received:
            return
        *lines, rest = (rest + received).split(b"\n")
        yield from lines


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {on_one_line(error)}"

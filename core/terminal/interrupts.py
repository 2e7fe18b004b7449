"""Interruption by Ctrl-C (SIGINT) or SIGTERM: the process stops within a second, whatever it is doing.

The first signal cancels the coroutine that `run_interruptibly` started, or raises KeyboardInterrupt where
there is none. A coroutine that computes without awaiting does not notice, so KeyboardInterrupt is raised in
it after `_RAISE_AFTER_S`. A process that has not ended after `_EXIT_AFTER_S`, because it is in the C code of
a library or in its own clean-up, exits from within: record files and checkpoints survive a kill. Further
signals change nothing, so an impatient user gets the same clean end.

Python runs signal handlers in the main thread between two bytecodes, which may be seconds away. The
interpreter's C handler also writes the signal's number to a socket at once, and a thread here reads it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncio  # imported where it is used: until the handlers are installed, each millisecond counts

SIGNALS = (signal.SIGINT, signal.SIGTERM)
INTERRUPTED = "interrupted; completed work is saved. Run the same command to resume"
INTERRUPTED_WHOLE = "interrupted; nothing was written. Run the same command to begin again"
"""Of work whose result appears only when it is complete."""

_RAISE_AFTER_S = 0.2
_EXIT_AFTER_S = 0.45
_STOP_AFTER_S = 0.9
"""As `_EXIT_AFTER_S`, for a block that a signal ends in the normal way."""
_SHOW_CURSOR = "\x1b[?25h"
"""A progress bar hides the terminal's cursor; a process that exits at once must show it again."""

_Result = TypeVar("_Result")


@dataclass
class _Watch:
    """State of the handlers while they are installed."""

    exits: bool
    """True if the process may exit from within; False where a program that uses the library owns it."""
    received: int | None = None
    """The signal that asked this process to stop; None if there was none."""
    task: asyncio.Task[Any] | None = None
    """The coroutine that the main thread runs."""
    stop: Callable[[], None] | None = None
    """Called by the first signal instead of an interruption."""
    turned: threading.Event = field(default_factory=threading.Event)
    """Set once the event loop has delivered the cancellation."""
    settled: threading.Event = field(default_factory=threading.Event)
    """Set once the signal has had its effect, so the process must not exit from within."""
    raising: bool = False
    quiet: bool = False
    """True if the process says nothing at its end, since another process speaks for it."""

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Stop at the first signal; ignore all others."""
        if self.raising:  # sent by the watching thread to this thread
            self.raising, self.received = False, number
            raise KeyboardInterrupt
        if self.received is not None:
            return
        self.received = number
        if self.stop is not None:
            self.stop()
        elif self.task is not None and not self.task.done():
            self.task.cancel()
            # Also wakes the loop if it waits for a descriptor.
            self.task.get_loop().call_soon_threadsafe(self.turned.set)
        else:
            self.turned.set()
            raise KeyboardInterrupt

    def watch(self, signals: socket.socket) -> None:
        """Read the signals' numbers until the other end is closed, and see to it that each has its effect."""
        with signals:
            while number := signals.recv(1):
                if number[0] in SIGNALS:
                    self._insist(number[0], self.settled, self.turned, stops=self.stop is not None)
                    with contextlib.suppress(BlockingIOError):
                        signals.recv(4096, socket.MSG_DONTWAIT)  # signals that were ignored meanwhile

    def _insist(self, number: int, settled: threading.Event, turned: threading.Event, *, stops: bool) -> None:
        # The handler runs in the main thread, which may be in C code for a long time.
        if not turned.wait(_RAISE_AFTER_S) and not stops and not settled.is_set():
            _silence_asyncio()
            self.raising = True
            signal.pthread_kill(threading.main_thread().ident or 0, number)
        after_s = _STOP_AFTER_S if stops else _EXIT_AFTER_S
        if self.exits and not settled.wait(after_s - _RAISE_AFTER_S):
            self.exit_now(number)

    def exit_now(self, number: int) -> None:
        """End the process without any clean-up."""
        if not self.quiet:
            with contextlib.suppress(OSError):
                os.write(2, f"{_SHOW_CURSOR if os.isatty(2) else ''}{_message}\n".encode())
        os._exit(exit_code(number))


_watch: _Watch | None = None
_message = INTERRUPTED


@contextlib.contextmanager
def all_or_nothing() -> Iterator[None]:
    """Say of an interruption in the block that nothing was written."""
    global _message
    _message = INTERRUPTED_WHOLE
    try:
        yield
    except KeyboardInterrupt:
        raise  # the message is printed later
    except BaseException:
        _message = INTERRUPTED
        raise
    _message = INTERRUPTED


def interruption_message() -> str:
    """Return what to say of the interruption that ends this process."""
    return _message


@contextlib.contextmanager
def caught(*, exits: bool = True) -> Iterator[None]:
    """Handle SIGINT and SIGTERM in the block as described above. Has no effect inside another such block.

    A signal that the caller ignores, as in a background job of a shell script, remains ignored.

    Args:
        exits: True if the process may exit from within when it does not stop in time.
    """
    global _watch, _message
    signals = [number for number in SIGNALS if signal.getsignal(number) in _DEFAULTS]
    if _watch is not None or not signals or threading.current_thread() is not threading.main_thread():
        yield
        return
    watch = _watch = _Watch(exits)
    _message = INTERRUPTED
    theirs, ours = socket.socketpair()
    ours.setblocking(False)
    before = {number: signal.signal(number, watch.handle) for number in signals}
    reported = sys.unraisablehook
    sys.unraisablehook = _without_interruptions(reported)
    wakeup = signal.set_wakeup_fd(ours.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=watch.watch, args=(theirs,), name="interrupts", daemon=True).start()
    try:
        yield
    finally:
        if watch.exits and watch.received is not None:
            # The process is about to end; the thread still watches how long that takes.
            _silence_asyncio()
            for number in signals:
                signal.signal(number, signal.SIG_IGN)
        else:
            for number, handler in before.items():
                signal.signal(number, handler)
            sys.unraisablehook = reported
            signal.set_wakeup_fd(wakeup)
            ours.close()
        _watch = None


def _without_interruptions(
    reported: Callable[[sys.UnraisableHookArgs], object],
) -> Callable[[sys.UnraisableHookArgs], object]:
    """Return a hook that reports no KeyboardInterrupt, which cannot be raised from `__del__` or a callback.

    It would be printed with its traceback. The process exits from within.
    """

    def hook(unraised: sys.UnraisableHookArgs) -> None:
        if not issubclass(unraised.exc_type, KeyboardInterrupt):
            reported(unraised)

    return hook


_DEFAULTS = (signal.default_int_handler, signal.SIG_DFL)


def run_interruptibly(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a coroutine as `asyncio.run` does, and raise KeyboardInterrupt if a signal interrupts it."""
    with caught(exits=False):
        watch = _watch
        import asyncio

        if watch is None or threading.current_thread() is not threading.main_thread():
            return asyncio.run(work)

        async def registered() -> _Result:
            watch.task = asyncio.current_task()
            try:
                return await work
            finally:
                watch.task = None

        try:
            return asyncio.run(registered())
        except asyncio.CancelledError:
            if watch.received is None:
                raise
            raise KeyboardInterrupt from None


@contextlib.contextmanager
def stopped_by(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at the first signal in the block, in place of an interruption.

    For a server, which a signal ends in the normal way: the caller goes on after the block. A signal after it
    interrupts as usual, and the process exits if the block does not end in time.
    """
    watch = _watch
    if watch is None:
        yield
        return
    watch.stop = stop
    try:
        yield
    finally:
        settled, watch.stop, watch.received = watch.settled, None, None
        watch.settled, watch.turned = threading.Event(), threading.Event()
        settled.set()


def received() -> int | None:
    """Return the signal that interrupted this process; None if there was none."""
    return None if _watch is None else _watch.received


def end_interrupted() -> int:
    """End this process, whose message was printed, with the code of its signal.

    The interpreter's own clean-up is left out: it waits for the threads of libraries, and may die of a second
    SIGINT that it sends to itself. Without a signal, as in a test that raises KeyboardInterrupt, the code of
    SIGINT is returned.
    """
    number = received()
    if number is None:
        return exit_code(signal.SIGINT)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(exit_code(number))


def say_nothing() -> None:
    """End without a message if this process has to exit from within."""
    if _watch is not None:
        _watch.quiet = True


def exit_code(number: int) -> int:
    """Return the exit code of a process that a signal interrupted: 130 for SIGINT, 143 for SIGTERM."""
    return 128 + number


def _silence_asyncio() -> None:
    """Keep asyncio from logging the tasks that an interruption leaves behind."""
    import logging

    logging.getLogger("asyncio").setLevel(logging.CRITICAL + 1)
    sys.unraisablehook = lambda _: None

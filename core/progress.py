"""Progress reporting: a bar on a terminal, plain lines elsewhere, log records when used as a library.

All three show the same columns. Without a terminal, a line is written at the start, at the end, and in
between when something changed. A step without changes still writes a line from time to time, to show that it
is running. Only the command line writes progress to standard error (`show_progress`); otherwise the lines go
to the logger `publius`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TextIO

from core.notices import LOGGER, PROGRESS
from core.terminal.inert import inert

if TYPE_CHECKING:
    from rich.console import RenderableType

_LINE_EVERY_S = 5.0
_SIGN_OF_LIFE_S = 15.0
_BAR_WIDTH, _SHORTEST_BAR, _GAP = 32, 10, 2
"""Columns of a bar on a wide and on a narrow terminal, and between two parts of the line."""
_on_screen = False
_facts: dict[str, str] = {}


def show_progress() -> None:
    """Write progress to standard error from now on, instead of the log."""
    global _on_screen
    _on_screen = True


def show_fact(name: str, text: str) -> None:
    """Show a short text about the process, such as "1 of 2 threads", at the right of every line from now on.

    Args:
        name: what the text is about; a later call with the same name replaces it.
        text: empty to show nothing.
    """
    _facts[name] = text


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Show neither progress nor notices while the block runs; errors are raised as always."""
    global _on_screen
    before, level = _on_screen, LOGGER.level
    _on_screen = False
    LOGGER.setLevel(logging.ERROR)
    try:
        yield
    finally:
        _on_screen = before
        LOGGER.setLevel(level)


class ProgressTask:
    """Progress of one step. Work done before this process (`done`) counts as done, but not for the rate."""

    def __init__(
        self, label: str, total: int | None, done: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.label = inert(label)
        self.total = total
        self.done = done
        self._done_before = done
        self._note = ""
        self._clock = clock
        self._started = clock()
        self._lock = threading.Lock()

    def advance(self, n: int = 1) -> None:
        """Count `n` more items as done. Thread-safe."""
        with self._lock:
            self.done += n

    def expect(self, n: int = 1) -> None:
        """Count `n` items more in the total. Thread-safe."""
        with self._lock:
            self.total = (self.total or 0) + n

    def note(self, text: str) -> None:
        """Show a short text at the right, such as "212 tokens/s", until the next call."""
        self._note = inert(" ".join(text.split()))

    @property
    def elapsed_s(self) -> float:
        """Seconds since this process started the step."""
        return self._clock() - self._started

    @property
    def rate(self) -> float | None:
        """Items per second in this process; None before the first item."""
        done_here, elapsed_s = self.done - self._done_before, self.elapsed_s
        return done_here / elapsed_s if done_here > 0 and elapsed_s > 0 else None

    def columns(self, *, finished: bool = False) -> list[str]:
        """Return the count, percentage, rate, time and note, each as it is shown.

        The time is the remaining time ("ETA 0:15") if it can be estimated, else the elapsed time ("in 0:15").
        """
        columns = [f"{self.done:,}/{self.total:,}" if self.total is not None else f"{self.done:,}"]
        if self.total:
            columns.append(f"{100 * self.done // self.total}%")
        rate = self.rate
        if rate is not None:
            columns.append(_per_time(rate))
        if rate is not None and self.total is not None and not finished:
            columns.append(f"ETA {shown_time(max(0, self.total - self.done) / rate)}")
        else:
            columns.append(f"in {shown_time(self.elapsed_s)}")
        return [*columns, *(text for text in (*_facts.values(), self._note) if text)]


def _per_time(rate: float) -> str:
    if rate < 0.1:
        return f"{60 * rate:.1f}/min"
    return f"{rate:.1f}/s" if rate < 100 else f"{rate:,.0f}/s"


def shown_time(seconds: float) -> str:
    """Return seconds as `3:17`, or `1:03:17` from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextlib.contextmanager
def progress(
    label: str, total: int | None, *, done: int = 0, stream: TextIO | None = None
) -> Iterator[ProgressTask]:
    """Show the progress of the block and yield the task for the block to advance.

    Args:
        label: Name of the step.
        total: Number of items; None if it is not known.
        done: Number of items that an earlier process finished.
        stream: Stream to write to; if None, standard error after `show_progress`, else the log.
    """
    task = ProgressTask(label, total, done)
    if stream is None and _on_screen:
        stream = sys.stderr
    if stream is None:
        shown = _plain_lines(task, _log_line)
    else:
        shown = _bar(task, stream) if _is_terminal(stream) else _plain_lines(task, _writer(stream))
    with shown:
        yield task


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


class _Bars:
    """The bars of the steps that run now, one below the other; a terminal has one live display."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self.tasks: dict[ProgressTask, bool] = {}
        """For each step on display, True if it is finished."""
        self.live = Live(
            console=Console(file=stream, markup=False, emoji=False, highlight=False),
            get_renderable=self._rows,
            # Standard output may be piped to another program, so rich must not redirect it to the bars.
            redirect_stdout=False,
        )

    def _rows(self) -> RenderableType:
        from rich.console import Group

        return Group(
            *(
                _bar_row(task, self.live.console.width, finished=finished)
                for task, finished in self.tasks.items()
            )
        )

    def finish(self, task: ProgressTask) -> None:
        """Show a step as finished: above the others or, if it is the last one, at the end of the display."""
        if len(self.tasks) > 1:
            del self.tasks[task]
            self.live.console.print(_bar_row(task, self.live.console.width, finished=True))
        else:
            self.tasks[task] = True


_bars: dict[TextIO, _Bars] = {}


@contextlib.contextmanager
def _bar(task: ProgressTask, stream: TextIO) -> Iterator[None]:
    bars = _bars.get(stream)  # of another step that runs at the same time
    if bars is None:
        bars = _bars[stream] = _Bars(stream)
        bars.tasks[task] = False
        bars.live.start(refresh=True)
    bars.tasks[task] = False
    try:
        yield
    finally:
        bars.finish(task)
        if all(bars.tasks.values()):
            del _bars[stream]
            bars.live.stop()


def _bar_row(task: ProgressTask, width: int, *, finished: bool) -> RenderableType:
    """Return the line of a task: on a narrow terminal with a shorter bar, and what does not fit below it."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    beside, below = task.columns(finished=finished), list[str]()
    while beside and (left := width - _needed(task.label, beside)) < _SHORTEST_BAR:
        below.insert(0, beside.pop())
    bar = ProgressBar(
        total=task.total,
        completed=task.done,
        width=max(1, min(_BAR_WIDTH, left if beside else width - len(task.label) - _GAP)),
        pulse=not task.total and not finished,
    )
    row = Table.grid(padding=(0, _GAP, 0, 0), pad_edge=False)
    row.add_row(Text(task.label, no_wrap=True), bar, *(Text(part, no_wrap=True) for part in beside))
    rest = " " * _GAP + (" " * _GAP).join(below)
    return Group(row, Text(rest, no_wrap=True, overflow="ellipsis")) if below else row


def _needed(label: str, parts: Sequence[str]) -> int:
    """Return the columns of a line without its bar."""
    return len(label) + sum(map(len, parts)) + _GAP * (len(parts) + 1)


@contextlib.contextmanager
def _plain_lines(task: ProgressTask, write: Callable[[str], None]) -> Iterator[None]:
    stop = threading.Event()
    write(_line(task))
    reporter = threading.Thread(
        target=_report, args=(task, write, stop), name=f"progress {task.label}", daemon=True
    )
    reporter.start()
    try:
        yield
    finally:
        stop.set()
        reporter.join()
        write(_line(task, finished=True))


def _report(task: ProgressTask, write: Callable[[str], None], stop: threading.Event) -> None:
    """Write a line when something changed or after `_SIGN_OF_LIFE_S` seconds, until `stop` is set."""
    shown, shown_at = task.done, time.monotonic()
    while not stop.wait(_LINE_EVERY_S):
        if task.done != shown or time.monotonic() - shown_at >= _SIGN_OF_LIFE_S:
            write(_line(task))
            shown, shown_at = task.done, time.monotonic()


def _line(task: ProgressTask, *, finished: bool = False) -> str:
    return "  ".join([task.label, *task.columns(finished=finished)])


def _log_line(line: str) -> None:
    LOGGER.info(line, extra={PROGRESS: True})


def _writer(stream: TextIO) -> Callable[[str], None]:
    def write(line: str) -> None:
        # The reader may have closed the stream. The work continues without progress lines.
        with contextlib.suppress(OSError, ValueError):
            stream.write(line + "\n")
            stream.flush()

    return write

"""Progress of a long step: log records of a library, a bar on a terminal, plain lines everywhere else.

All show the same figures. Without a terminal a line appears at the start, at the end, and in between when
something changed; a step that is silent for long still shows that it is alive. Only the command line shows
progress on standard error (`show_progress`); otherwise the lines go to the logger `publius`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TextIO

from core.notices import note

if TYPE_CHECKING:
    from rich.console import RenderableType

_LINE_EVERY_S = 5.0
_SIGN_OF_LIFE_S = 15.0
_BAR_WIDTH = 32
_on_screen = False


def show_progress() -> None:
    """Show progress on standard error from now on, in place of the log."""
    global _on_screen
    _on_screen = True


class ProgressTask:
    """How far one step is. Work done before this process (`done`) counts as done, but not for the rate."""

    def __init__(
        self, label: str, total: int | None, done: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.label = label
        self.total = total
        self.done = done
        self._done_before = done
        self._note = ""
        self._clock = clock
        self._started = clock()
        self._lock = threading.Lock()

    def advance(self, n: int = 1) -> None:
        """Count `n` more pieces of work as done; any thread may call."""
        with self._lock:
            self.done += n

    def note(self, text: str) -> None:
        """Show a short text at the right, as in "212 tokens/s", until the next one."""
        self._note = " ".join(text.split())

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start of the step in this process."""
        return self._clock() - self._started

    @property
    def rate(self) -> float | None:
        """Pieces per second of this process; None before the first one."""
        done_here, elapsed_s = self.done - self._done_before, self.elapsed_s
        return done_here / elapsed_s if done_here > 0 and elapsed_s > 0 else None

    def figures(self, *, finished: bool = False) -> list[str]:
        """Return the count, percentage, rate, time and note, each as it is shown.

        The time is what is left ("ETA 0:15") while that can be told, else what has passed ("in 0:15").
        """
        figures = [f"{self.done:,}/{self.total:,}" if self.total is not None else f"{self.done:,}"]
        if self.total:
            figures.append(f"{100 * self.done // self.total}%")
        rate = self.rate
        if rate is not None:
            figures.append(_per_time(rate))
        if rate is not None and self.total is not None and not finished:
            figures.append(f"ETA {_duration(max(0, self.total - self.done) / rate)}")
        else:
            figures.append(f"in {_duration(self.elapsed_s)}")
        return [*figures, self._note] if self._note else figures


def _per_time(rate: float) -> str:
    if rate < 0.1:
        return f"{60 * rate:.1f}/min"
    return f"{rate:.1f}/s" if rate < 100 else f"{rate:,.0f}/s"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextlib.contextmanager
def progress(
    label: str, total: int | None, *, done: int = 0, stream: TextIO | None = None
) -> Iterator[ProgressTask]:
    """Show the progress of the block, and yield the task that the block advances.

    Args:
        label: Name of the step.
        total: How many pieces of work there are; None if that is not known.
        done: How many of them an earlier process did.
        stream: Where to show it; if not given, standard error after `show_progress`, else the log.
    """
    task = ProgressTask(label, total, done)
    if stream is None and _on_screen:
        stream = sys.stderr
    if stream is None:
        shown = _plain_lines(task, note)
    else:
        shown = _bar(task, stream) if _is_terminal(stream) else _plain_lines(task, _writer(stream))
    with shown:
        yield task


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


@contextlib.contextmanager
def _bar(task: ProgressTask, stream: TextIO) -> Iterator[None]:
    from rich.console import Console
    from rich.live import Live

    finished = False
    live = Live(
        console=Console(file=stream),
        get_renderable=lambda: _bar_row(task, finished=finished),
        # Standard output may carry a result for another program: it is not to be drawn over the bar.
        redirect_stdout=False,
    )
    with live:
        try:
            yield
        finally:
            finished = True


def _bar_row(task: ProgressTask, *, finished: bool) -> RenderableType:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    bar = ProgressBar(
        total=task.total, completed=task.done, width=_BAR_WIDTH, pulse=not task.total and not finished
    )
    row = Table.grid(padding=(0, 2, 0, 0))
    row.add_row(
        Text(task.label, no_wrap=True), bar, *(Text(f, no_wrap=True) for f in task.figures(finished=finished))
    )
    return row


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
    """Write a line when something changed, or after a longer while, until `stop` is set."""
    shown, shown_at = task.done, time.monotonic()
    while not stop.wait(_LINE_EVERY_S):
        if task.done != shown or time.monotonic() - shown_at >= _SIGN_OF_LIFE_S:
            write(_line(task))
            shown, shown_at = task.done, time.monotonic()


def _line(task: ProgressTask, *, finished: bool = False) -> str:
    return "  ".join([task.label, *task.figures(finished=finished)])


def _writer(stream: TextIO) -> Callable[[str], None]:
    def write(line: str) -> None:
        # Nobody may be reading any more. Work does not stop for that.
        with contextlib.suppress(OSError, ValueError):
            stream.write(line + "\n")
            stream.flush()

    return write

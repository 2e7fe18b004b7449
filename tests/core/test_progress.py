from __future__ import annotations

import contextlib
import io
import pty
import threading

import pytest
from rich.console import Console

import core.progress
from core.progress import ProgressTask, progress


class Clock:
    """A clock that stands still until it is set."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Watched(io.StringIO):
    """A stream that lets a test wait for its lines."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived = threading.Semaphore(0)

    def write(self, text: str) -> int:
        written = super().write(text)
        self.arrived.release()
        return written

    def lines(self) -> list[str]:
        return self.getvalue().splitlines()


def test_columns_are_count_percent_rate_time_left_and_note(clock: Clock):
    task = ProgressTask("critique", 24, clock=clock)
    clock.now_s = 15.0
    task.advance(12)
    task.note("212 tokens/s")
    assert task.columns() == ["12/24", "50%", "0.8/s", "ETA 0:15", "212 tokens/s"]


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_narrow_terminal_shows_the_whole_note_below_a_shorter_bar(clock: Clock, width: int):
    task = ProgressTask("critique", 24, clock=clock)
    task.note("1,318 tokens, 574 tokens/s, asked 0 of 140 requests")
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(core.progress._bar_row(task, width, finished=False))
    assert isinstance(console.file, io.StringIO)
    rows = console.file.getvalue().splitlines()
    assert len(rows) == (1 if width == 200 else 2)
    assert max(map(len, rows)) <= width
    assert "574 tokens/s, asked 0 of 140 requests" in rows[-1]


def test_rate_counts_only_the_work_of_this_process(clock: Clock):
    task = ProgressTask("critique", 100, done=90, clock=clock)
    clock.now_s = 10.0
    assert task.columns() == ["90/100", "90%", "in 0:10"]
    task.advance(5)
    assert task.columns() == ["95/100", "95%", "0.5/s", "ETA 0:10"]


def test_finished_step_shows_how_long_it_took(clock: Clock):
    task = ProgressTask("label", 3600, clock=clock)
    clock.now_s = 3725.0
    task.advance(3600)
    assert task.columns(finished=True) == ["3,600/3,600", "100%", "1.0/s", "in 1:02:05"]


def test_step_of_unknown_length_has_neither_percent_nor_eta(clock: Clock):
    task = ProgressTask("prompts", None, clock=clock)
    clock.now_s = 60.0
    task.advance(3)
    assert task.columns() == ["3", "3.0/min", "in 1:00"]


def test_step_without_work_is_shown_without_a_percentage(clock: Clock):
    assert ProgressTask("sft", 0, clock=clock).columns(finished=True) == ["0/0", "in 0:00"]


def test_more_work_than_foreseen_leaves_no_negative_time(clock: Clock):
    task = ProgressTask("critique", 2, clock=clock)
    clock.now_s = 1.0
    task.advance(4)
    assert task.columns() == ["4/2", "200%", "4.0/s", "ETA 0:00"]


def test_threads_lose_no_count():
    task = ProgressTask("critique", None)
    threads = [threading.Thread(target=lambda: [task.advance() for _ in range(5000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert task.done == 20_000


def test_short_step_writes_a_line_at_the_start_and_one_at_the_end():
    stream = io.StringIO()
    with progress("critique", 24, stream=stream) as task:
        for _ in range(24):
            task.advance()
    first, last = stream.getvalue().splitlines()
    assert first == "critique  0/24  0%  in 0:00"
    assert last.startswith("critique  24/24  100%  ")


def test_last_line_comes_also_when_the_step_fails():
    stream = io.StringIO()
    with contextlib.suppress(KeyError), progress("critique", 24, stream=stream) as task:
        task.advance(5)
        raise KeyError
    assert stream.getvalue().splitlines()[-1].startswith("critique  5/24  20%  ")


def test_lines_in_between_come_when_something_changed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(core.progress, "_LINE_EVERY_S", 0.01)
    stream = Watched()
    with progress("critique", 24, stream=stream) as task:
        assert stream.arrived.acquire(timeout=10)  # the first line
        assert not stream.arrived.acquire(timeout=0.1)  # nothing changed
        task.advance()
        assert stream.arrived.acquire(timeout=10)
        assert stream.lines()[-1].startswith("critique  1/24  4%  ")


def test_silent_step_shows_that_it_is_alive(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(core.progress, "_LINE_EVERY_S", 0.01)
    monkeypatch.setattr(core.progress, "_SIGN_OF_LIFE_S", 0.05)
    stream = Watched()
    with progress("loading", 1, stream=stream):
        for _ in range(3):
            assert stream.arrived.acquire(timeout=10)


def test_nobody_reading_does_not_stop_the_work():
    stream = io.StringIO()
    with progress("critique", 2, stream=stream) as task:
        stream.close()
        task.advance()
    assert task.done == 1


def received(leader: int) -> str:
    """Everything that the closed end of a terminal was sent."""
    parts = []
    with contextlib.suppress(OSError), open(leader, "rb", buffering=0) as terminal:  # its end is an error
        while part := terminal.read(4096):
            parts.append(part)
    return b"".join(parts).decode()


def shown_on_terminal(monkeypatch: pytest.MonkeyPatch, term: str) -> str:
    """What a terminal of this kind receives from a short step."""
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("COLUMNS", "120")
    leader, follower = pty.openpty()
    with open(follower, "w") as stream, progress("label [b]", 4, done=1, stream=stream) as task:
        task.advance(3)
        task.note("[/]212 tokens/s")
    return received(leader)


def test_terminal_gets_a_bar_with_the_same_figures(monkeypatch: pytest.MonkeyPatch):
    shown = shown_on_terminal(monkeypatch, "xterm")
    assert "\x1b[" in shown
    for part in ("label [b]", "━", "4/4", "100%", "in 0:00", "[/]212 tokens/s"):
        assert part in shown


def test_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch):
    shown = shown_on_terminal(monkeypatch, "dumb")
    assert "\x1b[" not in shown
    assert shown.startswith("label [b]  1/4  25%  in 0:00")


def test_step_of_unknown_length_moves_on_a_terminal(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "xterm")
    leader, follower = pty.openpty()
    with open(follower, "w") as stream, progress("outer", None, stream=stream) as outer:
        with progress("inner", 2, stream=stream) as inner:
            inner.advance()
        outer.advance(7)
    shown = received(leader)
    assert "outer" in shown
    assert "inner" in shown


def test_a_library_call_logs_its_progress_and_prints_nothing(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
):
    caplog.set_level("INFO", "publius")
    with progress("critique", 2) as task:
        task.advance(2)
    assert [record.getMessage().split("  ")[:2] for record in caplog.records] == [
        ["critique", "0/2"],
        ["critique", "2/2"],
    ]
    assert capsys.readouterr() == ("", "")


def test_the_command_line_shows_progress_on_standard_error(capsys: pytest.CaptureFixture[str]):
    core.progress.show_progress()
    with progress("critique", 2) as task:
        task.advance(2)
    assert "critique  2/2" in capsys.readouterr().err


def test_a_label_or_note_cannot_drive_the_terminal():
    task = ProgressTask("stage\x1b[2J\u202e", 1)
    task.note("model\x9b31m \u2066x")
    assert (task.label, task.columns()[-1]) == ("stage[2J", "model31m x")

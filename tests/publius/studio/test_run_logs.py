"""What the page shows of a run's log: the last line of each step, its folder, notices."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.progress import ProgressTask
from publius.studio.runs.logs import parse_step, read_log


def test_line_of_progress_is_a_step():
    step = parse_step("label  1,203/8,000  15%  1.2/s  ETA 1:02:04  70 tokens/s, asked 5 of 8 requests")
    assert step is not None
    assert (step.label, step.done, step.total, step.eta) == ("label", 1203, 8000, "1:02:04")
    assert step.about == "1.2/s, 1 h 2 min left, 70 tokens/s, asked 5 of 8 requests"


def test_parts_of_a_line_that_say_nothing_are_left_out():
    step = parse_step(
        "compare  4/4  100%  270/s  in 0:00  0 tokens, 0 tokens/s, asked 0 of 0 requests, reused 0"
    )
    assert step is not None
    assert step.about == "270/s, after 0 s"
    step = parse_step("critique  2/4  50%  0.7/min  ETA 2:51")
    assert step is not None
    assert step.about == "0.7/min, 2 min 51 s left"


@pytest.mark.parametrize("total", [None, 0, 7])
@pytest.mark.parametrize("done", [0, 3])
def test_lines_as_they_are_written_are_read(total: int | None, done: int):
    task = ProgressTask("critique", total)
    task.advance(done)
    step = parse_step("  ".join([task.label, *task.columns()]))
    assert step is not None
    assert (step.done, step.total) == (done, total)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "  ",
        "run folder /x/runs/a-1",
        "warning: 3/8  of them",
        "a  b  c",
        "label  3/8",
        "  3/8  37%  1.2/s",
    ],
)
def test_other_lines_are_no_progress(line: str):
    assert parse_step(line) is None


def test_log_has_folder_steps_and_notices(tmp_path: Path):
    path = tmp_path / "log.txt"
    path.write_text(
        "run folder /p/runs/small-1a2b3c4d\nwarning: <b>self-labelled</b>\n"
        "critique  0/8  0%  in 0:00\ncritique  8/8  100%  0.5/s  in 0:15\nlabel  2/8  25%  1/s  ETA 0:06\n"
    )
    log = read_log(path)
    assert log.folder == "/p/runs/small-1a2b3c4d"
    assert [(step.label, step.done) for step in log.steps] == [("critique", 8), ("label", 2)]
    assert log.notices == ("warning: <b>self-labelled</b>",)


def test_missing_log_is_empty(tmp_path: Path):
    assert read_log(tmp_path / "log.txt").steps == ()

"""What a run wrote to standard error: its folder, the progress of each step, notices, and why it ended."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_FOLDER = "run folder "
_COLUMNS = "  "
"""Separates the columns of a line of progress."""
_COUNT = re.compile(r"([\d,]+)(?:/([\d,]+))?")
_NOTHING = frozenset({"0 tokens", "0 tokens/s", "asked 0 of 0 requests", "reused 0"})
"""Parts of a line that say nothing, as of a stage that asks no model."""
_TIME = re.compile(r"(ETA|in) (?:(\d+):)?(\d+):(\d+)")
_NOTICES = 20
_TAIL = 12


@dataclass(frozen=True)
class RunStep:
    """The last line of progress of a step."""

    label: str
    done: int
    total: int | None
    about: str
    """Rate, remaining or elapsed time in words, and what else the line says."""
    eta: str
    """Remaining time such as `0:15`; empty if it is not known or the step has ended."""

    def as_json(self) -> dict[str, Any]:
        """Return the step as JSON-able values."""
        return asdict(self)


@dataclass(frozen=True)
class RunLog:
    """The content of a log."""

    folder: str
    """The run folder; empty before the log names it."""
    steps: tuple[RunStep, ...]
    """The steps in the order in which they began."""
    notices: tuple[str, ...]
    """The last lines that are no progress."""
    problem: str
    """The last lines together."""


def read_log(path: Path) -> RunLog:
    """Return the content of a log that may still be written; of a missing one, nothing."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    folder, steps = "", dict[str, RunStep]()
    notices: deque[str] = deque(maxlen=_NOTICES)
    for line in lines:
        step = parse_step(line)
        if step is not None:
            steps[step.label] = step
        elif line.startswith(_FOLDER):
            folder = line.removeprefix(_FOLDER)
        elif line.strip():
            notices.append(line)
    others = [line for line in lines if line.strip() and parse_step(line) is None]
    return RunLog(folder, tuple(steps.values()), tuple(notices), "\n".join(others[-_TAIL:]))


def parse_step(line: str) -> RunStep | None:
    """Return the progress that a line such as `label  3/8  37%  1.2/s  ETA 0:04` shows, or None."""
    label, *columns = line.split(_COLUMNS)
    found = _COUNT.fullmatch(columns[0]) if columns else None
    if not found or not label or len(columns) < 2:
        return None
    done, total = (None if text is None else int(text.replace(",", "")) for text in found.groups())
    rest = [column for column in columns[1:] if not column.endswith("%")]
    eta = next((column.removeprefix("ETA ") for column in rest if column.startswith("ETA ")), "")
    parts = (part for column in rest for part in column.split(", ") if part not in _NOTHING)
    about = ", ".join(map(_in_words, parts))
    return RunStep(label, done or 0, total, about, eta)


def _in_words(part: str) -> str:
    """Return `ETA 2:51` as "2 min 51 s left", `in 0:04` as "after 4 s", and other parts as they are."""
    found = _TIME.fullmatch(part)
    if not found:
        return part
    kind, *numbers = found.groups()
    hours, minutes, seconds = (int(number or 0) for number in numbers)
    if hours:
        text = f"{hours} h {minutes} min"
    else:
        text = f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    return f"{text} left" if kind == "ETA" else f"after {text}"

"""Training logs: the metrics of each step, the result and the card of every training of a run or folder."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from core.records import Metric
from core.store.files import is_there
from publius.models.reward_model import METRICS as REWARD_METRICS
from publius.views.report.figures import SECONDS, Figure, FigureBook
from publius.views.report.reading.extras import read_json
from publius.views.report.reading.reliability import ReliabilityDiagram, reward_diagrams
from publius.views.report.reading.sources import METRICS_LOG, is_training_folder
from training.checkpoints import RESULT
from training.job import ROUNDS
from training.methods import METHODS

MAX_POINTS = 400
"""Maximum number of points of a curve; of a longer one, means of neighbouring steps are drawn."""
_X = ("step", "epoch", "episode")
"""Columns of the log that count progress instead of measuring something."""
_FIRST = (
    "loss",
    "eval_loss",
    "accuracy",
    "eval_accuracy",
    "margin",
    "objective/scores",
    "eval/reward",
    "eval/gold",
    "objective/kl",
    "objective/kl_to_teacher",
    "completions/mean_length",
    "loss/policy_avg",
)
"""Metrics that are shown first, where a training has them."""
_LAST = ("grad_norm", "learning_rate", "lr", "epoch", "num_tokens")


@dataclass(frozen=True)
class Curve:
    """One metric of a training over its steps."""

    name: str
    steps: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class TrainingLog:
    """One training: its curves, its result, and what it warned of."""

    label: str
    """Name in the report, such as `demo-1a2b3c4d.training.dpo`."""
    name: str
    """Name in its run, such as `dpo`; the folder's name without a run."""
    method: str
    is_finished: bool
    curves: tuple[Curve, ...]
    figures: Mapping[str, Figure]
    """Examples, steps, seconds and so on, by title."""
    last: Mapping[str, Figure]
    """Last value of each curve."""
    settings: Mapping[str, Any]
    warnings: tuple[str, ...]
    base_model: str = ""
    unreadable: int = 0
    """Lines of the log that cannot be read."""
    calibration: tuple[ReliabilityDiagram, ...] = ()
    """Reliability of a reward model on held-out pairs, without and with its temperature."""


def run_trainings(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the name and folder of each training in a run folder, in the order of training."""
    places: list[tuple[str, Path]] = [(method, folder / method) for method in METHODS]
    for number in sorted(int(path.name) for path in (folder / ROUNDS).glob("*") if path.name.isdigit()):
        places.append((f"dpo.{number}", folder / ROUNDS / str(number) / "dpo"))
    for name, place in places:
        if is_training_folder(place):
            yield from _members(name, place)


def _members(name: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the members of an ensemble, or the training itself."""
    members = sorted(folder.glob("member-*"), key=lambda path: path.name)
    if not members:
        yield name, folder
    for member in members:
        yield f"{name}.{member.name}", member


def read_training(label: str, name: str, folder: Path, book: FigureBook) -> TrainingLog:
    """Return the training of a folder, finished or not."""
    rows, unreadable = _rows(folder / METRICS_LOG)
    result, card = read_json(folder / RESULT), read_json(folder / "card.json")
    reward = read_json(folder / REWARD_METRICS)
    curves = tuple(_curves(rows))
    for curve in curves:
        book.series(f"{label}.{curve.name}", curve.values)
    return TrainingLog(
        label=label,
        name=name,
        method=str(result.get("method") or name.partition(".")[0]),
        is_finished=bool(result),
        curves=curves,
        figures=dict(_result_figures(label, result, reward, book)),
        last={c.name: book.add(Figure(f"{label}.last.{c.name}", c.values[-1])) for c in curves},
        settings=card.get("settings") or {},
        warnings=(*map(str, result.get("warnings") or ()), *map(str, reward.get("warnings") or ())),
        base_model=str(card.get("base_model") or ""),
        unreadable=unreadable,
        calibration=reward_diagrams(label, reward, book),
    )


def thinned(curve: Curve) -> Curve:
    """Return a curve of at most `MAX_POINTS` points: means over runs of neighbouring steps."""
    size = math.ceil(len(curve.values) / MAX_POINTS)
    if size <= 1:
        return curve
    runs = [slice(start, start + size) for start in range(0, len(curve.values), size)]
    steps, values = (tuple(sum(xs[run]) / len(xs[run]) for run in runs) for xs in (curve.steps, curve.values))
    return Curve(curve.name, steps, values)


def _rows(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Return the rows of a log and the number of lines that cannot be read, such as a torn last one."""
    rows: list[dict[str, Any]] = []
    unreadable = 0
    for line in path.read_bytes().splitlines() if is_there(path) else ():
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if isinstance(row, dict):
            rows.append(row)
        else:
            unreadable += 1
    return rows, unreadable


def _curves(rows: list[dict[str, Any]]) -> Iterator[Curve]:
    """Yield a curve for each metric with a finite value, the most telling ones first."""
    names = dict.fromkeys(name for row in rows for name, value in row.items() if _is_finite(value))
    for name in sorted(names, key=_place):
        if name not in _X:
            found = [
                (float(row.get("step", n)), float(row[name]))
                for n, row in enumerate(rows)
                if _is_finite(row.get(name))
            ]
            steps, values = zip(*found, strict=True)
            yield Curve(name, steps, values)


def _place(name: str) -> tuple[int, int]:
    """Return the sort key of a metric; equal keys stay in the order of the log."""
    if name in _FIRST:
        return 0, _FIRST.index(name)
    return (2, 0) if name.rpartition("/")[2] in _LAST else (1, 0)


def _result_figures(
    label: str, result: Mapping[str, Any], reward: Mapping[str, Any], book: FigureBook
) -> Iterator[tuple[str, Figure]]:
    for title, key in (
        ("examples", "examples"),
        ("steps", "steps"),
        ("trained parameters", "trainable_parameters"),
    ):
        if isinstance(result.get(key), int):
            yield title, book.count(f"{label}.{key}", result[key])
    if _is_finite(result.get("seconds")):
        yield "time", book.add(Figure(f"{label}.seconds", result["seconds"], SECONDS))
    yield from _reward_figures(label, reward, book)


def _reward_figures(label: str, reward: Mapping[str, Any], book: FigureBook) -> Iterator[tuple[str, Figure]]:
    """Yield the accuracy of a reward model, its temperature, and how it rewards length."""
    length, calibration = (
        found if isinstance(found := reward.get(key), Mapping) else {} for key in ("length", "calibration")
    )
    for title, name, value in (
        ("held-out accuracy", "accuracy", reward.get("accuracy")),
        ("accuracy where the longer answer is better", "accuracy.longer", length.get("longer_better")),
        ("accuracy where the shorter answer is better", "accuracy.shorter", length.get("shorter_better")),
    ):
        if isinstance(value, Mapping):
            yield title, book.metric(label, Metric.model_validate({**value, "name": name}))
    if _is_finite(spearman := length.get("spearman")):
        yield "rank correlation of reward and length", book.add(Figure(f"{label}.length.spearman", spearman))
    if _is_finite(temperature := calibration.get("temperature")):
        yield "temperature", book.add(Figure(f"{label}.temperature", temperature))


def _is_finite(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

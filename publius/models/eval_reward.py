"""`publius eval-reward`: a reward model measured on pairs of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from core.errors import DataError, EngineError
from core.notices import note, warn
from core.store.files import os_errors
from engines.adapter import SETTINGS as ADAPTER
from engines.adapter import read_settings
from engines.config import ModelConfig
from engines.loading import locate
from engines.reward_settings import read_reward_settings
from evaluation.reward.evaluation import evaluate_reward_model
from publius.models.provenance import by_reason, write_exclusions
from publius.models.reward_model import scored_by, write_reward_report
from publius.sources.examples import DataSource, TrainingRows, read_preferences
from training.config import OptimConfig
from training.examples import PreferencePair

MAX_LENGTH = 32_768
"""Tokens; a longer pair is left out of an evaluation."""


@dataclass(frozen=True)
class EvalRewardRequest:
    """Which reward model is measured, on what."""

    model: Path
    """A folder, or a Hugging Face id."""
    data: DataSource
    to: Path
    """The folder that the report goes to."""
    device: Literal["auto", "cpu", "cuda"] = "auto"


@dataclass(frozen=True)
class MeasuredReward:
    """The metrics of a reward model."""

    folder: Path
    metrics: dict[str, Any]
    """As `reward_metrics.json` holds them."""
    left_out: dict[str, int]
    """Pairs that cannot be scored, by reason."""

    def as_json(self) -> dict[str, Any]:
        """Return the metrics as JSON-able values."""
        return {**self.metrics, "left_out": self.left_out}


def measure_reward_model(request: EvalRewardRequest) -> MeasuredReward:
    """Measure a reward model on pairs, write a report, and return the metrics.

    Raises:
        DataError: if the pairs cannot be read, or none can be scored.
        EngineError: if there is no reward model, or a model that was never trained to score.
        RunStateError: if the report cannot be written.
    """
    pairs = read_preferences(request.data)
    note(f"data: {pairs.origin}")
    with os_errors(request.to):
        request.to.mkdir(parents=True, exist_ok=True)
    measured = _measured(request, pairs)
    for warning in measured.metrics["warnings"]:
        warn(warning)
    return measured


def _measured(request: EvalRewardRequest, data: TrainingRows[PreferencePair]) -> MeasuredReward:
    from engines.hf.reward_model import load_reward_model

    _require_reward_model(request.model)
    model = load_reward_model(request.model, request.device)
    scored, left_out = scored_by(model, data.rows, OptimConfig(max_length=MAX_LENGTH))
    left_out = [*data.excluded, *left_out]
    reasons, exclusions = by_reason(left_out), write_exclusions(request.to, {"eval-reward": left_out})
    for reason, count in reasons.items():
        note(f"left out: {count:,}  {reason}")
    if exclusions:
        note(f"each of them: {exclusions}")
    if not scored:
        found = "; ".join(f"{count} left out: {reason}" for reason, count in reasons.items())
        raise DataError(f"no pair can be scored ({found})", where=str(data.origin))
    metrics = write_reward_report(evaluate_reward_model(scored, 0), request.to, request.model.name)
    return MeasuredReward(request.to, metrics, reasons)


def _require_reward_model(folder: Path) -> None:
    """Refuse a model whose head would be drawn at random. Raises EngineError."""
    first = folder / read_reward_settings(folder).members[0]
    if (first / ADAPTER).exists():
        is_one = read_settings(first).get("task_type") == "SEQ_CLS"
    else:
        config = (locate(ModelConfig(id=str(folder))).folder / "config.json").read_text(encoding="utf-8")
        is_one = "ForSequenceClassification" in config
    if not is_one:
        raise EngineError(
            "no reward model: it has no head that was trained to score",
            where=str(folder),
            accepted="what `publius train reward` wrote, or a sequence classifier of one score",
        )

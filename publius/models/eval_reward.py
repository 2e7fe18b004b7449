"""`publius eval-reward`: evaluate a reward model on preference pairs of a data set."""

from __future__ import annotations

from dataclasses import dataclass, field
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
from publius.sources.column_names import ColumnNames
from publius.sources.examples import DataSource, TrainingRows, read_preferences
from training.config import OptimConfig
from training.examples import PreferencePair

MAX_LENGTH = 32_768
"""Maximum number of tokens; longer pairs are excluded from an evaluation."""


@dataclass(frozen=True)
class EvalRewardRequest:
    """A reward model, and the pairs to evaluate it on."""

    model: Path
    """Folder or Hugging Face id of the reward model."""
    data: DataSource
    to: Path
    """Folder for the report."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    names: ColumnNames = field(default_factory=ColumnNames)
    """The user's names for our columns."""


@dataclass(frozen=True)
class MeasuredReward:
    """The metrics of a reward model."""

    folder: Path
    metrics: dict[str, Any]
    """Content of `reward_metrics.json`."""
    excluded: dict[str, int]
    """Number of pairs that cannot be scored, by reason."""

    def as_json(self) -> dict[str, Any]:
        """Return the metrics as JSON-able values."""
        return {**self.metrics, "left_out": self.excluded}


def measure_reward_model(request: EvalRewardRequest) -> MeasuredReward:
    """Evaluate a reward model on pairs, write a report and return the metrics.

    Raises:
        DataError: if the pairs cannot be read, or none of them can be scored.
        EngineError: if the model cannot be loaded or has no trained reward head.
        RunStateError: if the report cannot be written.
    """
    pairs = read_preferences(request.data, request.names)
    pairs.report(uses_margin=False)
    pairs.require("pairs to score")
    if pairs.repeated:
        warn(f"pairs: {pairs.repeated}")
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
    scored, unscored = scored_by(model, data.rows, OptimConfig(max_length=MAX_LENGTH))
    excluded = [*data.excluded, *unscored]
    reasons, exclusions = by_reason(excluded), write_exclusions(request.to, {"eval-reward": excluded})
    for reason, count in reasons.items():
        note(f"excluded: {count:,}  {reason}")
    if exclusions:
        note(f"list of excluded pairs: {exclusions}")
    if not scored:
        found = "; ".join(f"{count} excluded: {reason}" for reason, count in reasons.items())
        raise DataError(f"none of the pairs can be scored ({found})", where=str(data.origin))
    metrics = write_reward_report(evaluate_reward_model(scored, 0), request.to, request.model.name)
    return MeasuredReward(request.to, metrics, reasons)


def _require_reward_model(folder: Path) -> None:
    """Raise EngineError if transformers would initialise the reward head at random."""
    first = folder / read_reward_settings(folder).members[0]
    if (first / ADAPTER).exists():
        is_one = read_settings(first).get("task_type") == "SEQ_CLS"
    else:
        config = (locate(ModelConfig(id=str(folder))).folder / "config.json").read_text(encoding="utf-8")
        is_one = "ForSequenceClassification" in config
    if not is_one:
        raise EngineError(
            "this is not a reward model: it has no trained reward head",
            where=str(folder),
            accepted="a folder written by `publius train reward`, or a sequence classifier with one label",
        )

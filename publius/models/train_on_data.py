"""`publius train ... --data`: training on a data set of the user's own, without a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from core.errors import ConfigError, RunStateError
from core.notices import counted, note, warn
from core.store.files import os_errors
from publius.config.overrides import build_config
from publius.config.run_file import DataTrainingConfig
from publius.models.provenance import (
    Provenance,
    by_reason,
    report_training,
    trained_method,
    write_card,
    write_exclusions,
)
from publius.models.reward_model import finish_reward_model
from publius.models.training_job import training_job
from publius.sources.examples import DataSource, TrainingRows, read_answers, read_preferences
from publius.sources.held_out import held_out_of
from training.config import DPOConfig, RewardConfig, SFTConfig
from training.examples import ExcludedExample
from training.job import TrainingResult, require_examples
from training.methods import Method
from training.pairs.dpo import train_dpo
from training.pairs.reward import train_reward
from training.processes import is_main
from training.sft import train_sft


@dataclass(frozen=True)
class DataTraining:
    """What the command line asks for."""

    method: Method
    data: DataSource
    model: str
    to: Path
    eval_data: DataSource | None = None
    """To evaluate on; else a share of the prompts is held out, where the configuration says so."""
    overrides: Sequence[str] = ()


@dataclass(frozen=True)
class DataOutcome:
    """What came of it."""

    folder: Path
    results: tuple[TrainingResult, ...]
    left_out: dict[str, int]
    """Rows of the data set that taught nothing, by reason."""
    evaluation: dict[str, Any] | None
    exclusions: Path | None
    """Lists these rows, and those of the evaluation data, one by one; None if there are none."""

    def as_json(self) -> dict[str, Any]:
        """Return the outcome as JSON-able values."""
        first = self.results[0]
        return {
            "folder": str(self.folder),
            "members": len(self.results),
            "examples": first.examples,
            "held_out": first.held_out,
            "truncated": first.truncated,
            "left_out": self.left_out,
            "exclusions": str(self.exclusions) if self.exclusions else None,
            "steps": first.steps,
            "best_step": first.best_step,
            "seconds": sum(result.seconds for result in self.results),
            "metrics": first.metrics,
            "warnings": list(first.warnings),
            "evaluation": self.evaluation,
        }


def train_on_data(request: DataTraining) -> DataOutcome:
    """Train on the data set, write adapter, metrics and card, and return what came of it.

    Raises:
        PubliusError: for anything that the user can mend; what was finished stays.
    """
    config = build_config(DataTrainingConfig, {"models": {"policy": request.model}}, request.overrides)
    section: SFTConfig | RewardConfig | DPOConfig = getattr(config, request.method)
    if isinstance(section, RewardConfig | DPOConfig) and section.init == "sft":
        raise ConfigError(
            "there is no run whose SFT model could be started from",
            where=f"{request.method}.init",
            accepted="base; or --model with the folder of a merged SFT model",
        )
    before = trained_method(request.to)
    if before not in (None, request.method):
        raise RunStateError(
            f"the folder holds what {before} trained", where=str(request.to), accepted="another --to"
        )
    read: Any = read_answers if request.method == "sft" else read_preferences
    data: TrainingRows[Any] = read(request.data)
    require_examples(data.rows, data.excluded, "rows")
    sides = _sides(data, read, request, config)
    with os_errors(request.to):
        request.to.mkdir(parents=True, exist_ok=True)
    if is_main():
        note(f"data: {data.origin}")
    if is_main() and data.ignored_columns:
        note(f"columns that are not used: {', '.join(data.ignored_columns)}")
    return _trained(request, config, section, data, sides)


class _Sides(NamedTuple):
    """What is trained on and what is evaluated on."""

    train: list[Any]
    held_out: list[Any]
    left_out: Sequence[ExcludedExample] = ()
    """Rows of the evaluation data that cannot be used."""


def _sides(data: TrainingRows[Any], read: Any, request: DataTraining, config: DataTrainingConfig) -> _Sides:
    """Return the examples to train on and to evaluate on."""
    if request.eval_data is None:
        share: float = getattr(config, request.method).held_out
        return _Sides(*held_out_of(data.rows, share, request.method))
    unseen: TrainingRows[Any] = read(request.eval_data)
    require_examples(unseen.rows, unseen.excluded, "rows to evaluate on")
    if is_main():
        _tell_unseen(unseen, data)
    return _Sides(data.rows, unseen.rows, unseen.excluded)


def _tell_unseen(unseen: TrainingRows[Any], data: TrainingRows[Any]) -> None:
    """Say what is evaluated on, and what speaks against it."""
    note(f"evaluation data: {unseen.origin}")
    if unseen.origin.overlaps(data.origin):
        warn("the evaluation data are trained on too: their figures say nothing about other data")
    for reason, count in by_reason(unseen.excluded).items():
        warn(f"evaluation data: {counted(count, 'row')} left out: {reason}")


def _trained(
    request: DataTraining,
    config: DataTrainingConfig,
    section: SFTConfig | RewardConfig | DPOConfig,
    data: TrainingRows[Any],
    sides: _Sides,
) -> DataOutcome:
    job = training_job(config, request.method, section, request.to.resolve())
    evaluation, exclusions = None, None
    if isinstance(section, RewardConfig):
        results = train_reward(sides.train, job, section, sides.held_out)
        if is_main():
            evaluation = finish_reward_model(job, section, results, sides.train, sides.held_out)
    elif isinstance(section, DPOConfig):
        results = [train_dpo(sides.train, job, section, sides.held_out)]
    else:
        results = [train_sft(sides.train, job, sides.held_out)]
    left_out = (*data.excluded, *results[0].left_out)
    if is_main():
        write_card(job, results, _provenance(data), section, evaluation)
        exclusions = write_exclusions(
            request.to, {request.method: left_out, "evaluation data": sides.left_out}
        )
        report_training(request.method, results, evaluation)
    return DataOutcome(request.to, tuple(results), by_reason(left_out), evaluation, exclusions)


def _provenance(data: TrainingRows[Any]) -> Provenance:
    sources = Counter(row.groups["source"] for row in data.rows if "source" in getattr(row, "groups", {}))
    return Provenance(
        str(data.origin), data.origin.digest, data.ignored_columns, tuple(data.excluded), sources
    )

"""`publius train ... --data`: train on the user's own data set, without a run folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from core.errors import ConfigError, RunStateError
from core.notices import counted, note, warn
from core.store.files import os_errors
from publius.config.overrides import build_config
from publius.config.run_file import DataTrainingConfig
from publius.models.examples_used import few_examples, write_trained_prompts
from publius.models.provenance import (
    Provenance,
    by_reason,
    report_training,
    trained_method,
    warn_of_few_examples,
    write_card,
    write_exclusions,
)
from publius.models.reward_model import finish_reward_model
from publius.models.training_job import training_job
from publius.sources.column_names import ColumnNames
from publius.sources.examples import DataSource, TrainingRows, read_answers, read_preferences
from publius.sources.held_out import held_out_of
from publius.sources.pair_lengths import length_leaning
from training.config import DPOConfig, RewardConfig, SFTConfig
from training.examples import ExcludedExample
from training.job import TrainingResult
from training.methods import Method
from training.pairs.dpo import train_dpo
from training.pairs.reward import train_reward
from training.processes import is_main
from training.sft import train_sft


@dataclass(frozen=True)
class DataTraining:
    """Options for training on a data set."""

    method: Method
    data: DataSource
    model: str
    to: Path
    eval_data: DataSource | None = None
    """Evaluation data; if None, the share `held_out` of the prompts is held out of `data`."""
    overrides: Sequence[str] = ()
    names: ColumnNames = field(default_factory=ColumnNames)
    """The user's names for our columns, in both data sets."""


@dataclass(frozen=True)
class DataOutcome:
    """Result of training on a data set."""

    folder: Path
    results: tuple[TrainingResult, ...]
    excluded: dict[str, int]
    """Number of rows that were excluded from training, by reason."""
    evaluation: dict[str, Any] | None
    exclusions: Path | None
    """File that lists the excluded rows of training and evaluation data; None if there are none."""

    def as_json(self) -> dict[str, Any]:
        """Return the outcome as JSON-able values."""
        first = self.results[0]
        return {
            "folder": str(self.folder),
            "members": len(self.results),
            "examples": first.examples,
            "held_out": first.held_out,
            "truncated": first.truncated,
            "left_out": self.excluded,
            "exclusions": str(self.exclusions) if self.exclusions else None,
            "steps": first.steps,
            "best_step": first.best_step,
            "seconds": sum(result.seconds for result in self.results),
            "metrics": first.metrics,
            "warnings": list(first.warnings),
            "evaluation": self.evaluation,
        }


def train_on_data(request: DataTraining) -> DataOutcome:
    """Train on a data set, write adapter, metrics and card, and return the result.

    Raises:
        PubliusError: for any error that the user can fix. Completed work is saved.
    """
    config = build_config(DataTrainingConfig, {"models": {"policy": request.model}}, request.overrides)
    section: SFTConfig | RewardConfig | DPOConfig = getattr(config, request.method)
    if isinstance(section, RewardConfig | DPOConfig) and section.init == "sft":
        raise ConfigError(
            "training on a data set has no SFT stage to start from",
            where=f"{request.method}.init",
            accepted="base, with --model set to the folder of a merged SFT model",
        )
    before = trained_method(request.to)
    if before not in (None, request.method):
        raise RunStateError(
            f"the folder already holds a model trained with {before}",
            where=str(request.to),
            accepted="another folder for --to",
        )
    read: Any = read_answers if request.method == "sft" else read_preferences
    data: TrainingRows[Any] = read(request.data, request.names)
    data.require("rows to train on")
    sides = _sides(data, read, request, config)
    with os_errors(request.to):
        request.to.mkdir(parents=True, exist_ok=True)
    if is_main():
        data.report(uses_margin=_uses_margin(request.method))
        if few := few_examples(request.method, len(data.rows), by_reason(data.excluded)):
            warn(f"{request.method}: {few}")
    leaning = None if request.method == "sft" else length_leaning(sides.train)
    if leaning and is_main():
        warn(f"{request.method}: {leaning} (compare the row words of publius eval --model)")
    repeated = data.repeated
    if repeated and is_main():
        warn(f"{request.method}: {repeated}")
    caveats = [f"Of the pairs: {leaning}."] if leaning else []
    caveats += [f"In the data, {repeated}."] if repeated else []
    return _trained(request, config, section, data, sides, caveats)


def _uses_margin(method: Method) -> bool:
    """Return False if a column `margin` is read and changes nothing."""
    return method == "reward"


class _Sides(NamedTuple):
    """The training examples and the held-out examples."""

    train: list[Any]
    held_out: list[Any]
    excluded: Sequence[ExcludedExample] = ()
    """Rows of the evaluation data that were excluded."""


def _sides(data: TrainingRows[Any], read: Any, request: DataTraining, config: DataTrainingConfig) -> _Sides:
    """Return the training examples and the held-out examples."""
    if request.eval_data is None:
        share: float = getattr(config, request.method).held_out
        # All turns of a conversation are on one side: each turn holds those before it.
        prompt_of = lambda row: data.openings.get(row.id, row.prompt)  # noqa: E731
        return _Sides(*held_out_of(data.rows, share, request.method, prompt_of))
    unseen: TrainingRows[Any] = read(request.eval_data, request.names)
    unseen.require("rows to evaluate on")
    if is_main():
        _note_evaluation_data(unseen, data)
    return _Sides(data.rows, unseen.rows, unseen.excluded)


def _note_evaluation_data(unseen: TrainingRows[Any], data: TrainingRows[Any]) -> None:
    """Print the origin of the evaluation data, and warn if it overlaps or has excluded rows."""
    note(f"evaluation data: {unseen.origin}")
    if unseen.origin.overlaps(data.origin):
        warn("evaluation data and training data overlap: the metrics do not measure generalisation")
    for reason, count in by_reason(unseen.excluded).items():
        warn(f"evaluation data: {counted(count, 'row')} excluded: {reason}")


def _trained(
    request: DataTraining,
    config: DataTrainingConfig,
    section: SFTConfig | RewardConfig | DPOConfig,
    data: TrainingRows[Any],
    sides: _Sides,
    caveats: Sequence[str],
) -> DataOutcome:
    job = training_job(config, request.method, section, request.to.resolve())
    job = replace(job, keep_finished=True)
    evaluation, exclusions = None, None
    if isinstance(section, RewardConfig):
        results = train_reward(sides.train, job, section, sides.held_out)
        if is_main():
            evaluation = finish_reward_model(job, section, results, sides.train, sides.held_out)
    elif isinstance(section, DPOConfig):
        results = [train_dpo(sides.train, job, section, sides.held_out)]
    else:
        results = [train_sft(sides.train, job, sides.held_out)]
    excluded = (*data.excluded, *results[0].excluded)
    if is_main():
        unused = {row.id for row in results[0].excluded}
        write_trained_prompts(request.to, (row.prompt for row in sides.train if row.id not in unused))
        write_card(
            job, results, _provenance(data, results[0].excluded, request.method, caveats), section, evaluation
        )
        exclusions = write_exclusions(
            request.to, {request.method: excluded, "evaluation data": sides.excluded}
        )
        report_training(request.method, results, evaluation)
        warn_of_few_examples(request.to)
    return DataOutcome(request.to, tuple(results), by_reason(excluded), evaluation, exclusions)


def _provenance(
    data: TrainingRows[Any], excluded: Sequence[ExcludedExample], method: Method, caveats: Sequence[str]
) -> Provenance:
    unused = {row.id for row in excluded}
    used = (row for row in data.rows if row.id not in unused)
    sources = Counter(row.groups["source"] for row in used if "source" in getattr(row, "groups", {}))
    return Provenance(
        str(data.origin),
        data.origin.digest,
        data.unused_columns(uses_margin=_uses_margin(method)),
        tuple(data.excluded),
        sources,
        caveats=tuple(caveats),
    )

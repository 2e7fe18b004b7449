"""Training jobs, built from the configuration of a run or of training on a data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from publius.config.run_file import DataTrainingConfig, RunConfig
from training.config import DPOConfig, RewardConfig, SFTConfig
from training.job import TrainingJob
from training.methods import Method
from training.rl.config import GRPOConfig, PPOConfig, RLConfig, RLOOConfig

AnyMethodConfig = SFTConfig | RewardConfig | DPOConfig | PPOConfig | RLOOConfig | GRPOConfig
"""Configuration section of any training method."""


def training_job(
    config: RunConfig | DataTrainingConfig,
    method: Method,
    section: AnyMethodConfig,
    folder: Path,
    start: Path | None = None,
    siblings: Sequence[Path] = (),
) -> TrainingJob:
    """Return the training job of a method.

    Args:
        config: configuration of a run, or of training on a data set.
        method: the training method.
        section: the method's section of `config`.
        folder: output folder of the training.
        start: the adapter to start from; None for the base model.
        siblings: folders of the same method in other runs of the project.
    """
    epochs = None if isinstance(section, RLConfig) else section.epochs
    return TrainingJob(
        method=method,
        folder=folder,
        policy=config.models.policy,
        lora=config.lora,
        optim=config.optim,
        learning_rate=section.learning_rate,
        epochs=config.optim.epochs if epochs is None else epochs,
        seed=config.seed,
        device=config.engine.device,
        start=start,
        siblings=tuple(siblings),
    )

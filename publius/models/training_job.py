"""Training jobs, built from the configuration of a run or of training on a data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.errors import ConfigError
from publius.config.run_file import DataTrainingConfig, RunConfig
from publius.runs.parts.trained import trained_model
from training.config import DPOConfig, RewardConfig, SFTConfig
from training.distill.config import DistillConfig
from training.job import TrainingJob
from training.methods import Method
from training.rl.config import GRPOConfig, OnPolicyConfig, PPOConfig, RLOOConfig

AnyMethodConfig = SFTConfig | RewardConfig | DPOConfig | PPOConfig | RLOOConfig | GRPOConfig | DistillConfig
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
        start: folder of the training to start from, with an adapter or a whole model; None for the base
            model.
        siblings: folders of the same method in other runs of the project.

    Raises:
        ConfigError: if the configuration spreads the model over several GPUs.
    """
    if config.engine.device_map == "auto":
        raise ConfigError(
            "training has the whole model on each GPU, and does not spread its layers",
            where="engine.device_map",
            accepted="single; for a model that does not fit: models.policy.quantization=nf4",
        )
    policy = config.models.policy
    if start is not None:
        trained = trained_model(start, policy)
        policy = trained.model_copy(update={"adapter": None})
        start = None if trained.adapter is None else Path(trained.adapter)
    epochs = None if isinstance(section, OnPolicyConfig) else section.epochs
    return TrainingJob(
        method=method,
        folder=folder,
        policy=policy,
        lora=config.lora,
        optim=config.optim,
        learning_rate=section.learning_rate,
        epochs=config.optim.epochs if epochs is None else epochs,
        seed=config.seed,
        device=config.engine.device,
        start=start,
        siblings=tuple(siblings),
        finetuning=getattr(section, "finetuning", "lora"),
    )

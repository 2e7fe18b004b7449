"""What a training is asked to do and what it leaves behind; run once, however often it is asked for."""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from core.digests import digest
from core.errors import ConfigError, DataError, MissingExtraError
from core.lazy import require
from core.libraries import quiet_datasets, quiet_transformers, write_errors
from core.store.files import os_errors
from engines.adapter import SETTINGS, WEIGHTS, adapter_digest
from engines.config import ModelConfig
from engines.loading import locate, pick_device, pick_dtype
from training.checkpoints import BESIDE, TrainingFolder
from training.config import LoraConfig, OptimConfig
from training.examples import ExcludedExample
from training.methods import Method
from training.policy import TRAIN_EXTRA, free_memory
from training.processes import is_main, wait_for_all


class MethodConfig(Protocol):
    """The section of a training method; it may name `epochs`, where `optim.epochs` does not hold."""

    @property
    def learning_rate(self) -> float:
        """Peak learning rate."""
        ...


_FORMAT = 2
"""Raised when the same job would give other weights."""


@dataclass(frozen=True)
class TrainingJob:
    """Everything but the data that determines a training's result, and where it goes."""

    method: Method
    folder: Path
    policy: ModelConfig
    lora: LoraConfig
    optim: OptimConfig
    learning_rate: float
    epochs: float
    seed: int
    device: str = "auto"
    start: Path | None = None
    """Folder of the adapter that training starts from; None starts from the model itself."""
    siblings: tuple[Path, ...] = ()
    """Folders of other runs: the result of the very same job is taken over from there."""

    @classmethod
    def of(
        cls,
        method: Method,
        folder: Path,
        policy: ModelConfig,
        config: MethodConfig,
        lora: LoraConfig | None = None,
        optim: OptimConfig | None = None,
        **own: Any,
    ) -> Self:
        """Return the job of a training with the numbers of its method.

        Args:
            method: what is trained.
            folder: where the adapter goes; the same job with the same data resumes there.
            policy: the model that is trained.
            config: the method's section; its learning rate, and its epochs where it names them.
            lora: the adapter; the default one if not given.
            optim: what all methods share; the defaults if not given.
            own: `seed` (0 if not given), `device`, `start` or `siblings`.
        """
        optim = optim or OptimConfig()
        epochs: float | None = getattr(config, "epochs", None)
        return cls(
            method=method,
            folder=folder,
            policy=policy,
            lora=lora or LoraConfig(),
            optim=optim,
            learning_rate=config.learning_rate,
            epochs=optim.epochs if epochs is None else epochs,
            **{"seed": 0, **own},
        )

    @property
    def bf16(self) -> bool:
        """Whether to train in mixed precision."""
        bf16 = self.optim.bf16
        return pick_device(self.device) != "cpu" if bf16 == "auto" else bf16

    @property
    def run_name(self) -> str:
        """The training's name in a tracker: the run's, and the folder's within it."""
        return f"{self.folder.parent.name}/{self.folder.name}"

    def digest(self, examples: Sequence[object], held_out: Sequence[object], *settings: object) -> str:
        """Return a digest of all that determines the result. Raises EngineError if the model is missing."""
        optim = self.optim.model_dump(mode="json", exclude={"checkpoint_every", "epochs", "report_to"})
        return digest(
            "training",
            _FORMAT,
            self.method,
            locate(self.policy).identity,
            pick_dtype(self.policy.dtype, self.device),
            adapter_digest(self.start) if self.start else self.lora.model_dump(mode="json"),
            optim,
            (self.learning_rate, self.epochs, self.seed),
            settings,
            [repr(example) for example in examples],
            [repr(example) for example in held_out],
        )


@dataclass(frozen=True)
class TrainingResult:
    """What a training left behind."""

    folder: Path
    """The adapter: plain peft loads it from here."""
    examples: int
    held_out: int
    """Examples that it was evaluated on."""
    left_out: tuple[ExcludedExample, ...]
    truncated: int
    """Examples whose prompt was cut from the left to fit."""
    steps: int
    best_step: int | None
    """The step whose weights these are, where that is not the last."""
    seconds: float
    """Of this process; 0 where the work was done already."""
    tokens: int
    """That went through the model in one epoch."""
    metrics: dict[str, float]
    """Of the last step."""
    warnings: tuple[str, ...]
    """What the user should know before relying on it."""

    @classmethod
    def of(cls, folder: Path, figures: Mapping[str, Any], warnings: tuple[str, ...] = (), **own: Any) -> Self:
        """Return the result of a training with the figures that `fit` returned."""
        return cls(
            folder=folder,
            steps=figures["steps"],
            best_step=figures["best_step"],
            seconds=figures["seconds"],
            metrics=figures["metrics"],
            warnings=(*warnings, *figures["warnings"]),
            **own,
        )


def require_examples(examples: Sequence[object], left_out: Sequence[ExcludedExample], what: str) -> None:
    """Raise DataError where nothing is left to train on, with the reasons."""
    if examples:
        return
    counts: dict[str, int] = {}
    for row in left_out:
        counts[row.reason] = counts.get(row.reason, 0) + 1
    reasons = "; ".join(f"{count} left out: {reason}" for reason, count in counts.items())
    raise DataError(f"there are no {what} to train on" + (f" ({reasons})" if reasons else ""))


def require_held_out(job: TrainingJob, held_out: Sequence[object]) -> None:
    """Raise ConfigError where training is to be evaluated and there is nothing to evaluate on."""
    if job.optim.eval_every is not None and not held_out:
        raise ConfigError(
            "there are no held-out examples to evaluate on",
            where="optim.eval_every",
            accepted=f"{job.method}.held_out above 0, or data to evaluate on (--eval-data)",
        )


def run_or_reuse(
    job: TrainingJob, job_digest: str, examples: int, run: Callable[[TrainingFolder], dict[str, Any]]
) -> dict[str, Any]:
    """Run a training unless it is done already; return what `training.json` then holds.

    Args:
        job: what to do.
        job_digest: digest of the job with its data.
        examples: how many there are.
        run: trains, from the folder's newest checkpoint on, and returns the figures.

    Raises:
        EngineError: if the model cannot be trained, or the loss is no number.
        MissingExtraError: if what is to be logged to is not installed.
        RunStateError: if the disk is too small or full.
    """
    folder = TrainingFolder(job.folder)
    wait_for_all()  # none looks while another one begins
    done = folder.result(job_digest)
    if done is None:
        _require_sinks(job.optim)
    wait_for_all()
    if done is None and is_main():
        done = _taken_over(folder, job, job_digest)
        if done is None:
            folder.open(job_digest)
    wait_for_all()
    done = done or folder.result(job_digest)
    if done is not None:
        return done | {"seconds": 0.0}
    started = time.monotonic()
    with _quiet(), _save_errors(folder):
        figures = run(folder)
    free_memory()
    seconds = round(time.monotonic() - started, 1)
    result = {"job": job_digest, "method": job.method, "examples": examples, "seconds": seconds, **figures}
    wait_for_all()
    if is_main():
        folder.finish(result)
    wait_for_all()
    return result


def _require_sinks(optim: OptimConfig) -> None:
    """Raise MissingExtraError where what is to be logged to is not installed: no extra of ours has it."""
    for sink in optim.report_to:
        try:
            require(sink, TRAIN_EXTRA)
        except MissingExtraError as error:
            raise MissingExtraError(
                f"the package '{sink}' is not installed",
                where="optim.report_to",
                run=f"pip install {sink}",
            ) from error


def _taken_over(folder: TrainingFolder, job: TrainingJob, job_digest: str) -> dict[str, Any] | None:
    """Return the result of the same job in another run, copied into this one, or None if there is none."""
    for sibling in job.siblings:
        result = TrainingFolder(sibling).result(job_digest)
        if result is None:
            continue
        folder.open(job_digest)
        with os_errors(job.folder):
            for name in (WEIGHTS, SETTINGS, folder.metrics.name):
                shutil.copy2(sibling / name, job.folder / name)
            for name in BESIDE:
                if (sibling / name).exists():
                    shutil.copy2(sibling / name, job.folder / name)
        folder.finish(result)
        return result
    return None


def base_name(policy: ModelConfig) -> str:
    """Return what peft can load the model by: its id on the hub, or its folder."""
    files = locate(policy)
    return policy.id if policy.id == files.name and "/" in policy.id else str(files.folder)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Turn off what the libraries would print or send."""
    hub: Any = require("huggingface_hub.constants", TRAIN_EXTRA)
    hub.HF_HUB_DISABLE_TELEMETRY = True  # the environment variable is read when the package is imported
    logging.getLogger("trl").setLevel(logging.ERROR)
    with quiet_transformers(TRAIN_EXTRA), quiet_datasets(TRAIN_EXTRA):
        yield


@contextlib.contextmanager
def _save_errors(folder: TrainingFolder) -> Iterator[None]:
    """Turn failures to write a checkpoint into one line."""
    left, path = "; the one before it stands", folder.path
    with (
        write_errors("checkpoint", path, path, after=left, is_writing=folder.is_saving),
        os_errors(path),
    ):
        yield

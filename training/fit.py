"""Runs a `transformers.Trainer` to its end, however often it is interrupted.

The same job gives the same weights, byte for byte, on one CPU process, whether it ran through or was killed
and resumed: data order, adapter and dropout follow from the seed, and a checkpoint holds everything else.
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

from core.digests import digest
from core.errors import ConfigError, DataError, MissingExtraError, PubliusError, RunStateError
from core.files import os_errors
from core.lazy import require
from core.progress import progress
from engines.adapter import SETTINGS, WEIGHTS, adapter_digest
from engines.config import ModelConfig
from engines.loading import locate, pick_device, pick_dtype
from training.checkpoints import TrainingFolder
from training.config import LoraConfig, Method, OptimConfig
from training.examples import LeftOut
from training.history import UNSTEADY, best_step, held_out_losses, is_exhausted
from training.policy import EXTRA, free_memory, load_adapter_weights, save_adapter
from training.processes import is_main, wait_for_all, world_size

if TYPE_CHECKING:
    from transformers import Trainer

_FORMAT = 2
"""Raised when the same job would give other weights."""
_TENSORBOARD = "tensorboard"


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
    left_out: tuple[LeftOut, ...]
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


@runtime_checkable
class _Warns(Protocol):
    """A trainer that has something to say about a training as a whole."""

    def warnings(self, history: Sequence[dict[str, Any]]) -> tuple[str, ...]: ...


class TrainerMaker(Protocol):
    """Builds the trainer once the arguments are known."""

    def __call__(self, arguments: dict[str, Any], folder: TrainingFolder) -> Trainer:
        """Return a trainer over the encoded data."""
        ...


def require_examples(examples: Sequence[object], left_out: Sequence[LeftOut], what: str) -> None:
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


def fit(
    job: TrainingJob,
    job_digest: str,
    examples: int,
    make: TrainerMaker,
) -> dict[str, Any]:
    """Train, or go on, or find it done already; return what `training.json` then holds.

    Args:
        job: what to do.
        job_digest: digest of the job with its data.
        examples: how many there are.
        make: builds the trainer.

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
        trainer = make(arguments_of(job, folder.staging, examples), folder)
        figures = _train(job, folder, folder.newest(), trainer)
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
            require(sink, EXTRA)
        except MissingExtraError as error:
            raise MissingExtraError(
                f"the package '{sink}' is not installed",
                where="optim.report_to",
                run=f"pip install {sink}",
            ) from error


def _train(
    job: TrainingJob, folder: TrainingFolder, checkpoint: Path | None, trainer: Trainer
) -> dict[str, Any]:
    """Run the trainer to its end and save the adapter; return the figures of it."""
    policy: Any = trainer.model
    trainable = sum(p.numel() for p in policy.parameters() if p.requires_grad)
    folder.require_room(trainable)
    history = _run(trainer, folder, job, checkpoint)
    best = best_step(history) if job.optim.keep == "best" else None
    last = max((int(row["step"]) for row in history), default=0)
    if best not in (None, last):
        load_adapter_weights(policy, folder.checkpoint(best))
    if is_main():
        save_adapter(policy, job.folder, _base_name(job.policy))
    return {
        "steps": last,
        "best_step": best if best != last else None,
        "trainable_parameters": trainable,
        "metrics": _last_metrics(history),
        "warnings": list(trainer.warnings(history)) if isinstance(trainer, _Warns) else [],
    }


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
        folder.finish(result)
        return result
    return None


def arguments_of(job: TrainingJob, output: Path, examples: int) -> dict[str, Any]:
    """Return a job's `TrainingArguments` as keywords; TRL's own defaults are overridden where they bite."""
    optim = job.optim
    on_cpu = pick_device(job.device) == "cpu"
    steps = math.ceil(job.epochs * math.ceil(examples / min(optim.batch_size, examples)))
    evaluates = optim.eval_every is not None
    return {
        "output_dir": str(output),
        **_batches(job, examples),
        "num_train_epochs": job.epochs,
        "learning_rate": job.learning_rate,
        "lr_scheduler_type": optim.schedule if optim.warmup == 0 else _with_warmup(optim.schedule),
        # The first step of a warm-up has learning rate 0, so that a single step would teach nothing.
        "warmup_steps": optim.warmup if steps > 1 else 0,
        "weight_decay": optim.weight_decay,
        "max_grad_norm": optim.max_grad_norm,
        "optim": "adamw_torch",
        "seed": job.seed % 2**32,
        "data_seed": job.seed % 2**32,
        "bf16": not on_cpu if optim.bf16 == "auto" else optim.bf16,
        "use_cpu": on_cpu,
        "gradient_checkpointing": optim.gradient_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "ddp_find_unused_parameters": False,
        "eval_strategy": "steps" if evaluates else "no",
        "eval_steps": optim.eval_every,
        "save_strategy": "steps",
        "save_steps": optim.checkpoint_every,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "report_to": [sink for sink in optim.report_to if sink != _TENSORBOARD],
        "run_name": f"{job.folder.parent.name}/{job.folder.name}",
        "disable_tqdm": True,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": not on_cpu,
        "remove_unused_columns": False,
    }


def _batches(job: TrainingJob, examples: int) -> dict[str, int]:
    """Return how many examples make a step; pairs are counted by `training/pair_trainer.py` alone."""
    if job.method != "sft":
        return {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 1}
    batch = min(job.optim.batch_size, examples)
    micro = max(1, min(job.optim.micro_batch, batch // world_size()))
    return {
        "per_device_train_batch_size": micro,
        "per_device_eval_batch_size": micro,
        "gradient_accumulation_steps": max(1, round(batch / micro / world_size())),
    }


def _with_warmup(schedule: str) -> str:
    return "constant_with_warmup" if schedule == "constant" else schedule


def _run(
    trainer: Trainer, folder: TrainingFolder, job: TrainingJob, checkpoint: Path | None
) -> list[dict[str, Any]]:
    """Train from the checkpoint on; return the history of figures."""
    from transformers import PrinterCallback

    from training.callbacks import FolderCallback, HeldOutCallback, ProgressCallback

    done = int(checkpoint.name.partition("-")[2]) if checkpoint else 0
    if is_main():
        folder.rewind_metrics(done)
    ended = _history_of(checkpoint) if checkpoint else []
    if checkpoint and is_exhausted(held_out_losses(ended), job.optim.patience):
        load_adapter_weights(
            trainer.model, checkpoint
        )  # it had ended here, and was killed before it was saved
        return ended
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(FolderCallback(folder, job.method, job.optim))
    if _TENSORBOARD in job.optim.report_to:
        trainer.add_callback(_event_writer(folder))
    if trainer.eval_dataset:
        trainer.add_callback(HeldOutCallback(job.optim))
    with progress(f"train {job.method}", None, done=done) if is_main() else contextlib.nullcontext() as task:
        if task is not None:
            trainer.add_callback(ProgressCallback(task))
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    history: list[dict[str, Any]] = trainer.state.log_history
    return history


def _event_writer(folder: TrainingFolder) -> Any:
    """Return what writes events for TensorBoard beside the adapter; transformers' place is cleared away."""
    writer: Any = require("transformers.integrations", EXTRA).TensorBoardCallback()
    writer.logging_dir = writer.logging_dir or str(folder.path / _TENSORBOARD)
    return writer


def _history_of(checkpoint: Path) -> list[dict[str, Any]]:
    state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    history: list[dict[str, Any]] = state["log_history"]
    return history


def _last_metrics(history: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the figures of the last step, and of the last evaluation, that were logged."""
    found: dict[str, float] = {}
    for name in ("eval_loss", "loss"):
        rows = [row for row in history if name in row]
        if rows:
            found |= {key: value for key, value in rows[-1].items() if isinstance(value, int | float)}
    return {key: value for key, value in found.items() if key not in UNSTEADY}


def _base_name(policy: ModelConfig) -> str:
    """Return what peft can load the model by: its id on the hub, or its folder."""
    files = locate(policy)
    return policy.id if policy.id == files.name and "/" in policy.id else str(files.folder)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Turn off what the libraries would print or send."""
    hub: Any = require("huggingface_hub.constants", EXTRA)
    hub.HF_HUB_DISABLE_TELEMETRY = True  # the environment variable is read when the package is imported
    transformers = require("transformers", EXTRA)
    datasets = require("datasets", EXTRA)
    before = transformers.utils.logging.get_verbosity()
    transformers.utils.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        transformers.utils.logging.set_verbosity(before)


@contextlib.contextmanager
def _save_errors(folder: TrainingFolder) -> Iterator[None]:
    """Turn what torch and safetensors raise when a file cannot be written into one line.

    They raise all kinds of RuntimeError then, so what tells is not the text but where it happened.
    """
    safetensors = require("safetensors", EXTRA)
    try:
        with os_errors(folder.path):
            yield
    except (safetensors.SafetensorError, RuntimeError) as error:
        if isinstance(error, PubliusError) or not folder.is_saving():
            raise
        reason = str(error).strip().partition("\n")[0]
        raise RunStateError(
            f"the checkpoint cannot be written ({reason}); the one before it stands",
            where=str(folder.path),
            accepted="free space, and a quota and file-size limit that let the files grow",
            run=f"df -h {folder.path}",
        ) from error

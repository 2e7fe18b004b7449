"""Run a `transformers.Trainer` to its end, with exact resume after interruptions.

On one CPU process, the same job gives the same weights byte for byte, whether it ran through or was killed
and resumed. Data order, adapter and dropout follow from the seed; a checkpoint contains everything else.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from core.progress import progress
from engines.loading import pick_device
from training.checkpoints import SAMPLES_FILE, TrainingFolder
from training.config import TENSORBOARD
from training.history import NONDETERMINISTIC, ByHeldOutLoss, Course
from training.job import TrainingJob, base_name, run_or_reuse
from training.policy import load_trained_weights, save_adapter, save_model
from training.processes import is_main

if TYPE_CHECKING:
    from transformers import Trainer, TrainingArguments

_Arguments = TypeVar("_Arguments", bound="TrainingArguments")


@runtime_checkable
class _Warns(Protocol):
    """A trainer that can warn about the finished training job."""

    def warnings(self, history: Sequence[dict[str, Any]]) -> tuple[str, ...]: ...


class TrainerMaker(Protocol):
    """Function that builds the trainer from its arguments."""

    def __call__(self, arguments: dict[str, Any], folder: TrainingFolder) -> Trainer:
        """Return a trainer over the encoded data."""
        ...


def fit(
    job: TrainingJob,
    job_digest: str,
    examples: int,
    make: TrainerMaker,
) -> dict[str, Any]:
    """Train with a `transformers.Trainer`, resume it, or reuse its finished result; see `run_or_reuse`.

    Args:
        job: the training job.
        job_digest: digest of the job and its data.
        examples: number of training examples.
        make: builds the trainer.
    """
    course = ByHeldOutLoss(job.optim)

    def run(folder: TrainingFolder) -> dict[str, Any]:
        trainer = make(arguments_of(job, folder.staging), folder)
        return _train(job, folder, trainer, course)

    return run_or_reuse(job, job_digest, examples, run)


def _train(job: TrainingJob, folder: TrainingFolder, trainer: Trainer, course: Course) -> dict[str, Any]:
    """Run the trainer to its end and save the result; return the values for `training.json`."""
    policy: Any = trainer.model
    trainable = sum(p.numel() for p in policy.parameters() if p.requires_grad)
    folder.require_disk_space(trainable)  # before hours of training, not at its first checkpoint
    history = _run(trainer, folder, job, course)
    best = course.best(history)
    last = max((int(row["step"]) for row in history), default=0)
    if best not in (None, last):
        load_trained_weights(policy, folder.checkpoint(best))
    if is_main():
        if job.adapter is None:
            save_model(policy, job.folder, job.policy)
        else:
            save_adapter(policy, job.folder, base_name(job.policy))
    return {
        "steps": last,
        "best_step": best if best != last else None,
        "trainable_parameters": trainable,
        "metrics": _last_metrics(history),
        "warnings": list(trainer.warnings(history)) if isinstance(trainer, _Warns) else [],
    }


def arguments_of(job: TrainingJob, output: Path) -> dict[str, Any]:
    """Return keyword arguments of `TrainingArguments` for a job, which override TRL's own defaults.

    Batches and the course of the warm-up are those of `training.steps.trainer.StepTrainer`.
    """
    optim = job.optim
    on_cpu = pick_device(job.device) == "cpu"
    evaluates = optim.eval_every is not None
    return {
        "output_dir": str(output),
        # `StepTrainer` takes whole optimizer steps as batches.
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 1,
        "num_train_epochs": job.epochs,
        "learning_rate": job.learning_rate,
        "lr_scheduler_type": optim.schedule,
        "warmup_steps": optim.warmup,
        "weight_decay": optim.weight_decay,
        "max_grad_norm": optim.max_grad_norm,
        "optim": "adamw_torch",
        "seed": job.seed % 2**32,  # numpy accepts 32 bits only
        "data_seed": job.seed % 2**32,
        "bf16": job.bf16 and not job.fp16,
        "fp16": job.fp16,
        "use_cpu": on_cpu,
        "gradient_checkpointing": optim.gradient_checkpointing,
        # The reentrant variant needs inputs that require gradients; under LoRA the embeddings are frozen.
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        # transformers would search peft models for unused parameters in each step; here all are used.
        "ddp_find_unused_parameters": False,
        "eval_strategy": "steps" if evaluates else "no",
        "eval_steps": optim.eval_every,
        "save_strategy": "steps",
        "save_steps": optim.checkpoint_every,
        "logging_steps": 1,
        # The filter would replace a nan loss by an average, and `FolderCallback` would not see it.
        "logging_nan_inf_filter": False,
        # TensorBoard is set up in `_run`: transformers would write into staging, which is deleted.
        "report_to": [sink for sink in optim.report_to if sink != TENSORBOARD],
        "run_name": job.run_name,
        "disable_tqdm": True,
        "dataloader_num_workers": 0,  # rows are token ids already: nothing to do in another process
        "dataloader_pin_memory": not on_cpu,
        # transformers drops columns that the model's `forward` does not name, such as `prompt_ids`.
        "remove_unused_columns": False,
    }


def one_gpu_arguments(kind: type[_Arguments], arguments: dict[str, Any], **own: Any) -> _Arguments:
    """Return the arguments of a trainer that never uses more than one GPU per process.

    A process that sees several GPUs would wrap the model in `nn.DataParallel`, which splits packed rows and
    which TRL refuses. Several GPUs need a process each (`accelerate launch`).

    Args:
        kind: `TrainingArguments` or a class derived from it.
        arguments: from `arguments_of`.
        own: arguments of the derived class.
    """
    settings = kind(**arguments, **own)
    settings._n_gpu = min(1, settings.n_gpu)  # transformers has no public way to set it
    # A launcher's own precision would reach the model and not the losses, which are computed beside it.
    settings.mixed_precision = "fp16" if settings.fp16 else "bf16" if settings.bf16 else "no"
    return settings


def _run(trainer: Trainer, folder: TrainingFolder, job: TrainingJob, course: Course) -> list[dict[str, Any]]:
    """Train from the newest checkpoint on; return the history of logged metrics."""
    from transformers import PrinterCallback

    from training.callbacks import (
        FolderCallback,
        HeldOutCallback,
        ProgressCallback,
        RestoreCallback,
        tensorboard_callback,
    )

    checkpoint = folder.newest()
    done = int(checkpoint.name.partition("-")[2]) if checkpoint else 0
    if is_main():
        # Steps after the checkpoint will run and be logged again.
        for name in (folder.metrics.name, SAMPLES_FILE):
            folder.rewind(name, done if checkpoint else -1)
    ended = _history_of(checkpoint) if checkpoint else []
    if checkpoint and course.is_over(ended):
        # Training had ended at this checkpoint, but was killed before its result was saved.
        load_trained_weights(trainer.model, checkpoint)
        return ended
    trainer.remove_callback(PrinterCallback)
    if checkpoint and job.adapter is None:
        trainer.add_callback(RestoreCallback(checkpoint))
    trainer.add_callback(FolderCallback(folder, job.method, job.optim, course))
    if TENSORBOARD in job.optim.report_to:
        trainer.add_callback(tensorboard_callback(folder))
    if trainer.eval_dataset:
        trainer.add_callback(HeldOutCallback(course))
    label = f"train {job.title or job.method}"
    with progress(label, None, done=done) if is_main() else contextlib.nullcontext() as task:
        if task is not None:
            trainer.add_callback(ProgressCallback(task))
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    history: list[dict[str, Any]] = trainer.state.log_history
    return history


def _history_of(checkpoint: Path) -> list[dict[str, Any]]:
    state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    history: list[dict[str, Any]] = state["log_history"]
    return history


def _last_metrics(history: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the logged metrics of the last step and of the last evaluation."""
    found: dict[str, float] = {}
    for name in ("eval_loss", "loss"):
        rows = [row for row in history if name in row]
        if rows:
            numbers = {key: value for key, value in rows[-1].items() if isinstance(value, int | float)}
            # A step that the loss scale skips has an infinite gradient.
            found |= {key: value for key, value in numbers.items() if math.isfinite(value)}
    return {key: value for key, value in found.items() if key not in NONDETERMINISTIC}

"""Training jobs and their results. `run_or_reuse` makes them idempotent."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from core.digests import digest
from core.errors import (
    ConfigError,
    MissingExtraError,
    NothingToLearnError,
    RunStateError,
    shell_command,
)
from core.lazy import pip_command, require
from core.libraries import memory_errors, quiet_datasets, quiet_transformers, write_errors
from core.notices import note
from core.settings import with_defaults
from core.store.files import os_errors
from engines.adapter import SETTINGS, WEIGHTS, adapter_digest
from engines.config import ModelConfig
from engines.hf.threads import fixed_threads
from engines.hf.weights.saving import CONFIG
from engines.identity import model_files
from engines.loading import gpu_has_bfloat16, half_dtype, holds_model, locate, pick_device
from engines.reward_settings import FILE as REWARD_FILE
from training.checkpoints import EXTRA_FILES, RESULT, TrainingFolder
from training.config import Finetuning, LoraConfig, OptimConfig
from training.examples import ExcludedExample
from training.methods import JobMethod
from training.policy import TRAIN_EXTRA, free_memory, training_dtype
from training.processes import is_main, require_data_parallel, wait_for_all, world_size


class MethodConfig(Protocol):
    """Settings of a training method; an `epochs` field, if set, overrides `optim.epochs`."""

    @property
    def learning_rate(self) -> float:
        """Peak learning rate."""
        ...


ROUNDS = "rounds"
"""Folder in a run with a folder for each round of a method."""
CPU_MICRO_TOKENS = 512
"""`optim.micro_tokens` on a CPU, if unset."""
_FORMAT = 2
"""Version of the training code, part of a job's digest: if it is increased, finished trainings run again."""
_STEPS = {"sft": 1, "reward": 1, "dpo": 1}
"""Version of a method's optimizer steps (batches, learning rates), 0 if not listed. If it is increased,
finished trainings are still reused, but an unfinished one starts again: checkpoints of another version are
not resumed, so no result mixes two versions."""


@dataclass(frozen=True)
class TrainingJob:
    """Everything except the data that determines a training job's result, and its folder."""

    method: JobMethod
    folder: Path
    policy: ModelConfig
    lora: LoraConfig
    optim: OptimConfig
    learning_rate: float
    epochs: float
    seed: int
    device: str = "auto"
    start: Path | None = None
    """Folder of the adapter to start from; None starts from the model itself."""
    siblings: tuple[Path, ...] = ()
    """Folders of other runs; a finished result of the same job is copied from them."""
    finetuning: Finetuning = "lora"
    """Weights to train: an adapter, or all weights of the model."""
    title: str = ""
    """Label of the progress lines; the method if empty."""
    keep_finished: bool = False
    """True to refuse a folder with the finished result of another job; otherwise that is replaced."""

    def __post_init__(self) -> None:
        """Set the defaults of `optim` that depend on the device."""
        if pick_device(self.device) == "cpu":
            optim = with_defaults(self.optim, micro_tokens=CPU_MICRO_TOKENS)
            object.__setattr__(self, "optim", optim)  # the only way to set a field of a frozen class

    @classmethod
    def of(
        cls,
        method: JobMethod,
        folder: Path,
        policy: ModelConfig,
        config: MethodConfig,
        lora: LoraConfig | None = None,
        optim: OptimConfig | None = None,
        **own: Any,
    ) -> Self:
        """Return a job with the learning rate and epochs of its method.

        Args:
            method: the training method.
            folder: output folder; the same job with the same data resumes there.
            policy: the model to train.
            config: the method's settings; its learning rate, and its epochs if set.
            lora: the adapter's settings; the defaults if not given.
            optim: the optimizer's settings; the defaults if not given.
            own: `seed` (0 if not given), `device`, `start` or `siblings`.
        """
        optim, own = optim or OptimConfig(), {"finetuning": getattr(config, "finetuning", "lora"), **own}
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
        """True if training uses mixed precision: bfloat16, or float16 where the GPU has no bfloat16."""
        bf16 = self.optim.bf16
        return pick_device(self.device) != "cpu" if bf16 == "auto" else bf16

    @property
    def fp16(self) -> bool:
        """True if mixed precision is in float16, whose gradients need a loss scale."""
        return self.bf16 and half_dtype(pick_device(self.device)) == "float16"

    @property
    def adapter(self) -> LoraConfig | None:
        """Shape of the adapter to train; None if all weights are trained."""
        return None if self.finetuning == "full" else self.lora

    @property
    def run_name(self) -> str:
        """Name of the job in an experiment tracker: `<run folder>/<training folder>`, `.2` for round 2."""
        parent = self.folder.parent
        if parent.parent.name == ROUNDS:
            return f"{parent.parent.parent.name}/{self.folder.name}.{parent.name}"
        return f"{parent.name}/{self.folder.name}"

    def digest(self, examples: Sequence[object], held_out: Sequence[object], *settings: object) -> str:
        """Return a digest of all that determines the result. Raises EngineError if the model is missing."""
        # `self.epochs` replaces `optim.epochs`. Micro-batch sizes are included, as they change rounding.
        optim = self.optim.model_dump(mode="json", exclude={"checkpoint_every", "epochs", "report_to"})
        if optim["micro_tokens"] == CPU_MICRO_TOKENS and pick_device(self.device) == "cpu":
            # In older versions the default was the same on all devices: their results stay valid.
            optim["micro_tokens"] = OptimConfig.model_fields["micro_tokens"].default
        return digest(
            "training",
            _FORMAT,
            self.method,
            locate(self.policy).identity,
            training_dtype(self.policy, self.device, full=self.adapter is None),
            self._begun_from(),
            optim,
            (self.learning_rate, self.epochs, self.seed),
            settings,
            [repr(example) for example in examples],
            [repr(example) for example in held_out],
        )

    def _begun_from(self) -> object:
        """Return what determines the weights at the start of training, beside the model."""
        start = adapter_digest(self.start) if self.start else None
        if self.adapter is None:
            return ["full", start]
        return start or self.adapter.model_dump(mode="json")


@dataclass(frozen=True)
class TrainingResult:
    """Result of a training job."""

    folder: Path
    """Folder of the adapter, which peft can load, or of the model if all weights were trained."""
    examples: int
    held_out: int
    """Number of examples used for evaluation."""
    excluded: tuple[ExcludedExample, ...]
    truncated: int
    """Number of examples whose prompt was shortened to fit."""
    steps: int
    best_step: int | None
    """Step of the saved weights, if not the last."""
    seconds: float
    """Training time of this process in seconds; 0 if a finished result was reused."""
    tokens: int
    """Number of tokens per epoch."""
    metrics: dict[str, float]
    """Metrics of the last step and the last evaluation."""
    warnings: tuple[str, ...]
    """Warnings about the result."""

    @classmethod
    def of(cls, folder: Path, outcome: Mapping[str, Any], warnings: tuple[str, ...] = (), **own: Any) -> Self:
        """Return the result of a training job, given the mapping that `fit` or `run_or_reuse` returned."""
        return cls(
            folder=folder,
            steps=outcome["steps"],
            best_step=outcome["best_step"],
            seconds=outcome["seconds"],
            metrics=outcome["metrics"],
            warnings=(*warnings, *outcome["warnings"]),
            **own,
        )


def require_examples(examples: Sequence[object], excluded: Sequence[ExcludedExample], what: str) -> None:
    """Raise NothingToLearnError with the reasons for exclusion if there are no examples.

    Args:
        examples: the examples.
        excluded: examples that cannot be used.
        what: names the examples in the message.
    """
    if examples:
        return
    counts = Counter(row.reason for row in excluded)
    reasons = "; ".join(f"{count} excluded: {reason}" for reason, count in counts.items())
    raise NothingToLearnError(f"there are no {what}" + (f" ({reasons})" if reasons else ""), counts)


def require_held_out(job: TrainingJob, held_out: Sequence[object]) -> None:
    """Raise ConfigError if `optim.eval_every` is set without held-out examples."""
    if job.optim.eval_every is not None and not held_out:
        raise ConfigError(
            "no held-out examples to evaluate on",
            where="optim.eval_every",
            accepted=f"{job.method}.held_out above 0, or data to evaluate on (--eval-data)",
        )


def run_or_reuse(
    job: TrainingJob, job_digest: str, examples: int, run: Callable[[TrainingFolder], dict[str, Any]]
) -> dict[str, Any]:
    """Run a training job unless its result already exists; return the content of `training.json`.

    Args:
        job: the training job.
        job_digest: digest of the job and its data.
        examples: number of training examples.
        run: trains from the folder's newest checkpoint on and returns the values for `training.json`.

    Raises:
        ConfigError: if the launcher or the settings ask for what training cannot do.
        EngineError: if the model cannot be trained, or the loss is not finite.
        MissingExtraError: if a package of `optim.report_to` is not installed.
        RunStateError: if the disk is too small or full.
    """
    require_data_parallel()
    folder = TrainingFolder(job.folder)
    # No process may look for a result while the main one prepares the folder.
    wait_for_all()
    done = folder.result(job_digest)
    if done is None:
        require_possible(job)
    wait_for_all()
    if done is None and job.keep_finished:
        _refuse_finished(job, job_digest)
    if done is None and is_main():
        done = _copied_from_sibling(folder, job, job_digest)
        if done is None:
            steps = _STEPS.get(job.method, 0)
            if folder.is_of_older_steps(job_digest, steps):
                note(
                    f"{job.method} training starts again: an older version, whose batches or learning rates "
                    f"differ, began it ({job.folder})"
                )
            folder.open(job_digest, steps)
    wait_for_all()
    done = done or folder.result(job_digest)
    if done is not None:
        return done | {"seconds": 0.0}
    note_idle_gpus(job.device)
    started = time.monotonic()
    with (
        _quiet(),
        _save_errors(folder),
        memory_errors(f"{job.method} training", job.folder, _smaller(job)),
        fixed_threads(pick_device(job.device)),
    ):
        outcome = run(folder)
    free_memory()
    seconds = round(time.monotonic() - started, 1)
    result = {"job": job_digest, "method": job.method, "examples": examples, "seconds": seconds, **outcome}
    if (Path(job.policy.id) / RESULT).is_file():
        # The adapter is of use only on the model that it was trained on. Relative: the run may be moved.
        result["base"] = os.path.relpath(job.policy.id, job.folder)
    if job.policy.quantization is not None:
        result["quantization"] = job.policy.quantization
    wait_for_all()  # `finish` removes the checkpoints, which others may still read
    if is_main():
        folder.finish(result)
    wait_for_all()
    return result


def _refuse_finished(job: TrainingJob, job_digest: str) -> None:
    """Raise RunStateError if the folder holds the finished model of another job."""
    folder = job.folder
    # The folder of an ensemble is the user's, and its members' are ours.
    if re.fullmatch(r"member-\d+", folder.name) and (folder.parent / REWARD_FILE).is_file():
        others, folder = [folder.parent, folder], folder.parent
    else:
        others = [folder, folder / "member-0"]
    with os_errors(folder):
        finished = any(TrainingFolder(place).holds_another(job_digest) for place in others)
    if finished:
        raise RunStateError(
            "the folder holds a finished model of other data, other settings, another base model, or of an "
            "older version that gave these conversations other token ids",
            where=str(folder),
            accepted="another folder for --to, or this one after it is removed",
            run=shell_command("rm", "-r", str(folder)),
        )


def require_possible(job: TrainingJob) -> None:
    """Refuse settings that ask for what training cannot do.

    Raises:
        ConfigError: if weights, precision or device do not allow it.
        MissingExtraError: if a package of `optim.report_to` is not installed.
    """
    _require_sinks(job.optim)
    if job.adapter is None and job.policy.quantization is not None:
        raise ConfigError(
            "quantized weights cannot be trained, only an adapter on top of them",
            where=f"{job.method}.finetuning",
            accepted="lora, or a policy without `quantization`",
        )
    on_cpu = pick_device(job.device) == "cpu"
    full = job.adapter is None
    if full and job.policy.dtype == "float16":
        raise ConfigError(
            "weights in float16 cannot be trained themselves: small steps are rounded away",
            where="models.policy.dtype",
            accepted="auto (float32 in mixed precision), float32, bfloat16",
        )
    if not on_cpu and not job.bf16 and training_dtype(job.policy, job.device, full=full) == "float16":
        raise ConfigError(
            "float16 without mixed precision has no loss scale, and small gradients are lost",
            where="optim.bf16",
            accepted="auto, or models.policy.dtype=float32",
        )
    if job.optim.bf16 is True and not on_cpu and not gpu_has_bfloat16():
        raise ConfigError(
            "this GPU does not compute in bfloat16",
            where="optim.bf16",
            accepted="auto (float16 here), or false",
        )


def _smaller(job: TrainingJob) -> str:
    """Return the settings that reduce the memory of a training job, with their present values."""
    optim = job.optim
    size = f"optim.micro_tokens (now {optim.micro_tokens})"
    if job.method == "sft":
        size += f" or optim.micro_batch (now {optim.micro_batch})"
    parts = [f"a smaller {size}"]
    if job.method in ("sft", "reward", "dpo"):
        parts.append(f"a smaller optim.max_length (now {optim.max_length})")
    if not optim.gradient_checkpointing:
        parts.append("optim.gradient_checkpointing=true")
    return ", ".join(parts)


@functools.cache  # once per process, however many models it trains
def note_idle_gpus(device: str) -> None:
    """Note that one process trains on one GPU, if there are more and no launcher started other processes."""
    if world_size() > 1 or pick_device(device) == "cpu":
        return
    count = require("torch", TRAIN_EXTRA).cuda.device_count()
    if count > 1:
        note(
            f"training on 1 of {count} GPUs: publius train METHOD ... --launch all-gpus uses all, as does "
            f"accelerate launch --multi_gpu --num_processes {count} -m publius ..."
        )


def _require_sinks(optim: OptimConfig) -> None:
    """Raise MissingExtraError if a logging target is not installed; no extra of Publius includes them."""
    for sink in optim.report_to:
        try:
            require(sink, TRAIN_EXTRA)
        except MissingExtraError as error:
            raise MissingExtraError(
                f"the package '{sink}' is not installed",
                where="optim.report_to",
                run=pip_command(sink),
            ) from error


def _copied_from_sibling(folder: TrainingFolder, job: TrainingJob, job_digest: str) -> dict[str, Any] | None:
    """Copy the result of the same job from another run and return it; return None if there is none."""
    for sibling in job.siblings:
        result = TrainingFolder(sibling).result(job_digest)
        if result is None:
            continue
        folder.open(job_digest, _STEPS.get(job.method, 0))
        with os_errors(job.folder):
            weights = (*job.folder.glob("*.safetensors"), *job.folder.glob("*.safetensors.index.json"))
            for old in (*weights, job.folder / SETTINGS, job.folder / CONFIG):
                old.unlink(missing_ok=True)  # of an earlier job, perhaps of the other kind
            for name in (*result_files(sibling), folder.metrics.name):
                shutil.copy2(sibling / name, job.folder / name)
            for name in EXTRA_FILES:
                if (sibling / name).exists():
                    shutil.copy2(sibling / name, job.folder / name)
        if "base" in result:
            result["base"] = os.path.relpath(job.policy.id, job.folder)
        folder.finish(result)
        return result
    return None


def result_files(folder: Path) -> list[str]:
    """Return the names of the files of a trained adapter or model; what makes it complete comes last."""
    if not holds_model(folder):
        return [WEIGHTS, SETTINGS]
    return sorted((path.name for path in model_files(folder)), key=lambda name: name == CONFIG)


def base_name(policy: ModelConfig) -> str:
    """Return the model's name for peft: its hub id or its folder."""
    files = locate(policy)
    return policy.id if policy.id == files.name and "/" in policy.id else str(files.folder)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Turn off the output and telemetry of the libraries."""
    hub: Any = require("huggingface_hub.constants", TRAIN_EXTRA)
    hub.HF_HUB_DISABLE_TELEMETRY = True  # too late for the environment variable, which is read at import
    for name in ("trl", "bitsandbytes"):  # peft imports the latter, which then speaks of its own kernels
        logging.getLogger(name).setLevel(logging.ERROR)
    with quiet_transformers(TRAIN_EXTRA), quiet_datasets(TRAIN_EXTRA):
        yield


@contextlib.contextmanager
def _save_errors(folder: TrainingFolder) -> Iterator[None]:
    """Turn a failure to write a checkpoint into a one-line error."""
    left, path = "; the previous one is intact", folder.path
    with (
        write_errors("checkpoint", path, path, after=left, is_writing=folder.is_saving),
        os_errors(path),
    ):
        yield

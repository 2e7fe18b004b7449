"""What accompanies a `transformers.Trainer`: progress, a metrics file, whole checkpoints, and a guard."""

from __future__ import annotations

import json
import math
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from core.errors import EngineError
from core.files import os_errors
from core.progress import ProgressTask
from training.checkpoints import TrainingFolder

_LEFT_OUT = frozenset(
    {"num_tokens", "total_flos", "train_runtime", "train_samples_per_second", "train_steps_per_second"}
)


class FolderCallback(TrainerCallback):
    """Writes the metrics of each step, stops at a loss that is no number, and commits checkpoints.

    Args:
        folder: where they go.
        method: the training method, for messages.
    """

    def __init__(self, folder: TrainingFolder, method: str) -> None:
        self._folder = folder
        self._method = method

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Append a step's metrics; called before the checkpoint of the same step is written."""
        metrics = {"step": state.global_step, **(logs or {})}
        if "loss" not in metrics:  # the summary that transformers logs at the end
            return
        for name in ("loss", "grad_norm"):
            if not math.isfinite(metrics.get(name, 0.0)):
                raise EngineError(
                    f"{name} is {metrics[name]} at step {state.global_step}; training stopped, and the "
                    "checkpoint before it stands",
                    where=str(self._folder.path),
                    accepted=f"a smaller {self._method}.learning_rate (now {args.learning_rate:g}) "
                    "or optim.bf16=false",
                )
        kept = {name: value for name, value in metrics.items() if name not in _LEFT_OUT}
        with os_errors(self._folder.metrics), self._folder.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(kept) + "\n")

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Commit the checkpoint that was just written."""
        self._folder.commit(state.global_step)


class ProgressCallback(TrainerCallback):
    """Shows each step with its loss."""

    def __init__(self, task: ProgressTask) -> None:
        self._task = task

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Learn how many steps there will be."""
        self._task.total = state.max_steps

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Show the newest loss, and the accuracy where the method has one."""
        logs = logs or {}
        if "loss" not in logs:
            return
        shown = [f"loss {logs['loss']:.4f}"]
        if "rewards/accuracies" in logs:
            shown.append(f"accuracy {logs['rewards/accuracies']:.2f}")
        self._task.note(", ".join(shown))
        self._task.advance(state.global_step - self._task.done)

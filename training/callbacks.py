"""Callbacks of a `transformers.Trainer`: progress, the metrics file, checkpoints, guards and trackers.

Callbacks decide by the history of logged metrics, which is part of every checkpoint. A training that was
killed and resumed therefore decides as one that ran through.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from core.errors import EngineError
from core.lazy import require
from core.progress import ProgressTask
from core.store.files import os_errors
from engines.hf.weights.saving import restore_weights
from engines.loading import pick_device
from training.checkpoints import TrainingFolder
from training.config import TENSORBOARD, OptimConfig
from training.history import CHOSEN_RATIO, NONDETERMINISTIC, Course, held_out_losses
from training.job import TrainingJob
from training.policy import TRAIN_EXTRA
from training.processes import is_main, wait_for_all


class FolderCallback(TrainerCallback):
    """Writes the metrics of each step, stops at a non-finite loss or gradient, and commits checkpoints.

    Args:
        folder: folder of the training.
        method: the training method, for messages.
        optim: settings with the limit of the gradient norm.
        course: determines which checkpoints are kept.
    """

    def __init__(self, folder: TrainingFolder, method: str, optim: OptimConfig, course: Course) -> None:
        self._folder, self._method, self._optim, self._course = folder, method, optim, course

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Append the metrics; called before the checkpoint of the same step is written."""
        metrics = {"step": state.global_step, **(logs or {})}
        if "train_runtime" in metrics:  # the summary at the end
            return
        # Before the file is written, and in every process: a bad step is neither logged nor saved.
        if args.fp16 and not math.isfinite(metrics.get("grad_norm", 0.0)):
            # The loss scale was too large: the step is skipped, and the scale halved.
            del metrics["grad_norm"]
        self._guard(metrics, args.learning_rate)
        kept = {name: value for name, value in metrics.items() if name not in NONDETERMINISTIC}
        if not is_main():
            return
        with os_errors(self._folder.metrics), self._folder.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(kept) + "\n")

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Commit the checkpoint that was just written, after all processes have written their parts."""
        wait_for_all()
        if is_main():
            self._folder.commit(state.global_step, keep=self._course.best(state.log_history))
        # No process may begin the next checkpoint in staging while this one is being moved.
        wait_for_all()

    def _guard(self, metrics: dict[str, float], learning_rate: float) -> None:
        """Raise EngineError if the loss or gradient norm is not finite, or the gradient norm too large."""
        limit = self._optim.stop_grad_norm
        for name in ("loss", "grad_norm", "eval_loss"):
            value = metrics.get(name, 0.0)
            if not math.isfinite(value) or (name == "grad_norm" and limit is not None and value > limit):
                above = f", above optim.stop_grad_norm ({limit:g})" if math.isfinite(value) else ""
                raise EngineError(
                    f"{name} is {value:g} at step {metrics['step']}{above}; training stopped, and the "
                    "previous checkpoint is intact",
                    where=str(self._folder.path),
                    accepted=f"a smaller {self._method}.learning_rate (now {learning_rate:g}) "
                    "or optim.bf16=false",
                )


class RestoreCallback(TrainerCallback):
    """Loads the weights of a checkpoint that a full fine-tuning resumes from.

    transformers compares names of weights in a file with those of the model, ignores what differs, and files
    of mixtures of experts have other names.

    Args:
        checkpoint: folder of the checkpoint.
    """

    def __init__(self, checkpoint: Path) -> None:
        self._checkpoint = checkpoint

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        **_: Any,
    ) -> None:
        """Load the weights; called after transformers has loaded what it could."""
        restore_weights(model, self._checkpoint)


class HeldOutCallback(TrainerCallback):
    """Evaluates at the last step, saves the best weights, and stops when the loss no longer improves."""

    def __init__(self, course: Course) -> None:
        self._course = course

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Request an evaluation at the last step."""
        if state.global_step >= state.max_steps:
            control.should_evaluate = True

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Save the best step; stop if patience is exhausted."""
        # Outside the checkpoint interval too: the weights of the best step are needed at the end.
        if self._course.best(state.log_history) == state.global_step:
            control.should_save = True
        if self._course.is_over(state.log_history):
            control.should_training_stop = True


class ProgressCallback(TrainerCallback):
    """Shows the loss of each step on the progress line.

    Args:
        task: the progress line.
    """

    def __init__(self, task: ProgressTask) -> None:
        self._task = task

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Set the total number of steps."""
        self._task.total = state.max_steps

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Show the newest loss, and the accuracy if the method has one."""
        logs = logs or {}
        if "loss" not in logs:
            return
        self._task.note(self._losses(logs, state))
        self._task.advance(state.global_step - self._task.done)

    def _losses(self, logs: dict[str, float], state: TrainerState) -> str:
        shown = [f"loss {logs['loss']:.4f}"]
        for name in ("rewards/accuracies", "accuracy"):
            if name in logs:
                shown.append(f"accuracy {logs[name]:.2f}")
        if CHOSEN_RATIO in logs:
            shown.append(f"chosen {logs[CHOSEN_RATIO]:+.3f} nats per token")
        losses = held_out_losses(state.log_history)
        if losses:
            shown.append(f"held-out loss {losses[-1][1]:.4f}")
        return ", ".join(shown)


Report = Callable[[int, Mapping[str, float]], None]
"""Sends a step's metrics to the trackers."""


@contextlib.contextmanager
def reporting(job: TrainingJob, model: Any, folder: TrainingFolder) -> Iterator[Report]:
    """Send the metrics of a loop that is not a `Trainer` to the trackers of `optim.report_to`.

    Args:
        job: names the trackers and the run.
        model: its configuration is logged too.
        folder: folder of the training job; TensorBoard's events are written there.
    """
    sinks = job.optim.report_to if is_main() else ()
    callbacks = [_tracker(sink, folder) for sink in sinks]
    arguments = TrainingArguments(
        output_dir=str(folder.staging),
        run_name=job.run_name,
        learning_rate=job.learning_rate,
        report_to=[],  # the callbacks are called here, not by a Trainer
        use_cpu=pick_device(job.device) == "cpu",
    )
    state, control = TrainerState(), TrainerControl()

    def report(step: int, metrics: Mapping[str, float]) -> None:
        state.global_step = step
        for callback in callbacks:
            callback.on_log(arguments, state, control, logs=dict(metrics), model=model)

    for callback in callbacks:
        callback.on_train_begin(arguments, state, control, model=model)
    try:
        yield report
    finally:
        for callback in callbacks:
            callback.on_train_end(arguments, state, control, model=model)


def _tracker(sink: str, folder: TrainingFolder) -> Any:
    if sink == TENSORBOARD:
        return tensorboard_callback(folder)
    integrations = require("transformers.integrations", TRAIN_EXTRA)
    return integrations.get_reporting_integration_callbacks([sink])[0]()


def tensorboard_callback(folder: TrainingFolder) -> Any:
    """Return a callback that writes TensorBoard's events next to the adapter.

    By default transformers writes them among the checkpoints, which are removed at the end.
    """
    callback: Any = require("transformers.integrations", TRAIN_EXTRA).TensorBoardCallback()
    callback.logging_dir = callback.logging_dir or str(folder.path / TENSORBOARD)
    return callback

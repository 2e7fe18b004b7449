"""When a training by TRL is watched, kept and ended, as a callback of its trainer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.history import Course


class WatchCallback(TrainerCallback):
    """Asks for a look at gold where it is due, saves what is best so far, and ends what went wrong.

    Args:
        course: says what is best, and when it is over.
        every: steps between two looks; None where there is no gold.
        begin: takes the look before the first step.
    """

    def __init__(self, course: Course, every: int | None, begin: Callable[[], None]) -> None:
        self._course, self._every, self._begin = course, every, begin

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Look before the first step."""
        if self._every is not None and state.global_step == 0:
            self._begin()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Ask for a look where it is due, and at the end."""
        step = state.global_step
        if self._every is not None and (step % self._every == 0 or step >= state.max_steps):
            control.should_evaluate = True

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Count the checkpoint as written, or it would be asked for again where training ends."""
        control.should_save = False

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Decide by the figures so far, which are logged before a checkpoint of the step is written."""
        is_over = self._course.is_over(state.log_history)
        if is_over:
            control.should_training_stop = True
        if is_over or self._course.best(state.log_history) == state.global_step:
            control.should_save = True

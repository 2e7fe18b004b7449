"""The training loop of distillation: the student draws answers, and moves towards the teacher at each token.

Everything random follows from the seed and the number of the step. A training that was killed therefore
resumes from its newest checkpoint exactly as it would have continued.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from statistics import fmean
from typing import Any

import torch

from core.digests import derive_seed
from core.notices import counted
from core.progress import ProgressTask, progress
from engines.trees import Tree, micro_batches
from training.callbacks import reporting
from training.checkpoints import SAMPLES_FILE, TrainingFolder
from training.distill.config import DistillConfig
from training.distill.divergence import token_divergence
from training.distill.task import DistillData
from training.job import TrainingJob, base_name
from training.policy import save_adapter
from training.processes import is_main, process_rows, wait_for_all
from training.rl.alarms import Alarm, share_alarms
from training.rl.clock import Clock
from training.rl.metrics import GAP, Averages, Metrics, answer_metrics
from training.rl.optimizer import ParameterGroup, loss_scaler
from training.rl.ppo.drawing import (
    LoopModels,
    draw_answers,
    prompt_numbers,
    require_same_policy,
    require_stable,
)
from training.rl.ppo.state import drop_rollouts, load_rollouts, load_state, save_rollouts, save_state
from training.rl.rollouts import Rollout
from training.rl.watch import append_row, write_samples

LOSS, KL_TO_TEACHER = "loss/policy_avg", "objective/kl_to_teacher"
"""The divergence that is minimised, and KL(student || teacher); means per token, in nats."""
_TEACHER_FACTOR = 4
"""Tokens of the teacher that fit into a micro-batch for one of the student: it keeps no activations."""
_EPSILON = 1e-8
"""Adam's epsilon."""
_FEW_STEPS = 10
"""Fewer steps do not show whether the divergence falls."""


class DistillLoop:
    """One training by on-policy distillation.

    Args:
        job: the model, the optimizer's settings and the folder.
        config: the method's settings.
        data: prompts as token ids, for student and teacher.
        parts: student and teacher (the reference), and the sampler.
        folder: receives checkpoints and metrics.
    """

    def __init__(
        self,
        job: TrainingJob,
        config: DistillConfig,
        data: DistillData,
        parts: LoopModels,
        folder: TrainingFolder,
    ) -> None:
        self._job, self._config, self._data, self._folder = job, config, data, folder
        self._parts, self._models = parts, parts.models
        self._group = ParameterGroup.of(
            "policy",
            parts.models.policy_parameters(),
            config.learning_rate,
            epsilon=_EPSILON,
            weight_decay=job.optim.weight_decay,
        )
        self._scaler = loss_scaler(job, parts.models.device)
        self._history: list[dict[str, Any]] = []
        self._clock = Clock()

    def run(self) -> dict[str, Any]:
        """Train to the end, from the newest checkpoint on; save the student and return metrics."""
        trainable = sum(parameter.numel() for parameter in self._group.parameters.values())
        self._folder.require_disk_space(trainable)
        done, config = self._resume(), self._config
        quiet = contextlib.nullcontext(ProgressTask("train distill", None))
        shown = progress("train distill", config.steps, done=done) if is_main() else quiet
        trackers = reporting(self._job, self._models.policy, self._folder)
        with shown as task, trackers as self._report:
            for step in range(done + 1, config.steps + 1):
                if self._is_over():
                    break
                self._step(step, task)
        return self._finish(trainable)

    # One step

    def _step(self, step: int, task: ProgressTask) -> None:
        """Draw, learn, log, and write a checkpoint where one is due."""
        config, data = self._config, self._data
        numbers = prompt_numbers(self._job.seed, step, config, config.samples, len(data.prompts))
        rollouts = self._rollouts(step, numbers, task)
        with self._clock.phase("update"):
            learned = self._update(rollouts, [data.teacher_ids[number] for number in numbers], step)
            self._clock.count("update", sum(len(rollout.drawn.tokens) for rollout in rollouts))
        require_same_policy(learned, step, self._job, config)
        require_stable(learned, (LOSS, "policy/grad_norm_max"), step, self._job, config)
        finished = float(sum(rollout.drawn.finished for rollout in rollouts))
        answers = answer_metrics("completions", rollouts)
        self._log(
            step,
            {"episode": float(step * config.rollouts), **learned, **answers, "val/num_eos_tokens": finished},
        )
        if is_main():
            write_samples(self._folder, step, rollouts, [None] * len(rollouts))
        if step % self._job.optim.checkpoint_every == 0 or step == config.steps or self._is_over():
            self._commit(step)
        task.note(f"KL to teacher {learned[KL_TO_TEACHER]:.3g} nats a token, {self._clock.rates()}")
        task.advance()

    def _rollouts(self, step: int, numbers: Sequence[int], task: ProgressTask) -> list[Rollout]:
        """Return the answers of a step."""
        prompts = self._data.prompts
        kept = load_rollouts(self._folder.checkpoints, step, prompts)
        if kept is not None:
            return kept
        # A seed per answer, not a generator per process: any number of processes draws the same answers.
        seeds = [derive_seed(self._job.seed, "rollout", step, row) for row in range(len(numbers))]
        task.note(f"drawing {counted(len(numbers), 'answer')}, {self._clock.rates()}")
        asked = [prompts[number] for number in numbers]
        rollouts = draw_answers(self._parts, self._job, self._config, asked, seeds, self._clock)
        if is_main():
            save_rollouts(self._folder.checkpoints, step, rollouts, numbers)
        return rollouts

    def _update(
        self, rollouts: Sequence[Rollout], teacher_ids: Sequence[tuple[int, ...]], step: int
    ) -> Metrics:
        """Take one optimizer step on the answers; return its metrics.

        The loss is the mean divergence over all tokens of the step, as in TRL's distillation trainer.

        Args:
            rollouts: the answers, those to one prompt together.
            teacher_ids: the teacher's prompt of each answer.
            step: counted from 1.
        """
        config, averages = self._config, Averages(measures_gap=True)
        tokens = sum(len(rollout.drawn.tokens) for rollout in rollouts)
        for batch in process_rows(list(self._batches(rollouts, teacher_ids))):
            student, teacher, drawn = zip(*batch, strict=True)
            taught = self._models.reference_states(self._models.row(teacher))
            row = self._models.row(student)
            states = self._models.states(row)
            found = token_divergence(
                states,
                taught,
                self._models.separate_head,
                row.answer_ids,
                beta=config.beta,
                temperature=config.temperature,
            )
            self._scaler.scale(found.divergence.sum() / tokens).backward()  # type: ignore[no-untyped-call]
            sampled = torch.tensor([*chain.from_iterable(drawn)], device=found.logprobs.device)
            averages.add(LOSS, found.divergence)
            averages.add(KL_TO_TEACHER, found.kl)
            averages.add("policy/entropy_avg", found.entropy)
            averages.add(GAP, (found.logprobs - sampled).abs())
        for name, number in self._group.step(
            self._scaler, self._job.optim, step - 1, self._config.steps
        ).items():
            averages.note(name, number)
        if self._scaler.is_enabled():
            self._scaler.update()
        self._group.optimizer.zero_grad()
        return averages.means()

    def _batches(
        self, rollouts: Sequence[Rollout], teacher_ids: Sequence[tuple[int, ...]]
    ) -> Iterator[list[tuple[Tree, Tree, tuple[float, ...]]]]:
        """Yield micro-batches: the answers after the student's prompt and after the teacher's.

        Each tree comes with the sampler's log-probabilities of its answers, one after the other.
        """
        together = self._config.samples if self._models.packed else 1
        rows = []
        for start in range(0, len(rollouts), together):
            group = rollouts[start : start + together]
            answers = tuple(rollout.drawn.tokens for rollout in group)
            logprobs = tuple(value for rollout in group for value in rollout.drawn.logprobs)
            rows.append((Tree(group[0].prompt.ids, answers), Tree(teacher_ids[start], answers), logprobs))
        # A constitution can be far longer than prompt and answer: the teacher's rows are bounded as well.
        sizes = [max(len(own), math.ceil(len(taught) / _TEACHER_FACTOR)) for own, taught, _ in rows]
        budget = self._job.optim.micro_tokens if self._models.packed else 0
        for batch in micro_batches(sizes, budget):
            yield [rows[index] for index in batch]

    # Alarms, checkpoints and the end

    def _alarms(self) -> list[Alarm]:
        config = self._config
        names = ("completions/clipped_ratio", "completions/repetitive")
        return [] if config.alarms == "off" else share_alarms(self._history, names, config.alarm_share)

    def _is_over(self) -> bool:
        return self._config.alarms == "stop" and bool(self._alarms())

    def _resume(self) -> int:
        """Load the newest checkpoint; return its step, or 0."""
        checkpoint, done = self._folder.newest(), 0
        if checkpoint is not None:
            _, state = load_state(checkpoint, [self._group])
            done, self._history = state["step"], state["history"]
            if scale := state.get("loss_scale"):
                self._scaler.load_state_dict(scale)
        if is_main():
            # Lines of steps after the checkpoint will be written again.
            for name in (self._folder.metrics.name, SAMPLES_FILE):
                self._folder.rewind(name, done if checkpoint else -1)
        wait_for_all()
        return done

    def _commit(self, step: int) -> None:
        """Write a checkpoint and make it the newest."""
        if is_main():
            scale = self._scaler.state_dict()
            state = {"step": step, "history": self._history, **({"loss_scale": scale} if scale else {})}
            save_state(self._folder.staging / f"checkpoint-{step}", [self._group], {}, state)
            self._folder.commit(step)
            drop_rollouts(self._folder.checkpoints, step)
        wait_for_all()

    def _log(self, step: int, metrics: Metrics) -> None:
        row = {"step": step, **metrics}
        self._history.append(row)
        self._report(step, metrics)
        if is_main():
            append_row(self._folder.metrics, row)

    def _finish(self, trainable: int) -> dict[str, Any]:
        """Save the student's adapter; return metrics and warnings."""
        if is_main():
            save_adapter(self._models.policy, self._job.folder, base_name(self._job.policy))
        wait_for_all()
        alarms = self._alarms()
        warnings = [f"step {alarm.step}: {alarm.text}" for alarm in alarms]
        return {
            "steps": int(self._history[-1]["step"]),
            "best_step": None,
            "trainable_parameters": trainable,
            "metrics": {name: value for name, value in self._history[-1].items() if name != "step"},
            "warnings": [*warnings, *not_fallen(self._history)],
            "alarms": [alarm.name for alarm in alarms],
            "phases_s": self._clock.rounded(),
        }


def not_fallen(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a warning if the divergence from the teacher is no lower at the end than at the start."""
    values = [float(row[KL_TO_TEACHER]) for row in history]
    if len(values) < _FEW_STEPS:
        return []
    third = len(values) // 3
    first, last = fmean(values[:third]), fmean(values[-third:])
    if last < first:
        return []
    return [
        f"the divergence from the teacher has not fallen: {first:.3g} nats a token in the first third of "
        f"the steps, {last:.3g} in the last"
    ]

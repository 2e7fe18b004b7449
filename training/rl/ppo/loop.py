"""The training loop of PPO, RLOO and GRPO: draw answers, score them, learn from them, evaluate.

Everything random follows from the seed and the number of the step. A training that was killed therefore
resumes from its newest checkpoint exactly as it would have continued.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from safetensors.torch import save

from core.digests import derive_seed
from core.notices import counted
from core.progress import ProgressTask, progress
from core.store.files import write_atomic
from training.callbacks import reporting
from training.checkpoints import CRITIC_FILE, SAMPLES_FILE, TrainingFolder
from training.job import TrainingJob, base_name
from training.policy import save_adapter
from training.processes import gathered, is_main, process_rows, wait_for_all
from training.rl.alarms import GOLD_BY_PROMPT, KL, account_of, best_gold_step, is_over
from training.rl.clock import Clock
from training.rl.config import LoopConfig
from training.rl.kl import KLController
from training.rl.metrics import GAP, Metrics, require_some, step_metrics
from training.rl.ppo.drawing import (
    LoopModels,
    draw_answers,
    prompt_numbers,
    require_same_policy,
    require_stable,
)
from training.rl.ppo.experience import compute_token_metrics, experience_of
from training.rl.ppo.objectives import estimate_advantages, scores_of
from training.rl.ppo.state import (
    drop_rollouts,
    load_rollouts,
    load_state,
    load_weights,
    save_rollouts,
    save_state,
)
from training.rl.ppo.update import PolicyUpdate
from training.rl.rollouts import Rollout, RolloutPrompt
from training.rl.task import RLData
from training.rl.watch import append_row, watched, write_samples

_MAX_GAP = 1e-3
"""Mean gap in nats above which the sampler's log-probabilities are not taken for the policy's."""
_GUARDED = ("loss/policy_avg", "loss/value_avg", "policy/grad_norm_max", "critic/grad_norm_max")
"""Metrics that end the training if they are not finite."""


class RLLoop:
    """One training by any of the three methods.

    Args:
        job: the model, the optimizer's settings and the folder.
        config: the method's settings.
        data: prompts and rewards.
        parts: the models.
        folder: receives checkpoints and metrics.
    """

    def __init__(
        self, job: TrainingJob, config: LoopConfig, data: RLData, parts: LoopModels, folder: TrainingFolder
    ) -> None:
        self._job, self._config, self._data, self._folder = job, config, data, folder
        self._parts, self._models, self._sampler = parts, parts.models, parts.sampler
        self._kl = KLController(config.kl_coef, config.kl_target, config.kl_rate)
        updates = config.steps * config.ppo_epochs * math.ceil(config.rollouts / config.minibatch)
        self._update = PolicyUpdate(parts.models, config, job, data.answered, updates)
        self._average: dict[str, torch.Tensor] = {}
        self._history: list[dict[str, Any]] = []
        self._clock = Clock()

    def run(self) -> dict[str, Any]:
        """Train to the end, from the newest checkpoint on; save the policy and return metrics."""
        groups = self._update.groups
        trainable = sum(p.numel() for group in groups for p in group.parameters.values())
        self._folder.require_disk_space(trainable)
        done = self._resume()
        label = f"train {self._config.method}"
        quiet = contextlib.nullcontext(ProgressTask(label, None))
        shown = progress(label, self._config.steps, done=done) if is_main() else quiet
        trackers = reporting(self._job, self._models.policy, self._folder)
        with shown as task, trackers as self._report:
            if not self._history:  # a new training; a resumed one has evaluated its start
                self._evaluate(0, task)
                if self._config.keep == "best":
                    self._commit(0)  # no later step may be better than the start
            for step in range(done + 1, self._config.steps + 1):
                if is_over(self._history, self._config):
                    break
                self._step(step, task)
        return self._finish(trainable)

    # One step

    def _step(self, step: int, task: ProgressTask) -> None:
        """Draw, score, learn, log, evaluate, and write a checkpoint where one is due."""
        config = self._config
        rollouts = self._rollouts(step, task)
        coefficient = self._kl.coefficient  # this step's; the controller changes it below
        with self._clock.phase("experience"):
            experience = experience_of(
                rollouts, config.samples, packed=self._models.packed, mask_truncated=config.mask_truncated
            )
            tokens, recompute = self._job.optim.micro_tokens, self._recomputes()
            compute_token_metrics(experience, self._models, tokens, recompute=recompute)
            totals = self._data.rewards.totals([rollout.scores for rollout in rollouts])
            require_some(totals, step, f"{config.method}.rewards")
            scores = scores_of(rollouts, totals, config.missing_eos_penalty)
            estimate_advantages(experience, scores, config, coefficient, self._job.optim.micro_batch)
        groups = scores.view(-1, config.samples)
        metrics = step_metrics(experience, rollouts, totals, groups, coefficient)
        with self._clock.phase("update"):
            metrics |= self._update.run(experience, step)
            self._clock.count("update", config.ppo_epochs * int(experience.mask.sum()))
        require_same_policy(metrics, step, self._job, config)
        require_stable(metrics, _GUARDED, step, self._job, config)
        if step > config.critic_warmup:
            # While the critic learns alone the divergence is 0, and would drive the coefficient down.
            self._kl.update(metrics[KL])
        self._move_average()
        self._log(step, {"episode": float(step * config.rollouts), **metrics})
        if is_main():
            write_samples(self._folder, step, rollouts, totals)
        self._watch(step, task)
        task.note(f"reward {metrics['objective/scores']:.3g}, KL {metrics[KL]:.3g}, {self._clock.rates()}")
        task.advance()

    def _rollouts(self, step: int, task: ProgressTask) -> list[Rollout]:
        """Return the answers of a step, with the scores of each reward."""
        config, prompts = self._config, self._data.prompts
        numbers = prompt_numbers(self._job.seed, step, config, config.samples, len(prompts))
        kept = load_rollouts(self._folder.checkpoints, step, prompts)
        if kept is not None:
            return kept
        # A seed per answer, not a generator per process: any number of processes draws the same answers.
        seeds = [derive_seed(self._job.seed, "rollout", step, row) for row in range(len(numbers))]
        task.note(f"drawing {counted(len(numbers), 'answer')}, {self._clock.rates()}")
        drawn = self._drawn([prompts[number] for number in numbers], seeds)
        with self._clock.phase("reward"):
            own = process_rows(drawn)
            scores = self._data.rewards.score([rollout.sample for rollout in own])
            rewarded = [replace(rollout, scores=row) for rollout, row in zip(own, scores, strict=True)]
            rollouts: list[Rollout] = gathered(rewarded)
        if is_main():
            # Saved before they are learned from: rewards may cost money or not be repeatable.
            save_rollouts(self._folder.checkpoints, step, rollouts, numbers)
        return rollouts

    def _drawn(self, prompts: Sequence[RolloutPrompt], seeds: Sequence[int]) -> list[Rollout]:
        """Return an answer of the policy to each prompt; each process draws its share."""
        return draw_answers(self._parts, self._job, self._config, prompts, seeds, self._clock)

    def _recomputes(self) -> bool:
        """Return whether the trainer recomputes the log-probabilities that the sampler gave."""
        if self._config.old_logprobs == "trainer" or not self._sampler.is_exact:
            return True
        return any(row.get(GAP, 0.0) > _MAX_GAP for row in self._history)

    # Evaluation

    def _watch(self, step: int, task: ProgressTask) -> None:
        """Evaluate and commit a checkpoint, each where it is due; the end of training makes both due."""
        optim, config = self._job.optim, self._config
        last = step == config.steps
        if step % config.eval_every == 0 or last:
            self._evaluate(step, task)
        is_best = best_gold_step(self._history, config) == step
        ends = last or is_over(self._history, config)
        if step % optim.checkpoint_every == 0 or is_best or ends:
            self._commit(step)

    def _evaluate(self, step: int, task: ProgressTask) -> None:
        """Log training reward and gold reward of answers to the held-out prompts."""
        data = self._data
        if data.gold is None:
            return
        task.note(f"evaluating on {len(data.held_out)} held-out prompts")
        # Every evaluation has the same seeds: differences between steps then come from the weights.
        seeds = [derive_seed(self._job.seed, "gold", prompt.prompt.id) for prompt in data.held_out]
        rollouts = self._drawn(data.held_out, seeds)
        with self._clock.phase("reward"):
            found = watched(rollouts, data.rewards, data.gold, f"{self._config.method}.gold")
        self._log(step, found.metrics, {GOLD_BY_PROMPT: found.golds})

    # Checkpoints

    def _resume(self) -> int:
        """Load the newest checkpoint; return its step, or 0."""
        checkpoint = self._folder.newest()
        done = 0
        if checkpoint is not None:
            self._average, state = load_state(checkpoint, self._update.groups)
            done, self._update.done = state["step"], state["updates"]
            self._kl.coefficient, self._history = state["kl_coef"], state["history"]
            self._data.rewards.load(state["rewards"])
            if scale := state.get("loss_scale"):
                self._update.scaler.load_state_dict(scale)
        if is_main():
            # Lines of steps after the checkpoint will be written again.
            for name in (self._folder.metrics.name, SAMPLES_FILE):
                self._folder.rewind(name, done if checkpoint else -1)
        wait_for_all()
        return done

    def _commit(self, step: int) -> None:
        """Write a checkpoint and make it the newest."""
        if is_main():
            state = {
                "step": step,
                "updates": self._update.done,
                "kl_coef": self._kl.coefficient,
                "rewards": self._data.rewards.state(),
                "history": self._history,
                **({"loss_scale": scale} if (scale := self._update.scaler.state_dict()) else {}),
            }
            save_state(self._folder.staging / f"checkpoint-{step}", self._update.groups, self._average, state)
            self._folder.commit(step, keep=best_gold_step(self._history, self._config))
            drop_rollouts(self._folder.checkpoints, step)
        wait_for_all()

    def _move_average(self) -> None:
        """Update the exponential moving average of the policy's weights."""
        if self._config.ema is None:
            return
        for name, parameter in self._update.policy.parameters.items():
            now = parameter.detach().cpu()
            before = self._average.get(name)
            self._average[name] = now.clone() if before is None else before.lerp(now, 1 - self._config.ema)

    def _log(self, step: int, metrics: Metrics, details: Mapping[str, Any] | None = None) -> None:
        """Log metrics; details are for the alarms, and only the history and so the checkpoints have them."""
        row = {"step": step, **metrics}
        self._history.append({**row, **(details or {})})
        self._report(step, metrics)
        if is_main():
            append_row(self._folder.metrics, row)

    def _finish(self, trainable: int) -> dict[str, Any]:
        """Save the resulting policy, and the critic if there is one; return metrics."""
        last = max((int(row["step"]) for row in self._history), default=0)
        best = best_gold_step(self._history, self._config)
        best = None if best == last else best  # the last weights are in the model already
        averaged = self._config.ema is not None
        if best is not None or averaged:
            checkpoint = self._folder.checkpoint(last if best is None else best)
            load_weights(checkpoint, [self._update.policy], averaged=averaged)
        if is_main():
            save_adapter(self._models.policy, self._job.folder, base_name(self._job.policy))
            if self._update.critic is not None:
                critic = {n: p.detach().cpu().contiguous() for n, p in self._update.critic.parameters.items()}
                write_atomic(self._job.folder / CRITIC_FILE, save(critic))
        wait_for_all()
        steps = [row for row in self._history if KL in row]
        return {
            "steps": last,
            "best_step": best,
            "trainable_parameters": trainable,
            "metrics": {name: value for name, value in (steps or [{}])[-1].items() if name != "step"},
            **account_of(self._history, self._config),
            "phases_s": self._clock.rounded(),
        }

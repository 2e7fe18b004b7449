"""TRL's RLOO and GRPO trainers with our prompts, sampler, rewards and figures.

One optimizer step follows each draw, so that every answer is learned from by the policy that drew it. What is
overridden of TRL 1.16 is private there: how prompts are encoded, how answers are drawn, and where the
log-probabilities can be seen. tests/training/rl/group/test_train.py fails if TRL moves it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer
from trl import GRPOConfig as TRLGRPOConfig  # type: ignore[attr-defined]
from trl import GRPOTrainer, RLOOTrainer  # type: ignore[attr-defined]
from trl import RLOOConfig as TRLRLOOConfig  # type: ignore[attr-defined]

from core.digests import derive_seed
from core.store.files import write_atomic
from training.checkpoints import TrainingFolder
from training.processes import gathered, is_main, process_rows, rank
from training.rl.alarms import KL, ByGold
from training.rl.clock import Clock
from training.rl.config import GroupConfig
from training.rl.group.course import WatchCallback
from training.rl.group.parts import GroupParts, StepTokens, all_of, prompts_in_order, share_alike
from training.rl.metrics import Metrics, policy_metrics, require_some
from training.rl.rollouts import Drawn, Rollout
from training.rl.watch import watched, write_samples

_REWARDS = "rewards.json"
"""The running scale of the rewards, in a checkpoint."""


class _Watched(Trainer):
    """What both trainers share; stands before TRL's class among the bases.

    Args:
        policy: the model with the adapter that training starts from.
        arguments: of TRL's configuration.
        parts: prompts, rewards and sampler.
        config: the method's numbers.
        folder: where samples and checkpoints go.
    """

    settings: type[Any]
    """TRL's class of configurations."""

    def __init__(
        self,
        policy: Any,
        arguments: Mapping[str, Any],
        parts: GroupParts,
        config: GroupConfig,
        folder: TrainingFolder,
    ) -> None:
        self._parts, self._config, self._folder = parts, config, folder
        self._clock, self._course = Clock(), ByGold(config)
        self._drawn: list[Drawn] = []
        self._rollouts: list[Rollout] = []
        self._totals: list[float | None] = []
        self._paid: list[float | None] = []
        self._tokens: list[StepTokens] = []
        self._last: tuple[Any, Any] = (None, None)
        checkpoint = folder.newest()
        if checkpoint is not None:
            parts.data.rewards.load(json.loads((checkpoint / _REWARDS).read_text(encoding="utf-8")))
        every = config.eval_every if parts.data.gold else None
        parent: Any = super().__init__
        parent(
            model=policy,
            reward_funcs=self._earned,
            args=self.settings(**arguments),
            train_dataset=prompts_in_order(parts, config),
            processing_class=parts.tokenizer,
            callbacks=[WatchCallback(self._course, every, self._begin)],
        )

    # Drawing

    def _tokenize_prompts(self, prompts: Sequence[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        """Return the token ids of prompts, of which the data set holds the numbers: our encoder made them."""
        return [list(self._parts.data.prompts[int(number)].ids) for number in prompts], None, {}

    def _draw(self, prompt_ids: Sequence[Sequence[int]]) -> list[list[int]]:
        """Return the tokens of an answer to each prompt of this process."""
        step, first = self.state.global_step + 1, rank() * len(prompt_ids)
        rows = range(first, first + len(prompt_ids))
        seeds = [derive_seed(self._parts.seed, "rollout", step, row) for row in rows]
        self._drawn = self._sampled([tuple(ids) for ids in prompt_ids], seeds)
        return [list(drawn.tokens) for drawn in self._drawn]

    def _sampled(self, prompts: Sequence[tuple[int, ...]], seeds: Sequence[int]) -> list[Drawn]:
        with self._clock.phase("rollout"), _evaluating(self.model):
            drawn = self._parts.sampler.sample(prompts, seeds)
        self._clock.count("rollout", sum(len(one.tokens) for one in drawn))
        return drawn

    def _earned(self, prompts: Sequence[str], **_: Any) -> list[float | None]:
        """Return what each answer of this process earns; None leaves it out."""
        parts, config, step = self._parts, self._config, self.state.global_step + 1
        numbered = zip(prompts, self._drawn, strict=True)
        own = [Rollout(parts.data.prompts[int(n)], drawn, parts.read(drawn)) for n, drawn in numbered]
        with self._clock.phase("reward"):
            scores = parts.data.rewards.score([rollout.sample for rollout in own])
        rewarded = [replace(rollout, scores=row) for rollout, row in zip(own, scores, strict=True)]
        self._rollouts = all_of(rewarded)
        self._totals = parts.data.rewards.totals([rollout.scores for rollout in self._rollouts])
        require_some(self._totals, step, f"{config.method}.rewards")
        penalties = [0.0 if one.drawn.finished else config.missing_eos_penalty for one in self._rollouts]
        self._paid = [None if t is None else t - p for t, p in zip(self._totals, penalties, strict=True)]
        first = rank() * len(own)
        return self._paid[first : first + len(own)]

    # Seeing what TRL computes

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """Return TRL's batch, and with it what the sampler and the reference say of each token."""
        parent: Any = super()
        batch: dict[str, Any] = parent._generate_and_score_completions(inputs)
        batch["reference"] = self._last[0]  # the last pass before the update is the reference's
        batch["sampler"] = torch.zeros_like(batch["reference"])
        for row, drawn in enumerate(self._drawn):
            batch["sampler"][row, : len(drawn.logprobs)] = torch.tensor(drawn.logprobs)
        return batch

    def _get_per_token_logps_and_entropies(self, *given: Any, **named: Any) -> Any:
        """Return what TRL computes, and remember it."""
        parent: Any = super()
        found = parent._get_per_token_logps_and_entropies(*given, **named)
        self._last = (found[0].detach(), None if found[1] is None else found[1].detach())
        return found

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Any:
        """Return TRL's loss of a micro-batch, and remember the figures of its tokens."""
        parent: Any = super()
        loss = parent._compute_loss(model, inputs)
        mask = inputs["completion_mask"].bool()
        self._clock.count("update", int(mask.sum()))
        seen = (mask, inputs["sampler"], self._last[0], inputs["reference"], self._last[1])
        self._tokens.append(StepTokens(*(matrix.cpu() for matrix in seen)))
        return loss

    def training_step(self, *given: Any, **named: Any) -> Any:
        """Take TRL's step, in which answers are drawn and scored too."""
        with self._clock.phase("update"):
            return super().training_step(*given, **named)

    # Figures

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log a step's figures under the names that they have in PPO."""
        if "loss" in logs:
            own: Any = self
            own._metrics["train"].clear()  # all that TRL logs has its counterpart among ours
            logs.update(self._figures())
        super().log(logs, start_time)

    def _figures(self) -> Metrics:
        """Return the figures of the step that was just taken; write down some of its answers."""
        step, config = self.state.global_step, self._config
        tokens = StepTokens.together(all_of(self._tokens))
        self._tokens = []
        if is_main():
            write_samples(self._folder, step, self._rollouts, self._totals)
        return {
            "episode": float(step * config.rollouts),
            **policy_metrics(tokens, self._rollouts, self._totals, config.kl_coef),
            "frac_reward_zero_std": share_alike(self._paid, config.num_generations),
        }

    def note_of(self, logs: dict[str, float]) -> str:
        """Return what the progress line shows of a step."""
        return f"reward {logs['objective/scores']:.3g}, KL {logs[KL]:.3g}, {self._clock.rates()}"

    def report(self, history: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return the alarms, and how long what took."""
        return {**self._course.account(history), "phases_s": self._clock.rounded()}

    # Watching

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Log and return reward and gold of answers to the held-out prompts."""
        parts, name = self._parts, self._config.method
        assert parts.data.gold is not None
        own = process_rows(parts.data.held_out)
        seeds = [derive_seed(parts.seed, "gold", prompt.prompt.id) for prompt in own]
        drawn = self._sampled([prompt.ids for prompt in own], seeds)
        mine = [Rollout(p, d, parts.read(d)) for p, d in zip(own, drawn, strict=True)]
        with self._clock.phase("reward"):
            figures = watched(gathered(mine), parts.data.rewards, parts.data.gold, f"{name}.gold")
        self.log(dict(figures))
        self.control.should_evaluate = False  # or it would be asked for again where training ends
        return figures

    def _begin(self) -> None:
        """Look at gold before the first step, and keep the weights of the start: they may be the best."""
        self.evaluate()
        if self._config.keep == "best" and is_main():
            self._save(str(self._folder.staging / "checkpoint-0"))
            self._folder.commit(0)

    # State

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Write the adapter that learns, without the reference, and the running scale of the rewards."""
        folder = Path(output_dir or str(self.args.output_dir))
        policy: Any = self.model
        policy.save_pretrained(str(folder), selected_adapters=["default"])
        write_atomic(folder / _REWARDS, json.dumps(self._parts.data.rewards.state()) + "\n")


class RLOO(_Watched, RLOOTrainer):
    """TRL's RLOO."""

    settings = TRLRLOOConfig

    def _generate_single_turn(self, prompt_ids: Any, images: Any, fields: Any) -> list[list[int]]:
        """Return the tokens of an answer to each prompt."""
        return self._draw(prompt_ids)


class GRPO(_Watched, GRPOTrainer):
    """TRL's GRPO."""

    settings = TRLGRPOConfig

    def _generate_single_turn(self, prompt_ids: Any, *_: Any, **__: Any) -> tuple[list[list[int]], None]:
        """Return the tokens of an answer to each prompt; their log-probabilities are kept by us."""
        return self._draw(prompt_ids), None


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Switch off what only training needs, such as recomputed activations."""
    was = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was)

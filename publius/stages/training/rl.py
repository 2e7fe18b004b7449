"""The reinforcement learning stages of a run: PPO, RLOO and GRPO."""

from __future__ import annotations

import time
from dataclasses import replace
from operator import attrgetter

from core.notices import warn
from labelers.rewards import LabelerReward
from publius.models.provenance import Provenance
from publius.runs.engines import Engines
from publius.runs.folder import Run
from publius.sources.held_out import held_out_of
from publius.stages.base import StageResult, prompts_of
from publius.stages.training.examples import (
    job_of,
    provenance_of,
    record_training,
    start_of,
    supervised_examples,
)
from publius.stages.training.rewards import critic_origin, gold_of, rewards_of
from training.rl.config import RLConfig
from training.rl.reward_sum import WeightedReward
from training.rl.task import RLTask
from training.rl.train import train_grpo, train_ppo, train_rloo


async def ppo_stage(run: Run, engines: Engines) -> StageResult:
    """Train the policy by PPO, starting from `ppo.init`, on the prompts that are not held out."""
    started, config = time.monotonic(), run.config.ppo
    job = job_of(run, "ppo", config, start_of(run, "ppo", config.init))
    (task, origin), critic = _task(run, engines, config), critic_origin(run, job.policy)
    engines.keep()
    held_out = {prompt.messages for prompt in task.held_out}
    answered = supervised_examples(run).rows if config.sft_coef else []
    # Prompts held out for the gold reward must not be learned through the mixed-in SFT loss either.
    mixed = [example for example in answered if example.prompt not in held_out]
    if config.sft_coef and not mixed:
        warn("ppo: the run has no answers to mix in, so ppo.sft_coef has no effect")
        config = config.model_copy(update={"sft_coef": 0.0})
    task = replace(task, answered=mixed, critic=critic)
    result = train_ppo(task, job, config)
    engines.keep()  # a labeler beside the trainer has less memory than later stages want
    return record_training(run, job, [result], origin, config, started)


async def rloo_stage(run: Run, engines: Engines) -> StageResult:
    """Train the policy by RLOO, starting from `rloo.init`, on the prompts that are not held out."""
    started, config = time.monotonic(), run.config.rloo
    job = job_of(run, "rloo", config, start_of(run, "rloo", config.init))
    task, origin = _task(run, engines, config)
    engines.keep()
    result = train_rloo(task, job, config)
    engines.keep()
    return record_training(run, job, [result], origin, config, started)


async def grpo_stage(run: Run, engines: Engines) -> StageResult:
    """Train the policy by GRPO, starting from `grpo.init`, on the prompts that are not held out."""
    started, config = time.monotonic(), run.config.grpo
    job = job_of(run, "grpo", config, start_of(run, "grpo", config.init))
    task, origin = _task(run, engines, config)
    engines.keep()
    result = train_grpo(task, job, config)
    engines.keep()
    return record_training(run, job, [result], origin, config, started)


def _task(run: Run, engines: Engines, config: RLConfig) -> tuple[RLTask, Provenance]:
    """Return the prompts, rewards and gold reward of a method, and their provenance."""
    rewards, gold = rewards_of(run, engines, config), gold_of(run, engines, config)
    prompts = sorted(prompts_of(run, {"train", "preference"}), key=lambda prompt: prompt.id)
    share = config.held_out if gold is not None else 0.0
    train, unseen = held_out_of(prompts, share, config.method, attrgetter("messages"))
    every = (*rewards, *([gold] if gold else []))
    asks_labeler = any(isinstance(entry.reward, LabelerReward) for entry in every)
    task = RLTask(
        prompts=train,
        rewards=[WeightedReward(entry.reward, entry.weight) for entry in rewards],
        held_out=unseen,
        gold=gold.reward if gold else None,
        vllm_engines=int(asks_labeler and engines.vllm_beside_trainer("labeler")),
        identity=tuple(entry.identity for entry in every),
    )
    names = ", ".join(f"{entry.weight:g} x {entry.reward.name}" for entry in rewards)
    return task, provenance_of(run, f"prompts of the run, rewarded by {names}")

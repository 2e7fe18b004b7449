"""Reinforcement learning with a KL penalty: PPO, RLOO and GRPO on one loop.

The policy draws answers, rewards score them, and the policy moves towards the better ones; divergence from
its reference is penalised. The methods differ in the baseline of an answer (`training/rl/ppo/objectives.py`);
`docs/methods.md` names every formula with its source and the function that holds it. The loop is
`training/rl/ppo/loop.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.lazy import require
from core.rewards import LoadedReward
from engines.adapter import adapter_digest
from engines.tokenization import TurnEncoder
from engines.trees import Tree
from training.checkpoints import TrainingFolder
from training.config import OptimConfig
from training.examples import EncodedAnswer
from training.job import TrainingJob, TrainingResult, require_examples, run_or_reuse
from training.policy import TRAIN_EXTRA, load_encoder
from training.rl.config import GRPOConfig, LoopConfig, OnPolicyConfig, PPOConfig, RLOOConfig
from training.rl.reward_sum import RewardSum
from training.rl.rollouts import Drawn
from training.rl.sampler import open_sampler, sampling_of, usable_here
from training.rl.task import (
    RELEVANT_FIELDS,
    CriticOrigin,
    RLData,
    RLTask,
    encode_prompts,
    reader_of,
    require_gold,
    rl_digest,
)
from training.sft import encode_answers

_GROUP_LOOP = "one loop"
"""Part of the digest of RLOO and GRPO: results of TRL's trainers, which were used before, are not reused."""


def train_ppo(task: RLTask, job: TrainingJob, config: PPOConfig) -> TrainingResult:
    """Train the policy by proximal policy optimization, and return where its adapter is.

    Schulman et al. 2017, arXiv 1707.06347; the KL penalty: Ziegler et al. 2019, arXiv 1909.08593. An
    interrupted run of the same job resumes from its newest checkpoint; a finished one is reused.

    Args:
        task: prompts and rewards, answers to mix in, and the critic's origin.
        job: the model, the optimizer's settings and the folder.
        config: the method's settings.

    Raises:
        ConfigError: if `keep: best` or `patience` is set without gold, or gold without held-out prompts.
        DataError: if there are no prompts, or a reward fails or returns anything but scores.
        EngineError: if the model cannot be loaded or trained, or no answer could be scored.
        MissingExtraError: if peft is not installed, or vLLM where it is to draw the answers.
        RunStateError: if the disk is too small or full.
    """
    return _train(task, job, config)


def train_rloo(task: RLTask, job: TrainingJob, config: RLOOConfig) -> TrainingResult:
    """Train the policy by REINFORCE leave-one-out, and return where its adapter is.

    Ahmadian et al. 2024, arXiv 2402.14740. Arguments and errors are those of `train_ppo`.
    """
    return _train(task, job, config)


def train_grpo(task: RLTask, job: TrainingJob, config: GRPOConfig) -> TrainingResult:
    """Train the policy by group relative policy optimization, and return where its adapter is.

    Shao et al. 2024, arXiv 2402.03300. Arguments and errors are those of `train_ppo`.
    """
    return _train(task, job, config)


def _train(task: RLTask, job: TrainingJob, config: LoopConfig) -> TrainingResult:
    for package in ("torch", "transformers", "peft"):
        require(package, TRAIN_EXTRA)
    config = usable_here(config, job)
    encoder = load_encoder(job.policy)
    data, unseen = (encode_prompts(rows, encoder, job, config) for rows in (task.prompts, task.unseen))
    require_examples(data.rows, data.excluded, "prompts to train on")
    require_gold(task, config, unseen.rows)
    mixed = encode_answers(task.answered if config.sft_coef else (), encoder, job.optim)
    if config.sft_coef:
        require_examples(mixed.rows, mixed.excluded, f"answers to mix in ({config.method}.sft_coef)")
    relevant = RELEVANT_FIELDS if isinstance(config, PPOConfig) else (*RELEVANT_FIELDS, "micro_batch")
    decisive = _decisive(config, task.critic, mixed.rows)
    digest = rl_digest(task, job, config, (data.rows, unseen.rows), relevant, *decisive)

    def run(folder: TrainingFolder) -> dict[str, Any]:
        from training.rl.ppo.loop import RLLoop

        rewards = RewardSum(task.rewards, config.reward_normalise, config.reward_clip)
        learned = RLData(data.rows, rewards, unseen.rows, task.gold, mixed.rows)
        parts = _parts(job, config, task, encoder, learned)
        try:
            return RLLoop(job, config, learned, parts, folder).run()
        finally:
            parts.sampler.close()

    outcome = run_or_reuse(job, digest, len(data.rows), run)
    return TrainingResult.of(
        job.folder,
        outcome,
        ignored_settings(config, job),
        examples=len(data.rows),
        held_out=len(unseen.rows),
        excluded=(*data.excluded, *unseen.excluded, *mixed.excluded),
        truncated=mixed.truncated,
        tokens=sum(len(row.ids) for row in data.rows),
    )


def _decisive(
    config: LoopConfig, origin: CriticOrigin | None, mixed: Sequence[EncodedAnswer]
) -> tuple[object, ...]:
    """Return what else of a method affects the result."""
    if not isinstance(config, PPOConfig):
        return (_GROUP_LOOP,)
    mean, scale = (origin.mean, origin.scale) if origin else (0.0, 1.0)
    start = (config.critic == "shared", origin and adapter_digest(origin.folder), mean, scale)
    return start, [repr(row) for row in mixed]


def ignored_settings(config: OnPolicyConfig, job: TrainingJob) -> tuple[str, ...]:
    """Return a warning for each setting that is given and ignored."""
    name, default = config.method, OptimConfig()
    ignored = [
        key for key in ("eval_every", "keep", "patience") if getattr(job.optim, key) != getattr(default, key)
    ]
    return tuple(
        f"optim.{key} has no effect on {name}" + (f": set {name}.{key}" if hasattr(config, key) else "")
        for key in ignored
    )


def _parts(job: TrainingJob, config: LoopConfig, task: RLTask, encoder: TurnEncoder, data: RLData) -> Any:
    """Return the models and the sampler."""
    from training.rl.ppo.actor_critic import load_actor_critic
    from training.rl.ppo.drawing import LoopModels

    longest = max(data.prompts, key=lambda row: len(row.ids)).ids
    probe = Tree(longest, (encoder.end_of_turn,))
    models = load_actor_critic(job, config.critic, task.critic, probe, config.temperature)
    reader = reader_of(models.policy, encoder, job.policy.id)

    def read(drawn: Drawn) -> str:
        return reader.text(drawn.tokens, sampling_of(config))[0]

    for reward in (*(weighted.reward for weighted in task.rewards), task.gold):
        if isinstance(reward, LoadedReward):
            reward.load()  # before a sampler in vLLM takes what is free
    sampler = open_sampler(job, config, models.policy, reader, 1 + task.vllm_engines)
    return LoopModels(models, sampler, read)

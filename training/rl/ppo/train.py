"""Proximal policy optimization with a KL penalty (Schulman et al. 2017; Ziegler et al. 2019).

The policy draws answers, rewards score them, and the policy moves towards what scored better than its critic
expected; each nat by which it leaves its reference costs. `docs/methods.md` names every formula with its
source and the function that holds it; the loop is `training/rl/ppo/loop.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.lazy import require
from core.records import Sampling
from engines.answers import AnswerReader
from engines.config import EngineConfig
from engines.loading import pick_device
from engines.tokenization import TurnEncoder
from engines.trees import Tree
from engines.vllm.setup import require_vllm
from training.checkpoints import TrainingFolder
from training.job import TrainingJob, TrainingResult, require_examples, run_or_reuse
from training.policy import TRAIN_EXTRA, load_encoder
from training.rl.config import PPOConfig
from training.rl.reward_sum import RewardSum
from training.rl.rollouts import Drawn, LiveSampler, Sampler
from training.rl.task import (
    RELEVANT_FIELDS,
    RLData,
    RLTask,
    encode_prompts,
    most_tokens,
    reader_of,
    require_something_to_watch_by,
    rl_digest,
)
from training.rl.vllm_sampler import VllmSampler
from training.sft import encode_answers

if TYPE_CHECKING:
    from training.rl.ppo.actor_critic import CriticStart

_RELEVANT_FIELDS = (*RELEVANT_FIELDS, "micro_tokens")


def train_ppo(task: RLTask, job: TrainingJob, config: PPOConfig) -> TrainingResult:
    """Train the policy against the rewards, and return where its adapter is.

    An interrupted training of the same job goes on from its newest checkpoint; a finished one is found.

    Args:
        task: prompts and rewards, answers to mix in, and where the critic starts.
        job: how, and where to.
        config: the method's numbers.

    Raises:
        ConfigError: if there is nothing to watch by, and watching is asked for.
        DataError: if there are no prompts, or a reward fails or gives what is no score.
        EngineError: if the model cannot be loaded or trained, or no answer could be scored.
        MissingExtraError: if peft is not installed, or vLLM where it is to draw the answers.
        RunStateError: if the disk is too small or full.
    """
    for package in ("torch", "transformers", "peft"):
        require(package, TRAIN_EXTRA)
    if config.rollout_engine == "vllm":
        require_vllm(pick_device(job.device))
    encoder = load_encoder(job.policy)
    data, unseen = (encode_prompts(rows, encoder, job, config) for rows in (task.prompts, task.unseen))
    require_examples(data.rows, data.left_out, "prompts")
    require_something_to_watch_by(task, config, unseen.rows)
    mixed = encode_answers(task.answered if config.sft_coef else (), encoder, job.optim)
    if config.sft_coef:
        require_examples(mixed.rows, mixed.excluded, "answers to mix in (ppo.sft_coef)")
    critic = _critic_start(task, config)
    decisive = (critic.digest(), [repr(row) for row in mixed.rows])
    digest = rl_digest(task, job, config, (data.rows, unseen.rows), _RELEVANT_FIELDS, *decisive)

    def run(folder: TrainingFolder) -> dict[str, Any]:
        from training.rl.ppo.loop import PPOLoop

        rewards = RewardSum(task.rewards, config.reward_normalise, config.reward_clip)
        learned = RLData(data.rows, rewards, unseen.rows, task.gold, mixed.rows)
        parts = _parts(job, config, critic, encoder, learned)
        try:
            return PPOLoop(job, config, learned, parts, folder).run()
        finally:
            parts.sampler.close()

    figures = run_or_reuse(job, digest, len(data.rows), run)
    return TrainingResult.of(
        job.folder,
        figures,
        _without_effect(job),
        examples=len(data.rows),
        held_out=len(unseen.rows),
        excluded=(*data.left_out, *unseen.left_out, *mixed.excluded),
        truncated=mixed.truncated,
        tokens=sum(len(row.ids) for row in data.rows),
    )


def _without_effect(job: TrainingJob) -> tuple[str, ...]:
    """Return a warning for each setting that is given and that PPO does not heed."""
    given = {
        "optim.report_to": bool(job.optim.report_to),
        "optim.gradient_checkpointing": job.optim.gradient_checkpointing,
    }
    return tuple(f"{name} has no effect on PPO" for name, is_given in given.items() if is_given)


def _parts(
    job: TrainingJob, config: PPOConfig, critic: CriticStart, encoder: TurnEncoder, data: RLData
) -> Any:
    """Return the models, and what draws and reads answers."""
    from training.rl.ppo.actor_critic import load_actor_critic
    from training.rl.ppo.loop import PPOModels

    longest = max(data.prompts, key=lambda row: len(row.ids)).ids
    probe = Tree(longest, (encoder.end_of_turn,))
    models = load_actor_critic(job, critic, probe, config.temperature)
    reader = reader_of(models.policy, encoder, job.policy.id)
    sampling = Sampling(temperature=config.temperature, max_new_tokens=config.max_new_tokens)

    def read(drawn: Drawn) -> str:
        return reader.text(drawn.tokens, sampling)[0]

    return PPOModels(models, _sampler(job, config, models.policy, reader, sampling), read)


def _sampler(
    job: TrainingJob, config: PPOConfig, policy: Any, reader: AnswerReader, sampling: Sampling
) -> Sampler:
    """Return what draws answers from the policy."""
    if config.rollout_engine == "transformers":
        return LiveSampler(policy, reader, sampling, config.max_batch, bf16=job.bf16)
    engine = EngineConfig(
        kind="vllm",
        max_batch=config.max_batch,
        max_model_len=most_tokens(job),
        kv_cache_gib=config.kv_cache_gib,
        gpu_memory_utilization=config.gpu_memory_utilization,
    )
    return VllmSampler(policy, reader, sampling, job.policy, engine, TrainingFolder(job.folder).staging)


def _critic_start(task: RLTask, config: PPOConfig) -> CriticStart:
    from training.rl.ppo.actor_critic import CriticStart

    shared, origin = config.critic == "shared", task.critic
    if origin is None:
        return CriticStart(shared)
    return CriticStart(shared, None if shared else origin.folder, origin.mean, origin.scale)

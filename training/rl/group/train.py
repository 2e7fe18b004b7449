"""RLOO and GRPO: learning from several answers to one prompt, each measured by the others.

The optimizer steps are TRL's (`RLOOTrainer`, `GRPOTrainer`). Rewards, sampler, figures and alarms are those
of PPO; checkpoints and resume are those of SFT and DPO (`training/fit.py`). `docs/methods.md` names every
formula with its source.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from core.errors import ConfigError
from core.lazy import require
from core.records import Sampling
from engines.answers import AnswerReader
from engines.tokenization import TurnEncoder
from training.checkpoints import TrainingFolder
from training.fit import fit
from training.job import TrainingJob, TrainingResult, require_examples
from training.policy import TRAIN_EXTRA, load_encoder, load_policy
from training.processes import world_size
from training.rl.alarms import ByGold
from training.rl.config import GRPOConfig, RLOOConfig
from training.rl.reward_sum import RewardSum
from training.rl.rollouts import Drawn, LiveSampler, RolloutPrompt
from training.rl.task import (
    RELEVANT_FIELDS,
    RLData,
    RLTask,
    encode_prompts,
    reader_of,
    require_something_to_watch_by,
    rl_digest,
)

_RELEVANT_FIELDS = (*RELEVANT_FIELDS, "micro_batch")
_WATCHED_ONLY = 1e-30
"""A price of divergence that changes no weight: at 0 TRL keeps no reference, and nothing could be watched."""


def train_group(task: RLTask, job: TrainingJob, config: RLOOConfig | GRPOConfig) -> TrainingResult:
    """Train the policy against the rewards by RLOO or GRPO, and return where its adapter is.

    An interrupted training of the same job goes on from its newest checkpoint; a finished one is found.

    Args:
        task: prompts and rewards.
        job: how, and where to.
        config: the method's numbers; its class says which method.

    Raises:
        ConfigError: if there is nothing to watch by, and watching is asked for, or answers cannot be shared
            out between the processes.
        DataError: if there are no prompts, or a reward fails or gives what is no score.
        EngineError: if the model cannot be loaded or trained, or no answer could be scored.
        MissingExtraError: if TRL, peft or datasets is not installed.
        RunStateError: if the disk is too small or full.
    """
    for package in ("torch", "transformers", "trl", "peft", "datasets"):
        require(package, TRAIN_EXTRA)
    _answers_at_once(config, job)
    encoder = load_encoder(job.policy)
    data, unseen = (encode_prompts(rows, encoder, job, config) for rows in (task.prompts, task.unseen))
    require_examples(data.rows, data.left_out, "prompts")
    require_something_to_watch_by(task, config, unseen.rows)
    digest = rl_digest(task, job, config, (data.rows, unseen.rows), _RELEVANT_FIELDS)
    maker = _Maker(task, job, config, encoder, (data.rows, unseen.rows))
    figures = fit(job, digest, len(data.rows), maker, ByGold(config))
    return TrainingResult.of(
        job.folder,
        figures,
        _without_effect(job),
        examples=len(data.rows),
        held_out=len(unseen.rows),
        excluded=(*data.left_out, *unseen.left_out),
        truncated=0,
        tokens=sum(len(row.ids) for row in data.rows),
    )


def _answers_at_once(config: RLOOConfig | GRPOConfig, job: TrainingJob) -> int:
    """Return how many answers go through the model together: a divisor of each process's share.

    Raises:
        ConfigError: if the answers of a step cannot be shared out evenly.
    """
    processes = world_size()
    own = config.rollouts // processes
    if config.rollouts % processes:
        raise ConfigError(
            f"{config.rollouts} answers cannot be shared out between {processes} processes",
            where=f"{config.method}.rollouts",
            accepted=f"a multiple of {processes} and of {config.method}.num_generations",
        )
    return max(size for size in range(1, min(job.optim.micro_batch, own) + 1) if own % size == 0)


def _without_effect(job: TrainingJob) -> tuple[str, ...]:
    """Return a warning for each setting that is given and that is not heeded."""
    given = {
        "eval_every": job.optim.eval_every is not None,
        "keep": job.optim.keep != "last",
        "patience": job.optim.patience is not None,
    }
    name, without = job.method, [key for key, is_given in given.items() if is_given]
    return tuple(f"optim.{key} has no effect on {name}: {name}.{key} has" for key in without)


class _Maker:
    """Builds the trainer over prompts that are encoded already."""

    def __init__(
        self,
        task: RLTask,
        job: TrainingJob,
        config: RLOOConfig | GRPOConfig,
        encoder: TurnEncoder,
        rows: tuple[Sequence[RolloutPrompt], Sequence[RolloutPrompt]],
    ) -> None:
        self._task, self._job, self._config, self._encoder, self._rows = task, job, config, encoder, rows

    def __call__(self, arguments: dict[str, Any], folder: TrainingFolder) -> Any:
        with _without_vllm():
            from training.rl.group.parts import GroupParts
            from training.rl.group.trainer import GRPO, RLOO

        job, config, (prompts, held_out) = self._job, self._config, self._rows
        policy = load_policy(job.policy, job.lora, job.device, job.seed, job.start)
        _require_a_bare_head(policy)
        reader = self._reader(policy)
        sampling = Sampling(temperature=config.temperature, max_new_tokens=config.max_new_tokens)

        def read(drawn: Drawn) -> str:
            return reader.text(drawn.tokens, sampling)[0]

        rewards = RewardSum(self._task.rewards, config.reward_normalise, config.reward_clip)
        sampler = LiveSampler(policy, reader, sampling, config.max_batch, bf16=job.bf16)
        data = RLData(prompts, rewards, held_out, self._task.gold)
        parts = GroupParts(job.seed, data, sampler, read, self._encoder.tokenizer)
        trainer = GRPO if isinstance(config, GRPOConfig) else RLOO
        return trainer(policy, arguments | self._arguments(), parts, config, folder)

    def _arguments(self) -> dict[str, Any]:
        """Return what TRL's configuration says besides; its own defaults are overridden where they bite."""
        config, size = self._config, _answers_at_once(self._config, self._job)
        own: dict[str, Any] = (
            {"loss_type": config.loss_type, "scale_rewards": config.scale_rewards}
            if isinstance(config, GRPOConfig)
            else {"normalize_advantages": config.normalize_advantages}
        )
        return own | {
            "per_device_train_batch_size": size,
            "gradient_accumulation_steps": config.rollouts // world_size() // size,
            "max_steps": config.steps,
            "warmup_steps": self._job.optim.warmup if config.steps > 1 else 0,
            "eval_strategy": "no",
            "eval_steps": None,
            "num_generations": config.num_generations,
            "max_completion_length": config.max_new_tokens,
            "temperature": config.temperature,
            "beta": config.kl_coef or _WATCHED_ONLY,
            "mask_truncated_completions": config.mask_truncated,
            "disable_dropout": True,
            "shuffle_dataset": False,  # the rows come in the order of the seed
        }

    def _reader(self, policy: Any) -> AnswerReader:
        """Return what reads answers, and tell the model what ends one, as TRL takes it from there."""
        reader = reader_of(policy, self._encoder, self._job.policy.id)
        tokenizer: Any = self._encoder.tokenizer
        if self._config.mask_truncated and set(reader.stops(Sampling())) - tokenizer.get_added_vocab().keys():
            raise ConfigError(
                "the model ends answers by a text and by no token, so that cut ones are not told from others",
                where=f"{self._config.method}.mask_truncated",
                accepted="false",
            )
        policy.generation_config.eos_token_id = sorted(reader.end_ids)
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token_id = min(reader.end_ids)  # TRL fills with it, and masks it
        return reader


@contextlib.contextmanager
def _without_vllm() -> Iterator[None]:
    """Let TRL believe that vLLM is not installed, or it would load all of it along with its trainers."""
    known: Any = require("trl.import_utils", TRAIN_EXTRA)
    asked = known.is_vllm_available
    known.is_vllm_available = lambda min_version=None: False
    try:
        yield
    finally:
        known.is_vllm_available = asked


def _require_a_bare_head(policy: Any) -> None:
    """Refuse an adapter on the output head, which TRL's log-probabilities would pass by."""
    if any("lora" in name for name, _ in policy.get_output_embeddings().named_parameters()):
        raise ConfigError(
            "the adapter lies on the output head, which RLOO and GRPO cannot train",
            where="lora.targets",
            accepted="all-linear, or names without the head's",
        )

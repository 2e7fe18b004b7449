"""Train reward models: Bradley-Terry loss on pairs with a probability, a weight and a margin
(`training/pairs/losses.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.digests import derive_seed
from core.lazy import require
from training.checkpoints import TrainingFolder
from training.config import RewardConfig
from training.examples import ExcludedExample, PreferencePair
from training.fit import TrainerMaker, fit, one_gpu_arguments
from training.job import TrainingJob, TrainingResult, require_examples, require_held_out
from training.pairs.encode import EncodedPairs, encode_pairs, require_context, result_of
from training.policy import TRAIN_EXTRA, keep_adapter_wide, load_encoder, load_reward_policy


def train_reward(
    pairs: Sequence[PreferencePair],
    job: TrainingJob,
    config: RewardConfig,
    held_out: Sequence[PreferencePair] = (),
) -> list[TrainingResult]:
    """Train `config.members` reward models on the pairs; return their results with their folders.

    Each member has its own head, adapter and order of pairs. An interrupted training of the same job resumes
    from its newest checkpoint; a finished one is reused.

    Args:
        pairs: the training data; ties (probability 0.5) teach that both scores are equal.
        job: the training job.
        config: the loss and the number of members.
        held_out: pairs to evaluate on during training.

    Raises:
        ConfigError: if there is nothing to evaluate on, or an example is longer than the model's context.
        DataError: if no pair can be used.
        EngineError: if the model cannot be loaded or trained, or the loss is not finite.
        MissingExtraError: if peft is not installed.
        RunStateError: if the disk is too small or full.
    """
    for package in ("torch", "transformers", "peft"):
        require(package, TRAIN_EXTRA)
    encoder = load_encoder(job.policy)

    def objection(pair: PreferencePair) -> ExcludedExample | None:
        if pair.p_chosen == 0.5 and not config.keep_ties:
            return ExcludedExample(pair.id, "a tie, and reward.keep_ties is off")
        return None

    data, unseen = (encode_pairs(rows, encoder, job.optim, objection) for rows in (pairs, held_out))
    require_examples(data.rows, data.excluded, "preferences to train on")
    require_held_out(job, unseen.rows)
    require_context(job, [*data.rows, *unseen.rows])
    return [_train(data, unseen, own, config) for own in _members(job, config)]


def member_folders(config: RewardConfig) -> tuple[str, ...]:
    """Return the members' folders relative to the reward model's; a single member is in the latter itself."""
    return (".",) if config.members == 1 else tuple(f"member-{n}" for n in range(config.members))


def _members(job: TrainingJob, config: RewardConfig) -> list[TrainingJob]:
    """Return a job for each member; the first has the job's own seed."""
    seeds = [job.seed, *(derive_seed(job.seed, "member", n) for n in range(1, config.members))]
    return [
        replace(job, folder=_below(job.folder, name), seed=seed, siblings=_all_below(job.siblings, name))
        for name, seed in zip(member_folders(config), seeds, strict=True)
    ]


def _below(folder: Path, name: str) -> Path:
    return folder if name == "." else folder / name


def _all_below(folders: Sequence[Path], name: str) -> tuple[Path, ...]:
    return tuple(_below(folder, name) for folder in folders)


def _train(
    data: EncodedPairs, held_out: EncodedPairs, job: TrainingJob, config: RewardConfig
) -> TrainingResult:
    # How members are combined has no part in a member's training.
    digest = job.digest(data.rows, held_out.rows, config.center)
    outcome = fit(job, digest, len(data.rows), _maker(data, held_out, job, config))
    return result_of(job, outcome, data, held_out)


def _maker(
    data: EncodedPairs, held_out: EncodedPairs, job: TrainingJob, config: RewardConfig
) -> TrainerMaker:
    """Return a function that builds the trainer over the pairs."""

    def make(arguments: dict[str, Any], folder: TrainingFolder) -> Any:
        from transformers import TrainingArguments

        from engines.hf.reward_model import is_packable
        from training.pairs.reward_objective import RewardObjective
        from training.steps.objective import ObjectiveTrainer

        scorer = load_reward_policy(job.policy, job.adapter, job.device, job.seed, job.start)
        packed = is_packable(scorer, max(data.rows, key=len).tree)
        if job.bf16:  # mixed precision
            keep_adapter_wide(scorer)
        return ObjectiveTrainer(
            scorer,
            one_gpu_arguments(TrainingArguments, arguments),
            data.rows,
            held_out.rows,
            RewardObjective(scorer, config.center, packed=packed),
            batch_size=job.optim.batch_size,
            tokens=job.optim.micro_tokens,
        )

    return make

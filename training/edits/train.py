"""SFT on edits: learn what code changed in the policy's own answers.

An answer that code has edited (cut at a word limit, begun with a required phrase) differs from what the
policy wrote at a few tokens. Only these are learned. At all others the policy is held to its distribution at
the start, which costs one more forward pass. `benchmarks/recipes.py` compares it with plain SFT.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.lazy import require
from training.checkpoints import TrainingFolder
from training.config import SFTConfig
from training.edits.encode import EncodedEdit, encode_edits
from training.examples import AnsweredPrompt
from training.fit import fit, one_gpu_arguments
from training.job import TrainingJob, TrainingResult, require_examples, require_held_out
from training.pairs.encode import require_context
from training.policy import TRAIN_EXTRA, load_encoder, load_policy


def train_edits(
    examples: Sequence[AnsweredPrompt],
    job: TrainingJob,
    config: SFTConfig,
    held_out: Sequence[AnsweredPrompt] = (),
) -> TrainingResult:
    """Fine-tune the policy on what was edited in the answers; return the result with its folder.

    An interrupted training of the same job resumes from its newest checkpoint; a finished one is reused.

    Args:
        examples: answers, each with the drafts by the policy that it is made of.
        job: the training job, of an adapter.
        config: `anchor` is the weight of the divergence from the start.
        held_out: answers to evaluate on during training.

    Raises:
        ConfigError: if there is nothing to evaluate on, or an example is longer than the model's context.
        DataError: if no example can be used.
        EngineError: if the model cannot be loaded or trained, or the loss is not finite.
        MissingExtraError: if peft is not installed.
        RunStateError: if the disk is too small or full.
    """
    for package in ("torch", "transformers", "peft"):
        require(package, TRAIN_EXTRA)
    encoder = load_encoder(job.policy)
    data, unseen = (encode_edits(rows, encoder, job.optim) for rows in (examples, held_out))
    require_examples(data.rows, data.excluded, "answers to train on")
    require_held_out(job, unseen.rows)
    require_context(job, [*data.rows, *unseen.rows])

    def make(arguments: dict[str, Any], folder: TrainingFolder) -> Any:
        return _trainer(data.rows, unseen.rows, job, config, arguments)

    digest = job.digest(data.rows, unseen.rows, {"learn": "edits", "anchor": config.anchor})
    outcome = fit(job, digest, len(data.rows), make)
    return TrainingResult.of(
        job.folder,
        outcome,
        examples=len(data.rows),
        held_out=len(unseen.rows),
        excluded=(*data.excluded, *unseen.excluded),
        truncated=data.truncated + unseen.truncated,
        tokens=sum(map(len, data.rows)),
    )


def _trainer(
    rows: Sequence[EncodedEdit],
    held_out: Sequence[EncodedEdit],
    job: TrainingJob,
    config: SFTConfig,
    arguments: dict[str, Any],
) -> Any:
    from transformers import TrainingArguments

    from training.edits.objective import EditObjective
    from training.packed import PolicyScorer
    from training.steps.objective import ObjectiveTrainer

    policy: Any = load_policy(job.policy, job.adapter, job.device, job.seed, job.start)
    # The scorer is tested on the longest row: a sliding window, for example, matters only there.
    scorer = PolicyScorer(policy, max([*rows, *held_out], key=len).tree)
    mean_tokens = sum(len(row.answer_ids) for row in rows) / len(rows)
    return ObjectiveTrainer(
        policy,
        one_gpu_arguments(TrainingArguments, arguments),
        rows,
        held_out,
        EditObjective(policy, scorer, config.anchor, mean_tokens),
        batch_size=job.optim.batch_size,
        tokens=job.optim.micro_tokens,
    )

"""Direct preference optimization (DPO) on pairs with a probability and a weight (`training/pairs/losses.py`).

The reference is the policy at the start of training. Its log-probabilities are computed once before the first
step, with the weights that are then trained. No second model is needed, and the divergence from the reference
is 0 at step 0 whichever model training starts from. (With the adapter disabled, the model would be the
base model, not the SFT model.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.lazy import require
from core.statistics.ties import distance_from_tie
from training.checkpoints import TrainingFolder
from training.config import DPOConfig
from training.examples import ExcludedExample, PreferencePair
from training.fit import TrainerMaker, fit, one_gpu_arguments
from training.job import TrainingJob, TrainingResult, require_examples, require_held_out
from training.pairs.encode import EncodedPairs, encode_pairs, require_context, result_of
from training.policy import TRAIN_EXTRA, load_encoder, load_policy

NEAR_TIE = "within dpo.min_margin of a tie"
CUT_CHOSEN = "the chosen answer was cut before its end"
"""Reasons for which a pair is excluded."""


def is_near_tie(pair: PreferencePair, min_margin: float) -> bool:
    """Return True if the probability of a pair is closer to one half than the margin."""
    return distance_from_tie(pair.p_chosen) < min_margin


def train_dpo(
    pairs: Sequence[PreferencePair],
    job: TrainingJob,
    config: DPOConfig,
    held_out: Sequence[PreferencePair] = (),
) -> TrainingResult:
    """Train the policy on the pairs; return the result with its folder.

    An interrupted run of the same job resumes from its newest checkpoint; a finished one is reused.

    Args:
        pairs: the training data.
        job: the training job.
        config: the loss and its parameters; pairs with `abs(p_chosen - 0.5)` below `min_margin` are excluded.
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
        if is_near_tie(pair, config.min_margin):
            return ExcludedExample(pair.id, NEAR_TIE, f"p = {pair.p_chosen:.3f}")
        # A cut answer has no end token: preferring it would teach the policy to run on.
        if not pair.chosen_finished:
            return ExcludedExample(pair.id, CUT_CHOSEN)
        return None

    data, unseen = (encode_pairs(rows, encoder, job.optim, objection) for rows in (pairs, held_out))
    require_examples(data.rows, data.excluded, "preferences to train on")
    require_held_out(job, unseen.rows)
    require_context(job, [*data.rows, *unseen.rows])
    # Only what changes the weights: `min_margin` acts through the rows, `chosen_fall` only warns.
    settings = config.model_dump(include={"loss", "beta", "flipped", "sft_coef"})
    digest = job.digest(data.rows, unseen.rows, settings)
    outcome = fit(job, digest, len(data.rows), _maker(data, unseen, job, config))
    return result_of(job, outcome, data, unseen)


def _maker(data: EncodedPairs, held_out: EncodedPairs, job: TrainingJob, config: DPOConfig) -> TrainerMaker:
    """Return a function that builds the trainer over pairs with reference log-probabilities."""

    def make(arguments: dict[str, Any], folder: TrainingFolder) -> Any:
        from transformers import TrainingArguments

        from training.packed import PolicyScorer
        from training.pairs.dpo_objective import DPOObjective
        from training.pairs.reference import with_reference
        from training.steps.objective import ObjectiveTrainer

        rows, tokens = [*data.rows, *held_out.rows], job.optim.micro_tokens
        policy = load_policy(job.policy, job.adapter, job.device, job.seed, job.start)
        # The scorer is tested on the longest pair: a sliding window, for example, matters only there.
        scorer = PolicyScorer(policy, max(rows, key=len).tree)
        settings = one_gpu_arguments(TrainingArguments, arguments)
        known = with_reference(policy, scorer, rows, folder, tokens, bf16=job.bf16)
        return ObjectiveTrainer(
            policy,
            settings,
            known[: len(data.rows)],
            known[len(data.rows) :],
            DPOObjective(config, scorer),
            batch_size=job.optim.batch_size,
            tokens=tokens,
        )

    return make

"""KL divergence of each variant from the base model, on the variant's own answers.

Computed by forward passes of the training code, not by the engines.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.progress import ProgressTask, progress
from core.records import Answer
from engines.tokenization import TurnEncoder
from evaluation.config import BASE
from evaluation.measures import Series
from publius.runs.folder import Run, trained_model
from publius.stages.variants import turns_for
from training.examples import EncodedAnswer
from training.policy import free_memory, load_encoder, load_policy

_TOGETHER = 4
"""Answers per forward pass. Memory holds two distributions over the vocabulary for each of their tokens."""


def divergence_series(run: Run, answers: Sequence[Answer]) -> list[Series]:
    """Return KL(variant || base) per token, in nats, by prompt, for each variant other than base.

    It is measured on the variant's own answers. They are encoded again from their text, with the end-of-turn
    token if the model ended the answer itself. Empty answers have no value.
    """
    encoder = load_encoder(run.config.models.policy)
    others = [answer for answer in answers if answer.variant != BASE and answer.generation.text]
    variants = list(dict.fromkeys(answer.variant for answer in others))
    with progress("eval kl", len(others)) as task:
        return [
            _series(run, encoder, variant, [a for a in others if a.variant == variant], task)
            for variant in variants
        ]


def _series(
    run: Run, encoder: TurnEncoder, variant: str, answers: Sequence[Answer], task: ProgressTask
) -> Series:
    from training.divergence import mean_token_kl

    policy, base = _policy_and_base(run, variant)
    values: dict[str, float] = {}
    by_length = sorted(answers, key=lambda answer: answer.generation.completion_tokens)
    for start in range(0, len(by_length), _TOGETHER):
        some = by_length[start : start + _TOGETHER]
        found = mean_token_kl(
            policy,
            [_encoded(run, encoder, variant, answer) for answer in some],
            [_encoded(run, encoder, BASE, answer) for answer in some],
            adapter=run.adapter(variant) is not None,
            base=base,
        )
        values |= {answer.prompt.id: kl for answer, kl in zip(some, found, strict=True)}
        task.advance(len(some))
    del policy, base
    free_memory()
    return Series(variant, "kl", "nats", values)


def _policy_and_base(run: Run, variant: str) -> tuple[Any, Any]:
    """Return a variant's model and the base model; one peft model is both if only an adapter was trained."""
    config, folder = run.config, run.adapter(variant)
    own, device, seed = config.models.policy, config.engine.device, config.seed
    trained = own if folder is None else trained_model(folder, own)
    start = None if trained.adapter is None else Path(trained.adapter)
    bare = trained.model_copy(update={"adapter": None})
    policy = load_policy(bare, config.lora, device, seed, start)
    return policy, policy if bare.id == own.id else load_policy(own, config.lora, device, seed)


def _encoded(run: Run, encoder: TurnEncoder, variant: str, answer: Answer) -> EncodedAnswer:
    finished = answer.generation.finish_reason == "stop"
    prompt_ids = encoder.encode(turns_for(run, variant, answer.prompt)).ids
    return EncodedAnswer(prompt_ids, encoder.answer(answer.generation.text, finished=finished))

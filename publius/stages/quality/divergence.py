"""KL divergence of each variant from the base model, on the variant's own answers.

Computed by forward passes of the training code, not by the engines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from core.progress import ProgressTask, progress
from core.records import Answer
from engines.tokenization import TurnEncoder
from evaluation.config import BASE
from evaluation.measures import Series
from publius.runs.folder import Run
from publius.stages.quality.encoding import encoded_answer
from publius.stages.quality.policies import Policies

_TOGETHER = 4
"""Answers per forward pass. Memory holds two distributions over the vocabulary for each of their tokens."""


def divergence_series(
    run: Run, encoder: TurnEncoder, policies: Policies, answers: Sequence[Answer]
) -> list[Series]:
    """Return KL(variant || base) per token, in nats, by prompt, for each variant other than base.

    It is measured on the variant's own answers. They are encoded again from their text, with the end-of-turn
    token if the model ended the answer itself. Empty answers have no value.
    """
    others: dict[str, list[Answer]] = {}
    for answer in answers:
        if answer.variant != BASE and answer.generation.text:
            others.setdefault(answer.variant, []).append(answer)
    # The chosen checkpoint is a copy of another variant: equal weights with equal answers are measured once.
    kinds = {name: (policies.identity(name), _texts(given)) for name, given in others.items()}
    first = {kind: name for name, kind in reversed(kinds.items())}
    with progress("eval kl", sum(len(others[name]) for name in first.values())) as task:
        found = {
            kind: _series(run, encoder, policies, name, others[name], task)
            for kind, name in reversed(first.items())
        }
    return [replace(found[kind], variant=name) for name, kind in kinds.items()]


def _texts(answers: Sequence[Answer]) -> tuple[tuple[str, str], ...]:
    return tuple((answer.prompt.id, answer.generation.text) for answer in answers)


def _series(
    run: Run,
    encoder: TurnEncoder,
    policies: Policies,
    variant: str,
    answers: Sequence[Answer],
    task: ProgressTask,
) -> Series:
    from training.divergence import mean_token_kl

    policy, has_adapter, base = policies.activate(variant)
    values: dict[str, float] = {}
    by_length = sorted(answers, key=lambda answer: answer.generation.completion_tokens)
    for start in range(0, len(by_length), _TOGETHER):
        some = by_length[start : start + _TOGETHER]
        found = mean_token_kl(
            policy,
            [encoded_answer(run, encoder, variant, answer) for answer in some],
            [encoded_answer(run, encoder, BASE, answer) for answer in some],
            adapter=has_adapter,
            base=base,
        )
        values |= {answer.prompt.id: kl for answer, kl in zip(some, found, strict=True)}
        task.advance(len(some))
    return Series(variant, "kl", "nats", values)

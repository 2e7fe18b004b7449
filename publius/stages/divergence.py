"""KL divergence of each variant from the base model, on the variant's own answers.

Computed by forward passes of the training code, not by the engines. The model is loaded once, and the
adapters of the variants take turns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from core.progress import ProgressTask, progress
from core.records import Answer
from engines.adapter import attach_further_adapter
from engines.config import ModelConfig
from engines.hf.loading import load_model
from engines.loading import locate, pick_dtype
from engines.tokenization import TurnEncoder, WrittenAnswer
from evaluation.config import BASE
from evaluation.measures import Series
from publius.runs.folder import Run, trained_model
from publius.stages.variants import turns_for
from training.examples import EncodedAnswer
from training.policy import free_memory, load_encoder, load_policy

_FIRST = "default"
"""peft's name of the adapter that a model is wrapped with."""
_TOGETHER = 4
"""Answers per forward pass. Memory holds two distributions over the vocabulary for each of their tokens."""


def divergence_series(run: Run, answers: Sequence[Answer]) -> list[Series]:
    """Return KL(variant || base) per token, in nats, by prompt, for each variant other than base.

    It is measured on the variant's own answers. They are encoded again from their text, with the end-of-turn
    token if the model ended the answer itself. Empty answers have no value.
    """
    encoder = load_encoder(run.config.models.policy)
    others = [answer for answer in answers if answer.variant != BASE and answer.generation.text]
    if not others:
        return []
    variants = list(dict.fromkeys(answer.variant for answer in others))
    with progress("eval kl", len(others)) as task:
        policies = _Policies(run, variants)
        series = [
            _series(run, encoder, policies, variant, [a for a in others if a.variant == variant], task)
            for variant in variants
        ]
    del policies
    free_memory()
    return series


class _Policies:
    """The models of several variants: the policy, whose adapters take turns, and whole models one at a time.

    Args:
        run: the run that the variants were trained in.
        variants: trained variants, and those that are the policy itself under another prompt.
    """

    def __init__(self, run: Run, variants: Iterable[str]) -> None:
        self._run, own = run, run.config.models.policy
        self._device = run.config.engine.device
        folders = {variant: run.adapter(variant) for variant in variants}
        self._trained = {variant: trained_model(path, own) for variant, path in folders.items() if path}
        adapters = [
            (variant, Path(model.adapter))
            for variant, model in self._trained.items()
            if model.adapter is not None and model.id == own.id  # not on weights that were trained themselves
        ]
        if own.adapter is not None:  # a policy that is not trained further, as the engine runs it
            files = locate(own)
            self._policy: Any = load_model(files, pick_dtype(own.dtype, self._device), self._device)
        else:
            self._policy = self._load(own, adapters[0][1] if adapters else None)
        self._names = {variant: _FIRST for variant, _ in adapters[:1]}
        for variant, adapter in adapters[1:]:
            attach_further_adapter(self._policy, adapter, variant)
            self._names[variant] = variant
        self._other: Any = None

    def activate(self, variant: str) -> tuple[Any, bool, Any]:
        """Return the variant's model, whether it was trained, and the base if it is not the model's own."""
        name = self._names.get(variant)
        if name is not None:
            self._policy.set_adapter(name, inference_mode=True)
        if name is not None or variant not in self._trained:
            return self._policy, name is not None, None
        self._other = None
        free_memory()
        trained = self._trained[variant]
        adapter = None if trained.adapter is None else Path(trained.adapter)
        self._other = self._load(trained.model_copy(update={"adapter": None}), adapter)
        return self._other, True, self._policy

    def _load(self, model: ModelConfig, adapter: Path | None) -> Any:
        config = self._run.config
        return load_policy(model, config.lora, config.engine.device, config.seed, adapter)


def _series(
    run: Run,
    encoder: TurnEncoder,
    policies: _Policies,
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
            [_encoded(run, encoder, variant, answer) for answer in some],
            [_encoded(run, encoder, BASE, answer) for answer in some],
            adapter=has_adapter,
            base=base,
        )
        values |= {answer.prompt.id: kl for answer, kl in zip(some, found, strict=True)}
        task.advance(len(some))
    return Series(variant, "kl", "nats", values)


def _encoded(run: Run, encoder: TurnEncoder, variant: str, answer: Answer) -> EncodedAnswer:
    generation = answer.generation
    written = WrittenAnswer(generation.text, generation.finish_reason == "stop")
    prompt_ids, (ids,) = encoder.encode_answers(turns_for(run, variant, answer.prompt), [written])
    return EncodedAnswer(prompt_ids, ids)

"""KL divergence of each variant from the base model, on the variant's own answers.

Computed by forward passes of the training code, not by the engines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.digests import digest
from core.progress import ProgressTask, progress
from core.records import Answer
from core.store.cache import RequestCache
from engines.loading import pick_dtype
from engines.tokenization import TurnEncoder
from evaluation.config import BASE
from evaluation.measures import Series
from publius.runs.folder import Run
from publius.stages.quality.encoding import encoded_answer
from publius.stages.quality.policies import Policies
from training.examples import EncodedAnswer

_TOGETHER = 4
"""Answers per forward pass. Memory holds two distributions over the vocabulary for each of their tokens."""


def divergence_series(
    run: Run, encoder: TurnEncoder, policies: Policies, cache: RequestCache, answers: Sequence[Answer]
) -> list[Series]:
    """Return KL(variant || base) per token, in nats, by prompt, for each variant other than base.

    It is measured on the variant's own answers. They are encoded again from their text, with the end-of-turn
    token if the model ended the answer itself. Empty answers have no value.

    Values are stored in the project's request cache, by the content of both models and the token ids: each is
    computed once per project, and a model whose values are all known is not loaded.
    """
    others: dict[str, list[Answer]] = {}
    for answer in answers:
        if answer.variant != BASE and answer.generation.text:
            others.setdefault(answer.variant, []).append(answer)
    # The chosen checkpoint is a copy of another variant: equal weights with equal answers are measured once.
    kinds = {name: (policies.identity(name), _texts(given)) for name, given in others.items()}
    first = {kind: name for name, kind in reversed(kinds.items())}
    pending = {
        kind: _Divergences.of(run, encoder, policies, cache, name, others[name])
        for kind, name in reversed(first.items())
    }
    if missing := sum(len(one.unknown) for one in pending.values()):
        with progress("eval kl", missing) as task:
            for one in pending.values():
                one.compute(policies, cache, task)
    found = {kind: Series(one.variant, "kl", "nats", one.by_prompt) for kind, one in pending.items()}
    return [replace(found[kind], variant=name) for name, kind in kinds.items()]


def _texts(answers: Sequence[Answer]) -> tuple[tuple[str, str], ...]:
    return tuple((answer.prompt.id, answer.generation.text) for answer in answers)


@dataclass
class _Divergences:
    """The divergences of a variant's answers: those in the cache, and the answers that have none yet."""

    variant: str
    known: dict[str, float]
    """By prompt."""
    unknown: list[_EncodedPair]

    @classmethod
    def of(
        cls,
        run: Run,
        encoder: TurnEncoder,
        policies: Policies,
        cache: RequestCache,
        variant: str,
        answers: Sequence[Answer],
    ) -> _Divergences:
        """Return the divergences of a variant's answers, as far as the cache has them."""
        device = run.config.engine.device
        weights = [
            (policies.identity(name), pick_dtype(policies.config(name).dtype, device))
            for name in (variant, BASE)
        ]
        found = cls(variant, {}, [])
        for answer in sorted(answers, key=lambda answer: answer.generation.completion_tokens):
            ours, theirs = (encoded_answer(run, encoder, name, answer) for name in (variant, BASE))
            key = digest("kl", weights, ours.prompt_ids, theirs.prompt_ids, ours.answer_ids)
            value = _stored(cache, key)
            if value is None:
                found.unknown.append(_EncodedPair(answer.prompt.id, key, ours, theirs))
            else:
                found.known[answer.prompt.id] = value
        return found

    @property
    def by_prompt(self) -> dict[str, float]:
        """All values, in the order of the prompts' ids."""
        return dict(sorted(self.known.items()))

    def compute(self, policies: Policies, cache: RequestCache, task: ProgressTask) -> None:
        """Compute the values that are missing, and store them in the cache."""
        if not self.unknown:
            return
        from training.divergence import mean_token_kl

        policy, has_adapter, base = policies.activate(self.variant)
        for start in range(0, len(self.unknown), _TOGETHER):
            some = self.unknown[start : start + _TOGETHER]
            ours, theirs = [one.ours for one in some], [one.theirs for one in some]
            found = mean_token_kl(policy, ours, theirs, adapter=has_adapter, base=base)
            for one, kl in zip(some, found, strict=True):
                cache.put(one.key, "kl", repr(kl))
                self.known[one.prompt_id] = kl
            task.advance(len(some))


@dataclass(frozen=True)
class _EncodedPair:
    """An answer as the variant saw it, and after the prompt that base sees."""

    prompt_id: str
    key: str
    ours: EncodedAnswer
    theirs: EncodedAnswer


def _stored(cache: RequestCache, key: str) -> float | None:
    """Return the value in the cache, or None if there is none that can be read."""
    try:
        return float(cache.get(key) or "")
    except ValueError:
        return None

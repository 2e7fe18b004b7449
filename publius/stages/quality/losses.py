"""Losses of a run's policies on neutral text, reference answers and their own answers, and their divergence.

All are in nats per token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from core.digests import digest
from core.progress import progress
from core.records import Answer
from core.store.cache import RequestCache
from engines.loading import pick_dtype
from engines.tokenization import TurnEncoder
from engines.trees import Tree, micro_batches
from evaluation.config import BASE
from evaluation.measures import Series
from evaluation.quality import BASE_LOSS, NEUTRAL_LOSS, REFERENCE_LOSS
from publius.runs.folder import Run
from publius.stages.quality.encoding import encoded_answer, encoded_passages, encoded_references
from publius.stages.quality.policies import Policies
from training.examples import EncodedAnswer

if TYPE_CHECKING:
    from training.divergence import AnswerDivergence
    from training.packed import PolicyScorer

_TOKENS = 1024
"""Maximum number of tokens per forward pass."""
_TOKENS_AND_LOGITS = 512
"""The same where the distributions over the vocabulary at all tokens may be in memory."""


class LossMeter:
    """Mean losses of answers under the policies of a run, and the divergence of the policies from base.

    Both are stored in the project's request cache, by the content of model and adapter and the token ids:
    each is computed once per project, and a model of which all is known is not loaded.
    """

    def __init__(self, run: Run, policies: Policies, cache: RequestCache) -> None:
        self._run, self._policies, self._cache = run, policies, cache
        self._scorers: WeakKeyDictionary[Any, PolicyScorer] = WeakKeyDictionary()
        """By the loaded model: its way of computing log-probabilities is found out once."""

    def measure(self, name: str, rows: Mapping[str, EncodedAnswer]) -> dict[str, float]:
        """Return the mean loss per answer token in nats, by the keys of `rows`, under a policy."""
        weights = self._weights(name)
        keys = {key: _loss_key(weights, row) for key, row in rows.items()}
        losses = self._known(keys)
        unknown = [key for key in rows if key not in losses]
        for key, loss in zip(unknown, self._computed(name, [rows[key] for key in unknown]), strict=True):
            self._cache.put(keys[key], "loss", repr(loss))
            losses[key] = loss
        return {key: losses[key] for key in rows}

    def divergences(
        self,
        name: str,
        rows: Mapping[str, EncodedAnswer],
        base_rows: Mapping[str, EncodedAnswer],
        done: Callable[[int], object] = lambda count: None,
    ) -> dict[str, float]:
        """Return KL(policy || base) per answer token in nats, by the keys of `rows`.

        The passes of base also give its losses on the answers, which are stored for `measure`.

        Args:
            name: the policy.
            rows: prompts and answers of at least one token, as the policy saw them.
            base_rows: the same answers after the prompts that base sees.
            done: called with the number of answers whose divergence is known.
        """
        weights = (self._weights(name), self._weights(BASE))
        keys = {
            key: digest("kl", weights, row.prompt_ids, base_rows[key].prompt_ids, row.answer_ids)
            for key, row in rows.items()
        }
        found = self._known(keys)
        done(len(found))
        unknown = [key for key in rows if key not in found]
        pairs = [(rows[key], base_rows[key]) for key in unknown]
        for index, divergence in self._diverging(name, pairs):
            key = unknown[index]
            found[key] = divergence.kl
            self._cache.put(keys[key], "kl", repr(divergence.kl))
            self._cache.put(_loss_key(weights[1], base_rows[key]), "loss", repr(divergence.base_loss))
            done(1)
        return {key: found[key] for key in rows}

    def _weights(self, name: str) -> tuple[str, str]:
        """Return what identifies the weights of a policy and their precision."""
        dtype = pick_dtype(self._policies.config(name).dtype, self._run.config.engine.device)
        return self._policies.identity(name), dtype

    def _known(self, keys: Mapping[str, str]) -> dict[str, float]:
        """Return the values that the cache has, by the names of their keys."""
        stored = {name: self._stored(key) for name, key in keys.items()}
        return {name: value for name, value in stored.items() if value is not None}

    def _stored(self, key: str) -> float | None:
        """Return the value in the cache, or None if there is none that can be read."""
        try:
            return float(self._cache.get(key) or "")
        except ValueError:
            return None

    def _computed(self, name: str, rows: Sequence[EncodedAnswer]) -> Iterable[float]:
        if not rows:
            return ()
        from training.divergence import mean_losses

        with progress(f"loss {name}", len(rows)) as task, self._policies.acting(name) as policy:
            return mean_losses(self._scorer(policy, rows[0]), policy, rows, _TOKENS, task.advance)

    def _diverging(
        self, name: str, pairs: Sequence[tuple[EncodedAnswer, EncodedAnswer]]
    ) -> Iterator[tuple[int, AnswerDivergence]]:
        """Yield the place of each pair of an answer as the policy and as base sees it, and the divergence."""
        if not pairs:
            return
        from training.divergence import answer_divergences, shared_tokens

        policy, has_adapter, base = self._policies.activate(name)
        scorer = self._scorer(policy, pairs[0][0])
        packed = scorer.packed and scorer.head is not None
        # A long system prompt is computed once in each pass.
        shared = [shared_tokens(rows) if packed else 0 for rows in zip(*pairs, strict=True)]
        sizes = [max(len(row) - once for row, once in zip(pair, shared, strict=True)) for pair in pairs]
        for group in micro_batches(sizes, _TOKENS if packed else _TOKENS_AND_LOGITS):
            rows, base_rows = zip(*(pairs[index] for index in group), strict=True)
            found = answer_divergences(policy, rows, base_rows, adapter=has_adapter, base=base, scorer=scorer)
            yield from zip(group, found, strict=True)

    def _scorer(self, policy: Any, row: EncodedAnswer) -> PolicyScorer:
        """Return the way of computing log-probabilities that is exact on a loaded model."""
        from training.packed import PolicyScorer

        if policy not in self._scorers:
            self._scorers[policy] = PolicyScorer(policy, Tree(row.prompt_ids, (row.answer_ids,)))
        return self._scorers[policy]


def _loss_key(weights: tuple[str, str], row: EncodedAnswer) -> str:
    return digest("loss", weights, row.prompt_ids, row.answer_ids)


def neutral_losses(
    meter: LossMeter, encoder: TurnEncoder, name: str, limit: int | None = None
) -> dict[str, float]:
    """Return the loss of a policy on each neutral passage, of at most `limit`."""
    return meter.measure(name, encoded_passages(encoder, limit))


def reference_losses(
    run: Run, meter: LossMeter, encoder: TurnEncoder, variant: str, limit: int | None = None
) -> dict[str, float]:
    """Return the loss of a variant on each reference answer, of at most `limit`."""
    return meter.measure(variant, encoded_references(run, encoder, variant, limit))


def text_series(run: Run, meter: LossMeter, encoder: TurnEncoder, variants: Iterable[str]) -> list[Series]:
    """Return the losses of the variants on neutral text and reference answers, by the id of the text."""
    series: list[Series] = []
    limit = run.config.eval.texts
    for variant in variants:
        neutral = neutral_losses(meter, encoder, variant, limit)
        references = reference_losses(run, meter, encoder, variant, limit)
        series += [
            Series(variant, NEUTRAL_LOSS, "nats", neutral),
            Series(variant, REFERENCE_LOSS, "nats", references),
        ]
    return series


def fluency_series(
    run: Run, meter: LossMeter, encoder: TurnEncoder, answers: Sequence[Answer]
) -> list[Series]:
    """Return the loss of base on the answers of each variant, by prompt. Empty answers have no value."""
    by_variant: dict[str, dict[str, EncodedAnswer]] = {}
    for answer in answers:
        if answer.generation.text:
            row = encoded_answer(run, encoder, BASE, answer)
            if row.answer_ids:  # a template may drop white space
                by_variant.setdefault(answer.variant, {})[answer.prompt.id] = row
    return [
        Series(variant, BASE_LOSS, "nats", meter.measure(BASE, rows)) for variant, rows in by_variant.items()
    ]

"""Losses of a run's policies in nats per token, on neutral text, reference answers and their own answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from core.digests import digest
from core.progress import progress
from core.records import Answer
from core.store.cache import RequestCache
from engines.loading import pick_dtype
from engines.tokenization import TurnEncoder
from engines.trees import Tree
from evaluation.config import BASE
from evaluation.measures import Series
from evaluation.quality import BASE_LOSS, NEUTRAL_LOSS, REFERENCE_LOSS
from publius.runs.folder import Run
from publius.stages.quality.encoding import encoded_answer, encoded_passages, encoded_references
from publius.stages.quality.policies import Policies
from training.examples import EncodedAnswer

if TYPE_CHECKING:
    from training.packed import PolicyScorer

_TOKENS = 1024
"""Maximum number of tokens per forward pass."""


class LossMeter:
    """Mean losses of answers under the policies of a run.

    Losses are stored in the project's request cache, by the content of model and adapter and the token ids:
    each is computed once per project, and a model whose losses are all known is not loaded.
    """

    def __init__(self, run: Run, policies: Policies, cache: RequestCache) -> None:
        self._run, self._policies, self._cache = run, policies, cache
        self._scorers: WeakKeyDictionary[Any, PolicyScorer] = WeakKeyDictionary()
        """By the loaded model: its way of computing log-probabilities is found out once."""

    def measure(self, name: str, rows: Mapping[str, EncodedAnswer]) -> dict[str, float]:
        """Return the mean loss per answer token in nats, by the keys of `rows`, under a policy."""
        model = self._policies.config(name)
        weights = (self._policies.identity(name), pick_dtype(model.dtype, self._run.config.engine.device))
        keys = {key: digest("loss", weights, row.prompt_ids, row.answer_ids) for key, row in rows.items()}
        losses = {key: loss for key in rows if (loss := self._stored(keys[key])) is not None}
        unknown = [key for key in rows if key not in losses]
        for key, loss in zip(unknown, self._computed(name, [rows[key] for key in unknown]), strict=True):
            self._cache.put(keys[key], "loss", repr(loss))
            losses[key] = loss
        return {key: losses[key] for key in rows}

    def _stored(self, key: str) -> float | None:
        """Return the loss in the cache, or None if there is none that can be read."""
        try:
            return float(self._cache.get(key) or "")
        except ValueError:
            return None

    def _computed(self, name: str, rows: Sequence[EncodedAnswer]) -> Iterable[float]:
        if not rows:
            return ()
        from training.divergence import mean_losses
        from training.packed import PolicyScorer

        with progress(f"loss {name}", len(rows)) as task, self._policies.acting(name) as policy:
            scorer = self._scorers.get(policy)
            if scorer is None:
                probe = Tree(rows[0].prompt_ids, (rows[0].answer_ids,))
                scorer = self._scorers[policy] = PolicyScorer(policy, probe)
            return mean_losses(scorer, policy, rows, _TOKENS, task.advance)


def neutral_losses(meter: LossMeter, encoder: TurnEncoder, name: str) -> dict[str, float]:
    """Return the loss of a policy on each neutral passage."""
    return meter.measure(name, encoded_passages(encoder))


def reference_losses(run: Run, meter: LossMeter, encoder: TurnEncoder, variant: str) -> dict[str, float]:
    """Return the loss of a variant on each reference answer."""
    return meter.measure(variant, encoded_references(run, encoder, variant))


def text_series(run: Run, meter: LossMeter, encoder: TurnEncoder, variants: Iterable[str]) -> list[Series]:
    """Return the losses of the variants on neutral text and reference answers, by the id of the text."""
    series: list[Series] = []
    for variant in variants:
        neutral = neutral_losses(meter, encoder, variant)
        references = reference_losses(run, meter, encoder, variant)
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

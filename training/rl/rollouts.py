"""Rollouts: answers drawn from the current policy, with their log-probabilities and rewards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from core.errors import EngineError
from core.records import Prompt, Sampling
from core.rewards import Sample
from engines.answers import AnswerReader

if TYPE_CHECKING:
    import torch

    from engines.hf.decoding import DecodingBatch, DecodingRow


_FLOAT32_BYTES = 4


@dataclass(frozen=True, slots=True)
class RolloutPrompt:
    """A prompt to draw answers to."""

    prompt: Prompt
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Drawn:
    """One answer as a sampler gives it."""

    tokens: tuple[int, ...]
    """Token ids, including the one that ends the turn if the model ended it."""
    logprobs: tuple[float, ...]
    """Log-probability of each token in nats, under the distribution that it was drawn from."""
    finished: bool
    entropies: tuple[float, ...] | None = None
    """Entropies of these distributions, in nats; None if the sampler does not return them."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """An answer with its rewards."""

    prompt: RolloutPrompt
    drawn: Drawn
    text: str
    """The answer as a user reads it."""
    scores: dict[str, float | None] = field(default_factory=dict)
    """Scores by reward; None if a reward could not score the answer."""

    @property
    def sample(self) -> Sample:
        """The answer as rewards see it."""
        return Sample(self.prompt.prompt, self.text, self.drawn.finished)


class Sampler(Protocol):
    """Draws answers from the policy."""

    @property
    def is_exact(self) -> bool:
        """True if its log-probabilities are the trainer's up to rounding, and it gives entropies."""
        ...

    def sample(self, prompts: Sequence[tuple[int, ...]], seeds: Sequence[int]) -> list[Drawn]:
        """Return an answer to each prompt (token ids), in order; its seed decides the draws."""
        ...

    def update(self) -> None:
        """Load the policy's current weights."""
        ...

    def close(self) -> None:
        """Free processes and memory. Safe to call twice."""
        ...


def require_drawn(is_finite: bool) -> None:
    """Raise EngineError unless all tokens were drawn from finite distributions.

    A policy whose logits are NaN has diverged: no answer of it can be learned from.
    """
    if not is_finite:
        raise EngineError(
            "the policy's logits are not finite, so no answer can be drawn; the last checkpoint is intact",
            accepted="a smaller learning rate, or weights and a data type in which the model works",
        )


class LiveSampler:
    """Draws from the weights in training themselves, in batches that shrink as answers end.

    Args:
        policy: a peft model with the policy's adapter attached, which is merged into the weights to draw.
        reader: recognises the end of an answer.
        sampling: temperature and length.
        max_batch: answers decoded together.
        bf16: whether to compute in mixed precision, as training does.
    """

    def __init__(
        self, policy: Any, reader: AnswerReader, sampling: Sampling, max_batch: int, *, bf16: bool = False
    ) -> None:
        self._policy, self._reader, self._bf16 = policy, reader, bf16
        self._sampling = sampling.model_copy(update={"stop": reader.stops(sampling)})
        self._max_batch = max_batch

    @property
    def is_exact(self) -> bool:
        """True in float32 or wider."""
        return not self._bf16 and self._policy.dtype.itemsize >= _FLOAT32_BYTES

    def require_exact(self, name: str) -> None:
        """Raise EngineError if drawn tokens have other log-probabilities than single rows of the policy."""
        from engines.hf import self_check as checks
        from training.rl.merged import merged

        policy = self._policy
        with checks.acting_adapter(policy), self._precision():
            with merged(policy):
                rows = checks.decoded_rows(policy, name)
            # The adapter is unmerged here: a module that training misses would be merged all the same.
            expected = checks.plain_logprobs_of(policy, rows, name)
            checks.require_equal(policy, checks.DECODING, checks.drawn_logprobs(rows), expected, name)

    def sample(self, prompts: Sequence[tuple[int, ...]], seeds: Sequence[int]) -> list[Drawn]:
        """Return an answer to each prompt, in their order."""
        from engines.hf.decoding import DecodingBatch, DecodingRow

        batch = DecodingBatch(self._policy, self._reader.end_ids, self._reader.decode, record_logprobs=True)
        rows = [
            DecodingRow(ids, self._sampling, seed, number)
            for number, (ids, seed) in enumerate(zip(prompts, seeds, strict=True))
        ]
        self._decode(batch, sorted(rows, key=lambda row: len(row.prompt)))  # similar lengths pad least
        require_drawn(not any(row.failed for row in rows))
        return [
            Drawn(tuple(row.tokens), tuple(row.logprobs), row.finish_reason == "stop", tuple(row.entropies))
            for row in rows
        ]

    def _decode(self, batch: DecodingBatch, waiting: list[DecodingRow]) -> None:
        """Decode all rows to their end."""
        from training.rl.merged import merged

        with merged(self._policy), self._precision():
            while waiting or batch.rows:
                free = self._max_batch - len(batch.rows)
                # A prefill for every single free place would cost more than places that stay empty.
                if waiting and batch.can_join and 2 * free >= self._max_batch:
                    batch.admit(waiting[:free])
                    del waiting[:free]
                batch.step()

    def _precision(self) -> torch.autocast:
        from training.packed import mixed_precision

        return mixed_precision(self._policy.device, bf16=self._bf16)

    def update(self) -> None:
        """Do nothing: the sampler uses the weights in training."""

    def close(self) -> None:
        """Do nothing: the sampler holds no resources."""

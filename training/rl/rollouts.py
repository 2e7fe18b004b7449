"""Answers drawn from the policy as it is now, with what PPO must remember of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from core.records import Prompt, Sampling
from core.rewards import Sample
from engines.answers import AnswerReader
from engines.trees import Tree

if TYPE_CHECKING:
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
    """With the one that ends the turn, where the model ended it."""
    logprobs: tuple[float, ...]
    """Of each token in nats, under the distribution that it was drawn from."""
    finished: bool
    entropies: tuple[float, ...] | None = None
    """Of those distributions, in nats; None where the sampler does not say."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """An answer with its rewards."""

    prompt: RolloutPrompt
    drawn: Drawn
    text: str
    """As a user would read it."""
    scores: dict[str, float | None] = field(default_factory=dict)
    """By reward; None where a reward could not score it."""

    @property
    def tree(self) -> Tree:
        """The prompt with the answer."""
        return Tree(self.prompt.ids, (self.drawn.tokens,))

    @property
    def sample(self) -> Sample:
        """What a reward is shown."""
        return Sample(self.prompt.prompt, self.text, self.drawn.finished)


class Sampler(Protocol):
    """Draws answers from the policy."""

    @property
    def is_exact(self) -> bool:
        """Whether its log-probabilities are the trainer's up to rounding, and it gives entropies."""
        ...

    def sample(self, prompts: Sequence[tuple[int, ...]], seeds: Sequence[int]) -> list[Drawn]:
        """Return an answer to each prompt (token ids), in their order; a seed for each decides its draws."""
        ...

    def update(self) -> None:
        """Take over the policy's weights as they are now."""
        ...

    def close(self) -> None:
        """Free what sampling needs. Safe to call twice."""
        ...


class LiveSampler:
    """Draws from the very weights that are trained, in batches that shrink as answers end.

    Args:
        policy: a peft model with the policy's adapter on, which is merged into the weights meanwhile.
        reader: knows what ends an answer.
        sampling: how tokens are drawn.
        max_batch: answers that are decoded together.
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
        """Whether weights and sums are wide."""
        return not self._bf16 and self._policy.dtype.itemsize >= _FLOAT32_BYTES

    def sample(self, prompts: Sequence[tuple[int, ...]], seeds: Sequence[int]) -> list[Drawn]:
        """Return an answer to each prompt, in their order."""
        from engines.hf.decoding import DecodingBatch, DecodingRow

        batch = DecodingBatch(self._policy, self._reader.end_ids, self._reader.decode, record_logprobs=True)
        rows = [
            DecodingRow(ids, self._sampling, seed, number)
            for number, (ids, seed) in enumerate(zip(prompts, seeds, strict=True))
        ]
        self._decode(batch, sorted(rows, key=lambda row: len(row.prompt)))
        return [
            Drawn(tuple(row.tokens), tuple(row.logprobs), row.finish_reason == "stop", tuple(row.entropies))
            for row in rows
        ]

    def _decode(self, batch: DecodingBatch, waiting: list[DecodingRow]) -> None:
        """Bring all rows to their end; each says itself how."""
        import torch

        from training.rl.merged import merged

        precision = torch.autocast(self._policy.device.type, torch.bfloat16, enabled=self._bf16)
        with merged(self._policy), precision:
            self._run(batch, waiting)

    def _run(self, batch: DecodingBatch, waiting: list[DecodingRow]) -> None:
        while waiting or batch.rows:
            free = self._max_batch - len(batch.rows)
            if waiting and batch.can_join and 2 * free >= self._max_batch:
                batch.admit(waiting[:free])
                del waiting[:free]
            batch.step()

    def update(self) -> None:
        """Do nothing: these are the weights."""

    def close(self) -> None:
        """Do nothing: there is nothing of its own."""

"""From the tokens that a model wrote to the record of its answer, alike for all engines on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from core.records import Generation, Sampling
from engines.protocols import GenerationRequest
from engines.thinking import split_reasoning
from engines.tokenization import CHATML_STOP, TurnEncoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class AnswerReader:
    """Knows what ends an answer of one model, and reads the answer from its tokens.

    Args:
        tokenizer: for decoding.
        encoder: says how the model is spoken to.
        declared_ends: the ids that the model's own files name as ends of a text.
        name: the model's name, as it stands in records.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        encoder: TurnEncoder,
        declared_ends: Iterable[int | None],
        name: str,
    ) -> None:
        self._tokenizer: Any = tokenizer
        self._name = name
        self._template_thinks = encoder.opens_thinking()
        self._base_stops = (CHATML_STOP,) if encoder.is_base else ()
        # Special tokens are left out of decoded text, so a stop string that is one must be known by its id.
        added = self._tokenizer.get_added_vocab()
        stops = [added.get(stop) for stop in self._base_stops]
        # A base model that comes with a chat template often declares another end than the template writes.
        ends = [*declared_ends, self._tokenizer.eos_token_id, *stops, *encoder.template_end[-1:]]
        self.end_ids: frozenset[int] = frozenset(i for i in ends if i is not None)
        """Tokens that end an answer."""

    def stops(self, sampling: Sampling) -> tuple[str, ...]:
        """Return the texts that end an answer: those asked for, and the end of a turn for a base model."""
        return sampling.stop + self._base_stops

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens, special ones left out."""
        text: str = self._tokenizer.decode(list(tokens), skip_special_tokens=True)
        return text

    def text(self, tokens: Sequence[int], sampling: Sampling) -> tuple[str, str | None]:
        """Return answer and reasoning: text up to the first stop string, think blocks told apart."""
        text = self.decode(tokens)
        for stop in self.stops(sampling):
            text = text.partition(stop)[0]
        return split_reasoning(text, opened=self._template_thinks)

    def read(
        self,
        request: GenerationRequest,
        prompt_tokens: int,
        tokens: Sequence[int],
        finish_reason: Literal["stop", "length"],
    ) -> Generation:
        """Return the record of an answer."""
        answer, reasoning = self.text(tokens, request.sampling)
        return Generation(
            text=answer,
            reasoning=reasoning,
            finish_reason=finish_reason,
            prompt_tokens=prompt_tokens,
            completion_tokens=len(tokens),
            model=self._name,
            sampling=request.sampling,
            seed=request.seed if request.sampling.temperature > 0 else None,
        )

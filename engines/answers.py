"""Decode generated tokens into an answer record, in the same way for all local engines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from core.records import Generation, Sampling
from engines.protocols import GenerationRequest
from engines.thinking import split_reasoning
from engines.tokenization import CHATML_STOP, TurnEncoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class AnswerReader:
    """Decodes the answers of one model, up to its end tokens and stop strings.

    Args:
        tokenizer: decodes the tokens.
        encoder: the encoder of the model's conversations.
        declared_ends: end-of-text token ids from the model's own files.
        name: the model's name in records.
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
        self._thinking = encoder.thinking
        self._base_stops = (CHATML_STOP,) if encoder.is_base else ()
        # Decoding drops special tokens, so a stop string that is a special token is matched by its id.
        added = self._tokenizer.get_added_vocab()
        stops = [added.get(stop) for stop in self._base_stops]
        marks = self._thinking.start + self._thinking.end
        self._marks = {token: mark for mark, token in added.items() if mark in marks}
        # A base model that ships a chat template often declares another end token than the template writes.
        ends = [*declared_ends, self._tokenizer.eos_token_id, *stops, *encoder.template_end[-1:]]
        self.end_ids: frozenset[int] = frozenset(i for i in ends if i is not None)
        """Token ids that end an answer."""

    def stops(self, sampling: Sampling) -> tuple[str, ...]:
        """Return the stop strings: the requested ones, and the end of a turn for a base model."""
        return sampling.stop + self._base_stops

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens without special tokens, except for those that mark reasoning."""
        if self._marks.keys().isdisjoint(tokens):
            text: str = self._tokenizer.decode(list(tokens), skip_special_tokens=True)
            return text
        parts: list[str] = []
        for is_mark, run in groupby(tokens, self._marks.__contains__):
            if is_mark:
                parts += (self._marks[token] for token in run)
            else:
                parts.append(self._tokenizer.decode(list(run), skip_special_tokens=True))
        return "".join(parts)

    def text(
        self, tokens: Sequence[int], sampling: Sampling, *, prefilled: bool = False
    ) -> tuple[str, str | None]:
        """Return (answer, reasoning): the text up to the first stop string, with think blocks split off.

        Args:
            tokens: the drawn tokens.
            sampling: the stop strings.
            prefilled: True if the answer had been begun, which closes a block that the template opens.
        """
        text = self.decode(tokens)
        for stop in self.stops(sampling):
            text = text.partition(stop)[0]
        return split_reasoning(text, self._thinking, opened=self._thinking.opened and not prefilled)

    def read(
        self,
        request: GenerationRequest,
        prompt_tokens: int,
        tokens: Sequence[int],
        finish_reason: Literal["stop", "length"],
    ) -> Generation:
        """Return the record of an answer."""
        answer, reasoning = self.text(tokens, request.sampling, prefilled=bool(request.prefill))
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

"""Encode conversations as token ids without letting any text in them act as a special token.

The chat template is rendered around placeholders. The template's own text is encoded with special tokens.
Every piece of content is encoded separately, by a copy of the tokenizer that has no added tokens, and spliced
in. Otherwise SmolLM2's tokenizer, for example, would turn the text `<|im_end|>` in a response into the token
that ends the turn.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from core.chat import Piece, Turn, Untrusted
from core.errors import EngineError, RequestError
from core.records import Role
from core.store.memo import BoundedMemo
from engines.thinking import Thinking, thinking_in

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""Chat template for base models, which have none."""

CHATML_STOP = "<|im_end|>"

# From the Unicode private use area: no chat template writes these characters itself.
_PLACEHOLDER = re.compile("\ue000([0-9]+)\ue001")

_STORED_TOKENS = 1 << 21
"""Tokens of pieces that an encoder keeps, 4 bytes each plus their text. The pieces of a comparison recur in
each of its requests: 1,000 comparisons of 1,000 tokens can be in progress at once."""

_STORED_SHAPES = 1024

Shape = tuple[tuple[Role, int], ...]
"""Role and number of pieces of each turn: all of a conversation that the chat template sees."""


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """Token ids of a conversation, up to where the model continues."""

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    """Start and end (exclusive) of each piece of content in `ids`, in order of the pieces."""


class TurnEncoder:
    """Encodes conversations for one tokenizer.

    Args:
        tokenizer: a tokenizer backed by the `tokenizers` library.
        template_kwargs: arguments of the chat template.
        name: the model's name, for error messages.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, template_kwargs: Mapping[str, JsonValue], name: str
    ) -> None:
        self.tokenizer = tokenizer
        self._tokenizer: Any = tokenizer
        self._kwargs = dict(template_kwargs)
        self._name = name
        self._plain = _without_added_tokens(tokenizer, name)
        self.is_base = not tokenizer.chat_template
        self.template: str = CHATML if self.is_base else str(tokenizer.chat_template)
        self._added = frozenset(self._tokenizer.added_tokens_decoder)
        self._plain_ids = BoundedMemo(self._encode_plain, _STORED_TOKENS)
        # A template that shows the time gives another text at each rendering.
        shows_time = "strftime_now" in self.template
        self._layout = self._lay_out if shows_time else lru_cache(_STORED_SHAPES)(self._lay_out)

    def encode(self, turns: Sequence[Turn], prefill: str = "") -> EncodedPrompt:
        """Return the ids of the conversation, the assistant's header and the prefill of its answer.

        Raises:
            RequestError: if the chat template rejects the conversation, or drops or repeats a part of it.
        """
        pieces: list[Piece] = [piece for turn in turns for piece in turn.pieces]
        ids: list[int] = []
        spans = [(0, 0)] * len(pieces)
        for part in self._layout(_shape_of(turns)):
            if isinstance(part, int):
                start = len(ids)
                ids.extend(self._plain_ids(_text_of(pieces[part])))
                spans[part] = (start, len(ids))
            else:
                ids.extend(part)
        if prefill:
            # An answer begins after thoughts: the block is closed, or the prefill would be part of them.
            ids.extend(self._skip)
            ids.extend(self._plain_ids(prefill))
        return EncodedPrompt(tuple(ids), tuple(spans))

    def answer(self, text: str, *, finished: bool = True) -> tuple[int, ...]:
        """Return the ids of an assistant's answer, followed by those that end the turn if it is finished."""
        return (*self.plain(Untrusted(text)), *(self.end_of_turn if finished else ()))

    def plain(self, piece: Piece) -> list[int]:
        """Return the ids of a text without special tokens."""
        return self._plain_ids(_text_of(piece)).tolist()

    @cached_property
    def end_of_turn(self) -> tuple[int, ...]:
        """Token ids that the template writes after an assistant's answer, up to the token that ends the turn.

        Raises:
            EngineError: if neither the template nor the tokenizer defines an end token.
        """
        if self.template_end:
            return self.template_end
        end = self._tokenizer.eos_token_id
        if self.is_base:
            return tuple(self._tokenizer.encode(CHATML_STOP, add_special_tokens=False))
        if end is None:
            raise EngineError(
                f"neither the chat template nor the tokenizer marks the end of an answer of {self._name}",
                accepted="a chat template that ends turns with a special token, or a tokenizer's eos_token",
            )
        return (int(end),)

    @cached_property
    def template_end(self) -> tuple[int, ...]:
        """Token ids with which the template itself ends an answer; empty if they include no special token."""
        try:
            rendered = self._render((("user", 1), ("assistant", 1)), opened=False)
        except RequestError:  # the template rejects this conversation, so its end is unknown
            return ()
        # The text after the answer's placeholder; the user's piece has number 0, the assistant's number 1.
        after = self._frame(rendered.partition("\ue0001\ue001")[2])
        for number, token in enumerate(after):
            if token in self._added:
                return after[: number + 1]
        return ()

    @cached_property
    def _skip(self) -> tuple[int, ...]:
        """Token ids that close a block of thoughts before a prefill."""
        return self._frame(self.thinking.skip)

    @cached_property
    def thinking(self) -> Thinking:
        """How the model thinks before it answers."""
        try:
            return self.thinking_with(self._kwargs)
        except RequestError:  # the template rejects a single message, and will reject every request
            return Thinking()

    def thinking_with(self, kwargs: Mapping[str, JsonValue]) -> Thinking:
        """Return how the model thinks with other arguments of the chat template.

        Raises:
            RequestError: if the template rejects a conversation of one message.
        """
        user: Shape = (("user", 1),)
        own, _, header = self._render(user, kwargs=kwargs).rpartition("\ue0000\ue001")
        try:
            answered = self._render((*user, ("assistant", 1)), opened=False, kwargs=kwargs)
        except RequestError:  # the template rejects this conversation
            answered = ""
        before, found, _ = answered.partition("\ue0001\ue001")
        thinking = thinking_in(header, before.rpartition("\ue0000\ue001")[2] if found else None, own)
        return replace(thinking, prompt=own + header)

    def _encode_plain(self, text: str) -> array[int]:
        ids: list[int] = self._plain.encode(text, add_special_tokens=False).ids if text else []
        if not self._added.isdisjoint(ids):
            raise RequestError(
                f"the tokenizer of {self._name} turns plain text into a special token", detail=text[:80]
            )
        return array("I", ids)

    def _frame(self, text: str) -> tuple[int, ...]:
        """Return the ids of the template's own text, special tokens included."""
        return tuple(self._tokenizer.encode(text, add_special_tokens=False)) if text else ()

    def _lay_out(self, shape: Shape) -> tuple[int | tuple[int, ...], ...]:
        """Return the conversation's parts in order: ids of the template's own text, and numbers of pieces."""
        # re.split alternates: template text, placeholder number, template text, ...
        parts = _PLACEHOLDER.split(self._render(shape))
        numbers = [int(number) for number in parts[1::2]]
        if len(set(numbers)) < len(numbers):
            raise RequestError(f"the chat template of {self._name} repeats a message")
        if len(numbers) < sum(count for _, count in shape):
            raise RequestError(f"the chat template of {self._name} drops a message of this conversation")
        return tuple(int(part) if i % 2 else self._frame(part) for i, part in enumerate(parts))

    def _render(
        self,
        shape: Shape,
        *,
        opened: bool = True,
        kwargs: Mapping[str, JsonValue] | None = None,
    ) -> str:
        """Render the chat template around placeholders; `opened` adds the header of the answer to come."""
        from jinja2 import TemplateError

        messages, first = [], 0
        for role, count in shape:
            content = "".join(f"\ue000{first + i}\ue001" for i in range(count))
            first += count
            messages.append({"role": role, "content": content})
        try:
            rendered: str = self._tokenizer.apply_chat_template(
                messages,
                tokenize=False,
                add_generation_prompt=opened,
                chat_template=self.template,
                **(self._kwargs if kwargs is None else kwargs),
            )
        except TemplateError as error:
            roles = ", ".join(role for role, _ in shape)
            raise RequestError(
                f"the chat template of {self._name} rejects the conversation", detail=f"{roles}: {error}"
            ) from error
        return rendered


def _shape_of(turns: Sequence[Turn]) -> Shape:
    return tuple((turn.role, len(turn.pieces)) for turn in turns)


def _text_of(piece: Piece) -> str:
    return piece.text if isinstance(piece, Untrusted) else piece


def _without_added_tokens(tokenizer: PreTrainedTokenizerBase, name: str) -> Any:
    """Return a copy of the tokenizer that treats `<|im_end|>` and other added tokens as ordinary text."""
    from tokenizers import Tokenizer

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise EngineError(
            f"the tokenizer of {name} has no fast version",
            accepted="a model with a tokenizer.json",
        )
    description = json.loads(backend.to_str())
    # Pieces are spliced into a conversation, so nothing may be added to them, cut off or padded.
    description.update(added_tokens=[], post_processor=None, truncation=None, padding=None)
    return Tokenizer.from_str(json.dumps(description))

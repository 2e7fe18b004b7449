"""Rendering of a chat template, around real messages or around placeholders that show what it writes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from core.chat import Turn
from core.errors import EngineError, RequestError
from core.records import Role

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
_BETWEEN = "\n\n"
"""Text between a system message and the user message that it is moved into."""
_STORED_ROLES = 1024


class TemplateRenderer:
    """A chat template with its arguments.

    Args:
        tokenizer: the tokenizer that the template belongs to.
        kwargs: arguments of the template.
        name: the model's name, for error messages.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, kwargs: Mapping[str, JsonValue], name: str
    ) -> None:
        self._tokenizer: Any = tokenizer
        self._kwargs = dict(kwargs)
        self._name = name
        self.is_base = not tokenizer.chat_template
        """True if the model has no chat template and is prompted in ChatML."""
        self.source = _base_template(tokenizer) if self.is_base else _own_template(self._tokenizer, name)
        self.require_kept = lru_cache(_STORED_ROLES)(self._require_kept)

    def render(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        opened: bool = True,
        kwargs: Mapping[str, JsonValue] | None = None,
        source: str | None = None,
    ) -> str:
        """Return the rendering of a conversation.

        Args:
            messages: the conversation.
            opened: add the header of the answer to come.
            kwargs: other arguments of the template.
            source: another template.

        Raises:
            RequestError: if the template rejects the conversation.
        """
        from jinja2 import TemplateError

        # What a template's own expressions raise on a conversation that it was not written for.
        refusals = (TemplateError, TypeError, ValueError, KeyError, IndexError, AttributeError)
        try:
            rendered: str = self._tokenizer.apply_chat_template(
                messages,
                tokenize=False,
                add_generation_prompt=opened,
                chat_template=source or self.source,
                **(self._kwargs if kwargs is None else kwargs),
            )
        except refusals as error:
            roles = ", ".join(message["role"] for message in messages)
            raise RequestError(
                f"the chat template of {self._name} rejects the conversation", detail=f"{roles}: {error}"
            ) from error
        return rendered

    def ids(self, messages: Sequence[Mapping[str, str]], *, opened: bool) -> tuple[int, ...]:
        """Return the ids of `apply_chat_template` itself, to which any text can add special tokens."""
        from jinja2 import TemplateError

        try:
            found = self._tokenizer.apply_chat_template(
                messages,
                add_generation_prompt=opened,
                chat_template=self.source,
                return_dict=False,
                **self._kwargs,
            )
        except TemplateError as error:
            raise RequestError("the chat template rejects the conversation", detail=str(error)) from error
        return tuple(found)

    def around(
        self,
        *roles: Role,
        opened: bool = True,
        kwargs: Mapping[str, JsonValue] | None = None,
    ) -> list[str]:
        """Return what the template writes before, between and after messages, one text more than messages.

        Raises:
            RequestError: if the template rejects, repeats or drops a message, or changes their order.
        """
        messages = [{"role": role, "content": f"\ue000{i}\ue001"} for i, role in enumerate(roles)]
        # re.split alternates: template text, number of a message, template text, ...
        parts = _PLACEHOLDER.split(self.render(messages, opened=opened, kwargs=kwargs))
        numbers = [int(number) for number in parts[1::2]]
        if len(set(numbers)) < len(numbers):
            raise RequestError(f"the chat template of {self._name} repeats a message")
        if len(numbers) < len(roles):
            raise RequestError(f"the chat template of {self._name} drops a message of this conversation")
        return parts[::2]

    def _require_kept(self, roles: tuple[Role, ...]) -> None:
        """Raise RequestError if the template rejects, repeats or drops a message of such a conversation."""
        self.around(*roles)

    def takes_system(self) -> bool:
        """Return False if the template rejects or drops a system message, and takes the same without one."""
        try:
            self.around("system", "user")
        except RequestError:
            try:
                self.around("user")
            except RequestError:
                return True
            return False
        return True


def with_system_in_user(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Return a conversation with its first system messages at the beginning of the next user message."""
    count = next((i for i, turn in enumerate(turns) if turn.role != "system"), len(turns))
    if not count:
        return tuple(turns)
    pieces = [piece for turn in turns[:count] for piece in (*turn.pieces, _BETWEEN)]
    rest = turns[count:]
    if rest and rest[0].role == "user":
        return (Turn("user", (*pieces, *rest[0].pieces)), *rest[1:])
    return (Turn("user", tuple(pieces[:-1])), *rest)


def _own_template(tokenizer: Any, name: str) -> str:
    """Return the tokenizer's template. Raises EngineError if it has several and none is the default."""
    try:
        return str(tokenizer.get_chat_template())
    except ValueError as error:
        names = ", ".join(sorted(tokenizer.chat_template))
        raise EngineError(
            f"the tokenizer has several chat templates and none is the default: {names}",
            where=name,
            accepted="a model folder whose chat_template.jinja is the one to use",
        ) from error


def _base_template(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the template of a base model: ChatML, after the token that the tokenizer begins texts with."""
    begins: Any = tokenizer("a").input_ids
    has_start = tokenizer.bos_token_id is not None and begins[:1] == [tokenizer.bos_token_id]
    return "{{ bos_token }}" + CHATML if has_start else CHATML

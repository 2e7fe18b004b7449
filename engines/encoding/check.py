"""Check at load: token ids must be those of the tokenizer's own `apply_chat_template`.

Tokenizers differ in normalisers, prefixes and flags of added tokens, and templates in what they do with
content. A model whose conversations are encoded in another way would run without any error, and worse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from core.errors import EngineError, RequestError
from core.records import Role
from engines.encoding.template import TemplateRenderer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ChatMessage = Mapping[str, str]

_CODE = "def f(x):\n    if x:\n\n        return [x, '<b>']\n\treturn  None  # ok\n"
_LIST = " A list, é and 日本:\n\n- one\n-  two\n\n\nDone... "
_CONVERSATIONS: tuple[tuple[ChatMessage, ...], ...] = (
    ({"role": "user", "content": "Hi, what's 2+2?"},),
    ({"role": "system", "content": "Be brief.\nBe kind."}, {"role": "user", "content": _LIST}),
    (
        {"role": "user", "content": _CODE},
        {"role": "assistant", "content": _LIST},
        {"role": "user", "content": "Again?"},
        {"role": "assistant", "content": _CODE},
    ),
)
"""Newlines, code, several turns, a system message, a finished answer."""
_ROLES: tuple[tuple[Role, ...], ...] = (("user",), ("system", "user"), ("user", "assistant", "user"))
"""Conversations of which a template must take one at least."""
_SHOWN_TOKENS = 8


class Encode(Protocol):
    """Encodes a conversation, with the header of an answer to come if it is open."""

    def __call__(self, messages: Sequence[ChatMessage], *, opened: bool) -> tuple[int, ...]:
        """Return the token ids. Raises RequestError if the template rejects the conversation."""
        ...


def require_same_ids(
    tokenizer: PreTrainedTokenizerBase, template: TemplateRenderer, encode: Encode, name: str
) -> None:
    """Raise EngineError if ids differ from those of `apply_chat_template`.

    Conversations that the template rejects are passed over.

    Args:
        tokenizer: the tokenizer.
        template: its chat template.
        encode: encodes a conversation.
        name: the model's name, for the message.
    """
    _require_some_kept(template, name)
    for messages in _CONVERSATIONS:
        opened = messages[-1]["role"] != "assistant"
        try:
            mine = encode(messages, opened=opened)
            theirs = template.ids(messages, opened=opened)
            if mine != theirs:  # a template may show the time, which may have changed in between
                mine, theirs = encode(messages, opened=opened), template.ids(messages, opened=opened)
        except RequestError:
            continue
        if mine != theirs:
            raise EngineError(
                f"the tokenizer gives other token ids than its own apply_chat_template: "
                f"{_difference(tokenizer, mine, theirs)}",
                where=name,
                accepted="a tokenizer whose special tokens are added tokens",
            )


def _require_some_kept(template: TemplateRenderer, name: str) -> None:
    """Raise EngineError if the template takes none of the conversations, as those do that take no text."""
    reasons = []
    for roles in _ROLES:
        try:
            template.around(*roles)
            return
        except RequestError as error:
            reasons.append(f"{error.reason} ({error.detail})" if error.detail else error.reason)
    what = f"the chat template takes no conversation: {reasons[0]}"
    raise EngineError(what, where=name, accepted="a chat template for messages whose content is text")


def _difference(tokenizer: Any, mine: tuple[int, ...], theirs: tuple[int, ...]) -> str:
    """Return the tokens from where two encodings differ."""
    pairs = zip(mine, theirs, strict=False)
    start = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(mine), len(theirs)))
    here, there = (
        tokenizer.convert_ids_to_tokens(list(ids[start : start + _SHOWN_TOKENS])) for ids in (mine, theirs)
    )
    return f"{here} instead of {there} at token {start}"

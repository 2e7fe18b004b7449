"""The token ids that older versions gave a conversation, to tell which cached answers are asked again.

They rendered the chat template around placeholders and encoded every piece of content on its own. Where that
gives the ids of `apply_chat_template`, as mostly in ChatML, old answers stay valid.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from core.chat import Turn, Untrusted
from engines.encoding.template import CHATML, TemplateRenderer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PLACEHOLDER = re.compile("\ue000([0-9]+)\ue001")


class PiecewiseEncoder:
    """Encodes conversations piece by piece.

    Args:
        tokenizer: a tokenizer backed by the `tokenizers` library.
        renderer: its chat template.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, renderer: TemplateRenderer) -> None:
        from tokenizers import Tokenizer

        self._tokenizer: Any = tokenizer
        self._renderer = renderer
        description = json.loads(self._tokenizer.backend_tokenizer.to_str())
        description.update(added_tokens=[], post_processor=None, truncation=None, padding=None)
        self._plain = Tokenizer.from_str(json.dumps(description))

    def ids(self, turns: Sequence[Turn], skip: str, prefill: str) -> tuple[int, ...]:
        """Return the ids of a conversation, a text of the template's own, and a prefill.

        Raises:
            RequestError: if the chat template rejects the conversation.
        """
        pieces = [
            piece.text if isinstance(piece, Untrusted) else piece for turn in turns for piece in turn.pieces
        ]
        messages, first = [], 0
        for turn in turns:
            numbers = range(first, first := first + len(turn.pieces))
            messages.append(
                {"role": turn.role, "content": "".join(f"\ue000{number}\ue001" for number in numbers)}
            )
        ids: list[int] = []
        template = CHATML if self._renderer.is_base else None  # base models had no start token
        # re.split alternates: template text, number of a piece, template text, ...
        for place, part in enumerate(_PLACEHOLDER.split(self._renderer.render(messages, source=template))):
            ids += self._of_text(pieces[int(part)]) if place % 2 else self._of_template(part)
        if prefill:
            ids += [*self._of_template(skip), *self._of_text(prefill)]
        return tuple(ids)

    def _of_template(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False)) if text else []

    def _of_text(self, text: str) -> list[int]:
        return list(self._plain.encode(text, add_special_tokens=False).ids) if text else []

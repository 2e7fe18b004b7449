"""Token ids of a question about a reply, and where the reply is in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from core.chat import Turn, Untrusted
from core.errors import RequestError
from engines.protocols import ChoiceRequest
from engines.trees import common_length

_OTHERS = (Untrusted("~"), Untrusted("0"))
"""Texts with different tokens, so that at most one of them shares a token with a reply."""
_PURPOSE = "states"
"""What is asked for by the part of a question that all principles share."""


class QuestionRow(NamedTuple):
    """Token ids of a question, and the part of them that is the reply."""

    ids: tuple[int, ...]
    start: int
    """Index of the reply's first token."""
    stop: int
    """Index behind its last token, above `start`."""

    @property
    def reply_tokens(self) -> int:
        """Number of tokens of the reply."""
        return self.stop - self.start


def without_reply(request: ChoiceRequest) -> tuple[ChoiceRequest, ...]:
    """Return the question about two other replies: what changes in its token ids is the reply.

    Raises:
        RequestError: if the reply is not a piece of the last turn.
    """
    *before, last = request.turns
    at = _place_of_reply(request)
    turns = [Turn(last.role, (*last.pieces[:at], other, *last.pieces[at + 1 :])) for other in _OTHERS]
    return tuple(replace(request, turns=(*before, turn)) for turn in turns)


def up_to_reply(request: ChoiceRequest) -> ChoiceRequest:
    """Return a question that ends behind the reply: the same for all principles.

    The principle and what belongs to it (passage, preamble, earlier turns with examples) are left out.

    Raises:
        RequestError: if the reply is not a piece of the last turn.
    """
    last = request.turns[-1]
    turn = Turn(last.role, last.pieces[: _place_of_reply(request) + 1])
    return ChoiceRequest((turn,), request.choices, _PURPOSE, judged=request.judged)


def _place_of_reply(request: ChoiceRequest) -> int:
    """Return the index of the reply among the pieces of the last turn. Raises RequestError without one."""
    places = [
        number
        for number, piece in enumerate(request.turns[-1].pieces)
        if isinstance(piece, Untrusted) and piece.text == request.judged
    ]
    if not places:
        raise RequestError(
            "the question does not show the reply that it is about",
            accepted="a question of the template `pointwise`, which inserts the reply as it is",
        )
    return places[-1]  # an earlier message may have the same text


def question_row(ids: tuple[int, ...], others: Sequence[tuple[int, ...]]) -> QuestionRow:
    """Return a question with the place of its reply.

    Args:
        ids: token ids of the question.
        others: token ids of the same question about other replies. Tokens at both ends that it shares with
            all of them are not the reply's. Of an empty reply, the token before it stands for it.
    """
    start = min(common_length(ids, other) for other in others)
    back = ids[::-1]
    end = min(common_length(back, other[::-1]) for other in others)
    stop = len(ids) - min(end, len(ids) - start)
    return QuestionRow(ids, start, stop) if stop > start else QuestionRow(ids, max(0, stop - 1), stop)

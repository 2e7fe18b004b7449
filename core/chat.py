"""Conversations to send to a model, with untrusted text separated from trusted text.

A `Turn` holds pieces of content. A `str` piece is trusted (a template, a principle). An `Untrusted` piece was
written by a model, a user or a data set. Engines encode the chat template's rendering of all turns, in which
no text of a piece can act as a special token (`engines/encoding/sealed.py`): none can open a turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from core.records import Message, Role


@dataclass(frozen=True, slots=True)
class Untrusted:
    """Text from a model, a user or a data set. A template can only insert it whole."""

    text: str = field(repr=False)

    def __str__(self) -> str:
        raise TypeError(
            "untrusted text cannot be formatted or filtered in a template, only inserted as it is"
        )


Piece = str | Untrusted


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation as a sequence of pieces."""

    role: Role
    pieces: tuple[Piece, ...]

    @property
    def text(self) -> str:
        """Content as one string, for display and for engines that take plain messages."""
        return "".join(p.text if isinstance(p, Untrusted) else p for p in self.pieces)


def turns_of(messages: Sequence[Message]) -> tuple[Turn, ...]:
    """Return a recorded conversation as turns of untrusted text."""
    return tuple(Turn(m.role, (Untrusted(m.content),)) for m in messages)

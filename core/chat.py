"""Conversations on their way to a model, with untrusted text kept apart from ours.

A `Turn` holds pieces of content. A `str` piece is ours (a template, a principle); an `Untrusted` piece was
written by a model, a user or a data set. Engines encode every piece on its own with special tokens disabled
and splice the ids, so that no text can open a new turn, whoever wrote it, and no untrusted text can change
how the text around it is tokenized.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from core.records import Message, Role


@dataclass(frozen=True, slots=True)
class Untrusted:
    """Text that we did not write. It can be inserted whole and in no other way."""

    text: str = field(repr=False)

    def __str__(self) -> str:
        raise TypeError(
            "untrusted text can only be inserted into a template as it is, not formatted or filtered"
        )


Piece = str | Untrusted


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation as a sequence of pieces."""

    role: Role
    pieces: tuple[Piece, ...]

    @property
    def text(self) -> str:
        """The content as one string, for display and for engines that take plain messages."""
        return "".join(p.text if isinstance(p, Untrusted) else p for p in self.pieces)


def turns_of(messages: Sequence[Message]) -> tuple[Turn, ...]:
    """Return a recorded conversation as turns of untrusted text."""
    return tuple(Turn(m.role, (Untrusted(m.content),)) for m in messages)

"""A talk: questions with the answer of each variant and the user's thumbs, kept in a file of the studio."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from core.errors import DataError
from core.records import Candidate, Comparison, Message, Prompt
from core.store.files import os_errors, write_atomic

Thumb = Literal["up", "down"]
_CURRENT = "talk.json"


@dataclass
class VariantAnswer:
    """The answer of one variant to a question."""

    text: str | None = None
    """None as long as it is written, or if there is a problem."""
    finished: bool = True
    """False if it was cut off at the maximum length."""
    problem: str = ""
    thumb: Thumb | None = None


@dataclass
class TalkTurn:
    """A question and the answers to it."""

    id: str
    question: str
    answers: dict[str, VariantAnswer]
    """By variant, in the order in which they are shown."""


@dataclass
class Talk:
    """A talk. Each variant sees its own earlier answers only."""

    id: str = field(default_factory=lambda: uuid4().hex[:12])
    turns: list[TalkTurn] = field(default_factory=list)

    def turn(self, identity: str) -> TalkTurn:
        """Return a turn. Raises DataError if the talk has no such turn."""
        for turn in self.turns:
            if turn.id == identity:
                return turn
        raise DataError("this turn is no longer part of the talk", accepted="a turn of the talk on the page")

    def prompt(self, identity: str, variant: str) -> Prompt:
        """Return the conversation that a variant answers in a turn: its history, then the question."""
        messages: list[Message] = []
        for turn in self.turns:
            messages.append(Message(role="user", content=turn.question))
            if turn.id == identity:
                return Prompt.of(tuple(messages))
            answer = turn.answers.get(variant)
            if answer is None or answer.text is None:
                messages.pop()  # the variant has not answered this question, so its talk goes on without it
            else:
                messages.append(Message(role="assistant", content=answer.text))
        raise DataError("this turn is no longer part of the talk", accepted="a turn of the talk on the page")

    def comparison(self, identity: str, first: str, second: str) -> Comparison:
        """Return the comparison of two variants' answers to a question, after the talk of the first one.

        Raises:
            DataError: one of them has no answer, or both have the same.
        """
        answers = self.turn(identity).answers
        one, other = (_candidate(name, answers.get(name)) for name in (first, second))
        if one.response == other.response:
            raise DataError("both answers are the same", accepted="two different answers")
        return Comparison.of(self.prompt(identity, first), one, other, group=f"talk {self.id}")

    def as_json(self) -> dict[str, Any]:
        """Return the talk as JSON-able values."""
        return asdict(self)


def _candidate(name: str, answer: VariantAnswer | None) -> Candidate:
    if answer is None or answer.text is None or not answer.text.strip():
        raise DataError(f"{name!r} has no answer to compare", accepted="two variants that have answered")
    return Candidate(answer.text, name, answer.finished)


class TalkFile:
    """The current talk in a folder; each change is on disk before it is shown."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _CURRENT

    def read(self) -> Talk:
        """Return the talk, or a new one if there is none or its file is damaged."""
        try:
            return _talk(json.loads(self._path.read_bytes()))
        except (OSError, ValueError, TypeError, KeyError):
            return Talk()

    def write(self, talk: Talk) -> None:
        """Store the talk. Raises RunStateError if the disk is full or failed."""
        with os_errors(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self._path, json.dumps(talk.as_json(), ensure_ascii=False) + "\n", mode=0o600)


def _talk(content: Mapping[str, Any]) -> Talk:
    turns = [
        TalkTurn(
            turn["id"],
            turn["question"],
            {name: VariantAnswer(**answer) for name, answer in turn["answers"].items()},
        )
        for turn in content["turns"]
    ]
    return Talk(content["id"], turns)

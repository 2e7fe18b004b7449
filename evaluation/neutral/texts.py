"""Neutral passages and reference answers, written for this package: a fixed yardstick of quality.

`passages.jsonl` holds forty passages in eight registers, and `answers.jsonl` forty everyday questions, each
with an answer. None of the questions is among the demo prompts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

from core.digests import digest

_Text = TypeVar("_Text", "NeutralPassage", "ReferenceAnswer")


@dataclass(frozen=True, slots=True)
class NeutralPassage:
    """A passage of plain text."""

    id: str
    register: str
    """`news`, `recipe`, `story`, `science`, `instruction`, `letter`, `dialogue` or `code`."""
    text: str


@dataclass(frozen=True, slots=True)
class ReferenceAnswer:
    """An everyday question with a good answer to it."""

    id: str
    question: str
    answer: str


@cache
def neutral_passages(limit: int | None = None) -> tuple[NeutralPassage, ...]:
    """Return the neutral passages, of 60 to 120 words each; at most `limit`, of all registers."""
    return _spread([NeutralPassage(**row) for row in _rows("passages.jsonl")], limit)


@cache
def reference_answers(limit: int | None = None) -> tuple[ReferenceAnswer, ...]:
    """Return the reference answers, of 30 to 90 words each; at most `limit`."""
    return _spread([ReferenceAnswer(**row) for row in _rows("answers.jsonl")], limit)


def _spread(texts: Sequence[_Text], limit: int | None) -> tuple[_Text, ...]:
    """Return at most `limit` texts at equal distances, since neighbours are of one register."""
    count = len(texts) if limit is None else min(limit, len(texts))
    return tuple(texts[number * len(texts) // count] for number in range(count))


def neutral_digest() -> str:
    """Return a digest of all texts: losses on different texts cannot be compared."""
    texts = [(p.id, p.text) for p in neutral_passages()]
    return digest(texts, [(a.id, a.question, a.answer) for a in reference_answers()])[:16]


def _rows(name: str) -> Iterator[dict[str, Any]]:
    for line in (files("evaluation.neutral") / name).read_text(encoding="utf-8").splitlines():
        yield json.loads(line)

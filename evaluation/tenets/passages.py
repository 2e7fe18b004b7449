"""The passage of a reply that a rating is about: the one whose removal raises the rater's score most.

Leave-one-out: with s the score of the whole reply (a judge's log-odds that it fulfils the tenet, or the score
of a machine check) and s_i the score without passage i, the gain of passage i is s_i - s. A passage is cited
only if its gain is positive: otherwise the violation is in the reply as a whole, such as in what it lacks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from constitution.checks.prose import has_word, split_sentences
from core.records import Finite, Record

MOST_PASSAGES = 8
"""Largest number of passages of a reply: each is one more question to a judge."""
_LINE = re.compile(r"[^\n]+")
_INDENT = re.compile(r"\s*")


class ReplyPassage(NamedTuple):
    """Start and end of a passage in a text, in characters."""

    start: int
    end: int


class Citation(Record):
    """A passage that a violation is cited by."""

    text: str
    start: int
    """Number of its first character in the reply, from 0."""
    end: int
    gain: Finite
    """How much the rater's score rises without it: nats for a judge, a share for a machine check."""


def reply_passages(text: str, most: int = MOST_PASSAGES) -> tuple[ReplyPassage, ...]:
    """Return the sentences of a text as spans, in order; neighbours are joined if there are more than `most`.

    Each line has sentences of its own. Spans have letters or digits in them.
    """
    spans = [span for line in _LINE.finditer(text) for span in _in_line(line[0], line.start())]
    if len(spans) <= most:
        return tuple(spans)
    bounds = [len(spans) * n // most for n in range(most + 1)]
    return tuple(ReplyPassage(spans[first].start, spans[last - 1].end) for first, last in pairwise(bounds))


def _in_line(line: str, offset: int) -> Iterator[ReplyPassage]:
    place = 0
    for sentence in split_sentences(line):
        start = line.index(sentence, place)
        place = start + len(sentence)
        if has_word(sentence):
            yield ReplyPassage(offset + start, offset + place)


def without(text: str, span: ReplyPassage) -> str:
    """Return a text without a passage, and without the space or the empty line that this would leave."""
    before, after = text[: span.start], text[span.end :]
    if not before or before[-1].isspace():
        after = after[_spaces(after) :]
    return (before + after).strip()


def _spaces(text: str) -> int:
    found = _INDENT.match(text)
    return found.end() if found else 0


def most_telling(
    text: str, spans: Sequence[ReplyPassage], whole: float, scores: Sequence[float | None]
) -> Citation | None:
    """Return the passage without which the score is highest; None if no removal raises it.

    Args:
        text: the reply.
        spans: its passages.
        whole: the score of the whole reply.
        scores: the score without each passage; None where it could not be computed.
    """
    gains = [
        (score - whole, -number) for number, score in enumerate(scores) if score is not None and score > whole
    ]
    if not gains:
        return None
    gain, number = max(gains)
    span = spans[-number]
    return Citation(text=text[span.start : span.end], start=span.start, end=span.end, gain=gain)

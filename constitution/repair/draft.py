"""A text as lines of sentences, so that sentences can be removed and the layout stays."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from constitution.checks.prose import MARKER, has_word, is_list_item, split_sentences

_FENCE = re.compile(r"[ \t]*(?:```|~~~)")
_LEADS_ON = (":", ",", ";", "-", "–", "—")
"""Ends of a line that announces what comes after it."""
_BULLET = "- "


@dataclass(frozen=True)
class SentenceLine:
    """A line of text, as its marker (indentation, bullet, number) and its sentences."""

    marker: str
    sentences: tuple[str, ...]
    is_code: bool = False
    """True if the line is a whole block of fenced code, which is kept or removed as one sentence."""

    def __str__(self) -> str:
        return self.marker + " ".join(self.sentences)


@dataclass(frozen=True)
class Draft:
    """The lines of an answer; those without sentences separate paragraphs."""

    lines: tuple[SentenceLine, ...]

    @classmethod
    def of(cls, text: str, *, finished: bool = True) -> Self:
        """Return the draft of a text. If the answer was cut off, its incomplete last sentence is removed."""
        draft = cls(tuple(_lines(text)))
        return draft if finished or _is_complete(text) else draft.without_last()

    @property
    def sentences(self) -> tuple[str, ...]:
        """All sentences in their order."""
        return tuple(sentence for line in self.lines for sentence in line.sentences)

    def __str__(self) -> str:
        text = "\n".join(map(str, self.lines))
        return re.sub(r"\n{3,}", "\n\n", text).strip()

    def keep(self, wanted: Callable[[str], bool]) -> Self:
        """Return the draft with the wanted sentences only."""
        return self._with((line, tuple(filter(wanted, line.sentences))) for line in self.lines)

    def changed(self, change: Callable[[str], str | None]) -> Self:
        """Return the draft with its sentences changed; one that becomes None is removed."""
        return self._with(
            (line, tuple(new for sentence in line.sentences if (new := change(sentence)) is not None))
            for line in self.lines
        )

    def without(self, place: int) -> Self:
        """Return the draft without the sentence at a place among all sentences."""
        return self._where(lambda number: number != place)

    def first(self, count: int) -> Self:
        """Return the first sentences of the draft, without a last line that announces what was removed."""
        draft = self._where(lambda number: number < count)
        while draft.sentences and draft.sentences[-1].rstrip("*_ ").endswith(_LEADS_ON):
            draft = draft.without(len(draft.sentences) - 1)
        return draft

    def without_last(self) -> Self:
        """Return the draft without its last sentence."""
        return self.first(len(self.sentences) - 1)

    def first_items(self, count: int) -> Self:
        """Return the draft with the first list items only; what is indented below one goes with it."""
        found, removed = 0, False
        kept: list[SentenceLine] = []
        for line in self.lines:
            if is_list_item(str(line)):
                found += 1
                removed = found > count
            elif line.sentences and not line.marker:
                removed = False
            if not (removed and line.sentences):
                kept.append(line)
        return replace(self, lines=tuple(kept))

    def as_list(self) -> Self:
        """Return the draft with each sentence as an entry of a list."""
        return replace(self, lines=tuple(SentenceLine(_BULLET, (s,)) for s in self.sentences))

    def as_prose(self) -> Self:
        """Return the draft without the markers of lists; neighbouring entries become one paragraph."""
        lines: list[SentenceLine] = []
        for line in self.lines:
            follows_entry = bool(lines and lines[-1].sentences) and bool(line.sentences)
            if follows_entry and not line.is_code and not lines[-1].is_code:
                lines[-1] = SentenceLine("", (*lines[-1].sentences, *line.sentences))
            else:
                lines.append(replace(line, marker=""))
        return replace(self, lines=tuple(lines))

    def _where(self, wanted: Callable[[int], bool]) -> Self:
        numbers = iter(range(len(self.sentences)))
        return self._with(
            (line, tuple(sentence for sentence in line.sentences if wanted(next(numbers))))
            for line in self.lines
        )

    def _with(self, found: Iterable[tuple[SentenceLine, Sequence[str]]]) -> Self:
        """Return the draft with other sentences in its lines; a line that loses all of them disappears."""
        lines = (replace(line, sentences=tuple(kept)) for line, kept in found if kept or not line.sentences)
        return replace(self, lines=tuple(lines))


def _lines(text: str) -> Iterable[SentenceLine]:
    code: list[str] = []
    for line in text.splitlines():
        if code or _FENCE.match(line):
            code.append(line)
            if len(code) > 1 and _FENCE.match(line):
                yield SentenceLine("", ("\n".join(code),), is_code=True)
                code = []
            continue
        marker = MARKER.match(line)
        start = marker.end() if marker else len(line) - len(line.lstrip())
        yield SentenceLine(line[:start], tuple(filter(has_word, split_sentences(line[start:].rstrip()))))
    if code:
        yield SentenceLine("", ("\n".join(code),), is_code=True)


def _is_complete(text: str) -> bool:
    """Return whether a text ends where a sentence may end."""
    return bool(re.search(r"[.!?…。！？][\"'”’)\]*_`]*\s*$", text))

"""Importers for plain text with one principle per line, and for NeMo-Aligner's numbered lists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from constitution.importers.reading import Reading
from constitution.importers.source import ForeignFile

_MARK = re.compile(r"\s*(?:[-*+•‣◦·–—]|\(?\d{1,4}[.)]|\(?[A-Za-z][.)])\s+(?=\S)")
_OPENED = re.compile(r"^```CONSTITUTION[^\n]*\n", re.MULTILINE)
_CLOSED = "\n```"


class TextLine(NamedTuple):
    """A line without its bullet or number, joined with the indented lines below it."""

    number: int
    text: str
    marked: bool
    """True if the line had a bullet or number."""


class PlainLines:
    """One principle per line, with or without bullets or numbers."""

    name = "text"
    summary = "plain text, one principle per line; bullets and numbers are stripped"
    takes_columns = False

    def recognises(self, file: ForeignFile) -> str | None:
        """Return the reason: this is the fallback for files that no other importer recognises."""
        return "it is plain text"

    def read(self, file: ForeignFile, reading: Reading) -> None:
        """Add the lines as principles to `reading`."""
        lines = [line for line in _lines(file.text, 1, reading, file) if line.text]
        marked = sum(line.marked for line in lines)
        for line in lines:
            if marked * 2 > len(lines) and not line.marked:
                reason = "a line without a bullet or number, where most lines have one"
                reading.skip(reason, file.at(line.number))
            else:
                reading.take(file.at(line.number), {"text": line.text})


class NemoAligner:
    """NeMo-Aligner's judge instructions, with a numbered constitution between fences."""

    name = "nemo-aligner"
    summary = "NeMo-Aligner's sys_prompt_constitution: a numbered list between lines of ```"
    takes_columns = False

    def recognises(self, file: ForeignFile) -> str | None:
        """Return the reason why a file has this format; None if it does not."""
        return "it has ```CONSTITUTION" if _OPENED.search(file.text) else None

    def read(self, file: ForeignFile, reading: Reading) -> None:
        """Add the numbered lines between the fences to `reading`, each as a comparison request."""
        opened = _OPENED.search(file.text)
        end = file.text.find(_CLOSED, opened.end() - 1) if opened else -1
        if opened is None or end < 0:
            accepted = "a line ```CONSTITUTION and a closing line ```"
            reading.refuse("no constitution found", file.where(), accepted)
            return
        first = file.text.count("\n", 0, opened.end()) + 1
        for line in _lines(file.text[opened.end() : end], first, reading, file):
            if line.marked:
                reading.take(file.at(line.number), {"comparison": line.text})
            elif line.text:
                reading.skip("a line without a number between the fences", file.at(line.number))
        reading.skip("instructions around the constitution", file.at(1))


def _lines(text: str, first: int, reading: Reading, file: ForeignFile) -> Iterator[TextLine]:
    """Yield the lines without bullets and numbers. Comments and headings are skipped and counted."""
    entry: list[str] = []
    """The lines of the current bullet."""
    begun = first
    for number, raw in enumerate(text.split("\n"), start=first):
        mark = _MARK.match(raw)
        bare = raw[mark.end() :].strip() if mark else raw.strip()
        if mark is None and entry and bare and raw[:1].isspace():
            entry.append(bare)
            continue
        if entry:
            yield TextLine(begun, " ".join(entry), True)
            entry = []
        if bare.startswith("#"):
            reading.skip("a line that begins with #", file.at(number))
            continue
        reading.stripped["bullets and numbers"] += mark is not None
        if mark:
            entry, begun = [bare], number
        elif bare:
            yield TextLine(number, bare, False)
    if entry:
        yield TextLine(begun, " ".join(entry), True)

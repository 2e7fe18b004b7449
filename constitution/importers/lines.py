"""Principles in plain text, one a line; also NeMo-Aligner's numbered list in a judge's instructions."""

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
    """A line without its mark, with those that are indented below a bullet."""

    number: int
    text: str
    marked: bool
    """Whether a bullet or number stood before it."""


class PlainLines:
    """One principle a line, with or without bullets or numbers."""

    name = "text"
    summary = "plain text, one principle a line; bullets and numbers are stripped"
    takes_columns = False

    def recognises(self, file: ForeignFile) -> str | None:
        """Return why a file is read by lines: nothing else has recognised it."""
        return "it is plain text"

    def read(self, file: ForeignFile, reading: Reading) -> None:
        """Gather the lines."""
        lines = [line for line in _lines(file.text, 1, reading, file) if line.text]
        marked = sum(line.marked for line in lines)
        for line in lines:
            if marked * 2 > len(lines) and not line.marked:
                reading.leave_out(
                    "a line without bullet or number among lines that have one", file.at(line.number)
                )
            else:
                reading.take(file.at(line.number), {"text": line.text})


class NemoAligner:
    """The instructions that NeMo-Aligner gives its judge, with a numbered constitution between fences."""

    name = "nemo-aligner"
    summary = "NeMo-Aligner's sys_prompt_constitution: a numbered list between lines of ```"
    takes_columns = False

    def recognises(self, file: ForeignFile) -> str | None:
        """Return why a file is such instructions."""
        return "it has ```CONSTITUTION" if _OPENED.search(file.text) else None

    def read(self, file: ForeignFile, reading: Reading) -> None:
        """Gather the numbered lines between the fences; each asks for a comparison."""
        opened = _OPENED.search(file.text)
        end = file.text.find(_CLOSED, opened.end() - 1) if opened else -1
        if opened is None or end < 0:
            accepted = "```CONSTITUTION and a line ``` after it"
            reading.refuse("there is no constitution", file.where(), accepted)
            return
        first = file.text.count("\n", 0, opened.end()) + 1
        for line in _lines(file.text[opened.end() : end], first, reading, file):
            if line.marked:
                reading.take(file.at(line.number), {"comparison": line.text})
            elif line.text:
                reading.leave_out("a line without number between the fences", file.at(line.number))
        reading.leave_out("instructions around the constitution", file.at(1))


def _lines(text: str, first: int, reading: Reading, file: ForeignFile) -> Iterator[TextLine]:
    """Yield the lines without their marks; comments and headings are counted out."""
    entry: list[str] = []
    """Of the bullet that is open, its lines."""
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
            reading.leave_out("a line that begins with #", file.at(number))
            continue
        reading.stripped["bullets and numbers"] += mark is not None
        if mark:
            entry, begun = [bare], number
        elif bare:
            yield TextLine(number, bare, False)
    if entry:
        yield TextLine(begun, " ".join(entry), True)

"""Importers for plain text with one principle per line, and for NeMo-Aligner's numbered lists."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set
from itertools import pairwise, zip_longest
from typing import NamedTuple

from constitution.importers.named import NAMED, NamedRule, named_rules
from constitution.importers.reading import Reading
from constitution.importers.source import ForeignFile
from constitution.importers.under_keys.directives import directive_of, introduced
from constitution.importers.under_keys.prose import is_rule, take_prose
from core.text.explain import yaml_line

MARK = re.compile(r"\s*(?:[-*+•‣◦·–—]|\(?\d{1,4}[.)]|\(?[A-Za-z][.)])\s+(?=\S)")
"""The bullet or number of a list item, with the white space around it."""
_BOLD = re.compile(r"(\*\*|__|[*_`])(?=\S)(.+?)(?<=\S)\1")
"""Words in bold, in italics or as code at the beginning of a line."""
_TABLE_LINE = re.compile(r"\s*\|.*\|\s*$")
HEADING = "a heading"
"""Why a heading is skipped."""
_HEADING_WORDS = 12
_WRAPPED = 60
"""Smallest length of a line that ends where the next one begins, and not with its sentence."""
_OPENED = re.compile(r"^```CONSTITUTION[^\n]*\n", re.MULTILINE)
_CLOSED = "\n```"


class TextLine(NamedTuple):
    """A line without its bullet or number, joined with the indented lines below it."""

    number: int
    text: str
    marked: bool
    """True if the line had a bullet or number."""


class _Prose(NamedTuple):
    """Sections of prose in a file of which most lines have a bullet or number."""

    paragraphs: dict[int, str]
    """Paragraphs below a heading without a list, by the number of their first line."""
    further: set[int]
    """Their other lines."""
    headings: set[int]
    """Lines of their own above a list or above prose."""


class PlainLines:
    """One principle per line, with or without bullets or numbers.

    Where most lines have one, a section of lines without any is prose: its sentences that state a rule.
    """

    name = "text"
    summary = "plain text, one principle per line; bullets and numbers are stripped"
    takes_columns = False

    def recognises(self, file: ForeignFile) -> str | None:
        """Return the reason: this is the fallback for files that no other importer recognises."""
        return "it is plain text"

    def read(self, file: ForeignFile, reading: Reading) -> None:
        """Add the lines as principles to `reading`."""
        lines = [line for line in _lines(file.text, 1, reading, file) if line.text]
        named = _named(lines)
        prose = _prose(lines, file.text)
        is_list = _is_list(lines, prose.headings)
        before = ""
        for line, following in zip_longest(lines, lines[1:]):
            place = file.at(line.number)
            if not line.marked:
                before = line.text if following and following.marked and directive_of(line.text) else ""
            if line.marked and before:
                reading.take(place, {"text": introduced(before, line.text)})
                reading.note(f"below {yaml_line(before)}: made a sentence", place)
            elif line.number in named:
                reading.note(NAMED, place)
                reading.take(place, {"text": named[line.number].text}, name=named[line.number].name)
            elif before or _introduces(line, following):
                reading.skip("a line that introduces the list below it", place, line.text)
            elif is_list and not line.marked:
                _take_unmarked(line, prose, file, reading)
            else:
                reading.take(place, {"text": line.text})


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
                place = file.at(line.number)
                reading.skip("a line without a number between the fences", place, line.text)
        reading.skip("instructions around the constitution", file.at(1))


def _lines(text: str, first: int, reading: Reading, file: ForeignFile) -> Iterator[TextLine]:
    """Yield the lines without bullets and numbers. Comments, headings and tables are skipped and counted."""
    entry: list[str] = []
    """The lines of the current bullet."""
    begun, indent = first, 0
    for number, raw in enumerate(text.split("\n"), start=first):
        mark = MARK.match(raw)
        bare = raw[mark.end() :].strip() if mark else raw.strip()
        is_below = mark is None and bare and raw[:1].isspace() and not _TABLE_LINE.match(raw)
        if is_below and bare.endswith(":") and _indent_of(raw) <= indent:
            is_below = False  # it introduces the next list
        if entry and is_below:
            entry.append(bare)
            continue
        if entry:
            yield TextLine(begun, " ".join(entry), True)
            entry = []
        if _TABLE_LINE.match(raw):
            reading.skip("a line of a table; --format markdown reads tables", file.at(number), raw)
            continue
        if bare.startswith("#"):
            reading.skip("a line that begins with #", file.at(number))
            continue
        reading.stripped["bullets and numbers"] += mark is not None
        if mark:
            entry, begun, indent = [bare], number, _indent_of(raw)
        elif bare:
            yield TextLine(number, bare, False)
    if entry:
        yield TextLine(begun, " ".join(entry), True)


def _take_unmarked(line: TextLine, prose: _Prose, file: ForeignFile, reading: Reading) -> None:
    """Add the rules of a paragraph that begins with a line, or count the line as skipped."""
    place = file.at(line.number)
    if line.number in prose.headings:
        reading.skip(HEADING, place, line.text)
    elif line.number in prose.paragraphs:
        take_prose(prose.paragraphs[line.number], line.number, {}, None, file, reading)
    elif line.number not in prose.further:
        reading.skip("a line without a bullet or number, where most lines have one", place, line.text)


def _prose(lines: Sequence[TextLine], text: str) -> _Prose:
    """Return the paragraphs below headings without a list, and all headings."""
    raw = text.split("\n")
    starts = [i for i, line in enumerate(lines) if _is_heading(line, raw)]
    found = _Prose({}, set(), {lines[i].number for i in starts})
    for start, end in zip_longest(starts, starts[1:]):
        section = lines[start + 1 : end]
        if any(line.marked for line in section):
            continue
        begun, last = 0, None
        for line in section:
            if last is not None and _goes_on(last, line, raw):
                found.paragraphs[begun] += f"\n{line.text}"
                found.further.add(line.number)
            else:
                begun = line.number
                found.paragraphs[begun] = line.text
            last = line
    return found


def _is_list(lines: Sequence[TextLine], headings: Set[int]) -> bool:
    """Return whether most lines have a bullet or number, not counting headings right above others."""
    above = {
        line.number
        for line, below in pairwise(lines)
        if {line.number, below.number} & headings == {line.number}
    }
    marked = sum(line.marked for line in lines)
    return marked > len(lines) - marked - len(above)


def _is_heading(line: TextLine, raw: Sequence[str]) -> bool:
    """Return whether a line is the heading of a section: short, without a full stop, below an empty line."""
    if line.marked or line.text[-1] in ".!?;," or len(line.text.split()) > _HEADING_WORDS:
        return False
    return (line.number == 1 or not raw[line.number - 2].strip()) and not is_rule(line.text)


def _goes_on(before: TextLine, line: TextLine, raw: Sequence[str]) -> bool:
    """Return whether a line is in the paragraph of the one before: it ends a sentence, or was wrapped."""
    if line.number != before.number + 1:
        return False
    is_wrapped = line.text[:1].islower() or len(raw[before.number - 1]) >= _WRAPPED
    return before.text[-1] in ".!?”’\"')" or is_wrapped


def _named(lines: list[TextLine]) -> dict[int, NamedRule]:
    """Return the lines with a bullet or number that begin with a name, by their number."""
    entries = [line for line in lines if line.marked]
    bold = [_BOLD.match(line.text) for line in entries]
    texts = [
        line.text if match is None else match[2] + line.text[match.end() :]
        for line, match in zip(entries, bold, strict=True)
    ]
    rules = named_rules(texts, [match[2] if match else "" for match in bold])
    return {line.number: rule for line, rule in zip(entries, rules, strict=True) if rule is not None}


def _introduces(line: TextLine, following: TextLine | None) -> bool:
    """Return whether a line only introduces the list below it: it has a colon and no mark."""
    if line.marked or following is None or not line.text.endswith(":"):
        return False
    return following.marked or following.text.endswith(":")


def _indent_of(line: str) -> int:
    return len(line) - len(line.lstrip())

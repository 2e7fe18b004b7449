"""Sentence splitting, list detection, and removal of code and quotations from a text.

Sentences end at `.`, `!`, `?` and `…` before white space, at the full stops of scripts that put no space
after them (。！？।॥۔؟), and at the end of a paragraph, heading or list line. Abbreviations, initials,
decimals and ellipses within a sentence do not end it. The abbreviations are English.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_FENCE = re.compile(r"^[ \t]*(```|~~~)[^\n]*\n(?:.*?^[ \t]*\1[ \t]*$|.*)", re.DOTALL | re.MULTILINE)
_CODE_SPAN = re.compile(r"`[^`\n]*`")
_QUOTED = re.compile(r'"[^"\n]{1,1000}"|“[^”\n]{1,1000}”|«[^»\n]{1,1000}»|^[ \t]*>[^\n]*', re.MULTILINE)
MARKER = re.compile(r"[ \t]*(?:[-*+•‣◦–—]|\(?\d{1,3}[.):]|\(?[A-Za-z][.)])[ \t]+(?=\S)")
"""Bullet or number at the beginning of a list entry, with its indentation."""
_ITEM = re.compile(r"[ \t]*(?:[-*+•‣◦]|\d{1,3}[.)])[ \t]+(?=\S)")
_TABLE_ROW = re.compile(r"[ \t]*\|.*\|[ \t]*")
_HEADING = re.compile(r"[ \t]*(?:#{1,6}[ \t]|\*\*[^*\n]+\*\*:?[ \t]*$)")

_WIDE_STOPS = "。！？｡．।॥۔؟።"
_CLOSERS = "\"'”’»)]}*_"
# Possessive quantifiers and the lookbehind keep the search linear, e.g. on a megabyte of dots.
_END = re.compile(rf"(?<![.!?…])[.!?…]++[{re.escape(_CLOSERS)}]*+(?=\s)|[{_WIDE_STOPS}]++[”’」』）»)\"']*+")
_BEFORE_NAMES = (
    "mr mrs ms dr prof st vs fig figs eq eqs vol pp ca cf gen gov hon lt col sgt capt rev sen rep e.g i.e"
)
_BEFORE_NUMBERS = (
    "no nos approx inc ltd co dept est sr jr etc univ al ed eds jan feb mar apr jun jul aug sep sept oct "
    "nov dec"
)
_ALWAYS = frozenset(_BEFORE_NAMES.split())
"""Abbreviations that never end a sentence."""
_BEFORE_DIGITS = frozenset(_BEFORE_NUMBERS.split())
"""Abbreviations and similar words that do not end a sentence before a number: `No. 5`, but `no. Then`."""
_INITIALS = re.compile(r"(?:[A-Za-z]\.)*[A-Za-z]")
_ARTICLES_AND_SUCH = "the a an it he she they we i this that these those in but and however there if when"
_STARTERS = frozenset(_ARTICLES_AND_SUCH.split())


def without_code(text: str) -> str:
    """Return a text without fenced code blocks. An unclosed block extends to the end of the text."""
    return _FENCE.sub("\n", text)


def without_quotes(text: str) -> str:
    """Return a text without passages in double quotation marks, quoted lines and code."""
    return _QUOTED.sub(" ", _CODE_SPAN.sub(" ", without_code(text)))


def has_word(text: str) -> bool:
    """Return whether a text contains a letter or digit of any script."""
    return any(character.isalnum() for character in text)


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a text outside of fenced code. Each contains a letter or digit."""
    for unit in _units(without_code(text)):
        yield from filter(has_word, split_sentences(unit))


def is_list_item(line: str) -> bool:
    """Return whether a line begins with a bullet or a number, as in Markdown, and has a letter or digit."""
    marker = _ITEM.match(line)
    return marker is not None and has_word(line[marker.end() :])


def count_list_items(text: str) -> int:
    """Return the number of list items of a text, at every level, outside of fenced code."""
    return sum(map(is_list_item, without_code(text).splitlines()))


def list_share(text: str) -> tuple[int, float]:
    """Return the number of list entries in a text, and the share of its lines that belong to a list.

    Empty lines and fenced code do not count. An indented line after an entry belongs to it. Table rows count
    as entries.
    """
    lines = [line for line in without_code(text).splitlines() if has_word(line)]
    entries, listed, within = 0, 0, False
    for line in lines:
        begins = bool(MARKER.match(line) or _TABLE_ROW.fullmatch(line))
        within = begins or (within and line[0] in " \t")
        entries += begins
        listed += within
    return entries, listed / len(lines) if lines else 0.0


def _units(text: str) -> Iterator[str]:
    """Yield the paragraphs, headings and list lines of a text, each as one line without its marker."""
    gathered: list[str] = []
    for line in [*text.splitlines(), ""]:
        marker = MARKER.match(line)
        alone = _HEADING.match(line) or _TABLE_ROW.fullmatch(line)
        if marker or alone or not line.strip():
            yield " ".join(gathered)
            gathered = []
        gathered.append(line[marker.end() :] if marker else line.strip())
        if alone:
            yield " ".join(gathered)
            gathered = []
    yield " ".join(gathered)


def split_sentences(unit: str) -> Iterator[str]:
    """Yield the sentences of one paragraph, and what follows the last stop."""
    start = 0
    for end in _END.finditer(unit):
        if _is_end(unit, start, end):
            yield unit[start : end.end()].strip()
            start = end.end()
    yield unit[start:].strip()


def _is_end(unit: str, start: int, end: re.Match[str]) -> bool:
    """Return whether a stop ends a sentence, based on the text before and after it."""
    stop = end[0]
    if stop[0] in _WIDE_STOPS:
        return True
    following = unit[end.end() : end.end() + 40].lstrip(" \t\"'“‘«([*_")
    ellipsis = "…" in stop or ".." in stop
    if following[:1].islower() and (ellipsis or (stop[0] in "!?" and stop[-1] in _CLOSERS)):
        return False  # `wait... what`, `"Really?" she said`
    if stop[0] != "." or ellipsis:
        return True
    word = unit[max(start, end.start() - 20) : end.start()].rsplit(None, 1)[-1:]
    return not word or not _is_abbreviated(word[0].lstrip("\"'“‘«([*_"), following)


def _is_abbreviated(word: str, following: str) -> bool:
    """Return whether the stop after a word marks an abbreviation, so the sentence continues."""
    name = word.lower()
    if name in _ALWAYS:
        return True
    if name in _BEFORE_DIGITS:
        return following[:1].isdigit() or (name != "no" and following[:1].islower())
    next_word = re.split(r"[^A-Za-z]", following, maxsplit=1)[0].lower()
    if _INITIALS.fullmatch(word):
        # `J. Smith` continues, `in the U.S. The` does not. `I.` is a pronoun at the end of a sentence.
        return word != "I" and next_word not in _STARTERS
    return False

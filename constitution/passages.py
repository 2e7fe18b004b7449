"""Split a Markdown document into passages: each heading with its text, addressed by its anchor.

A principle refers to one passage of a long prose constitution, and requests show only that passage. Anchors
are GitHub's: the heading in lower case, without punctuation, with hyphens for spaces, and with `-1`, `-2`
appended to repeated headings. An author may also name a passage: `{#name}` at the end of the heading replaces
the generated anchor, and `<a id="name"></a>` in or before the heading adds one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import ConfigError
from core.text.yaml_file import read_prose, refuse_unprintable

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

MAX_DOCUMENT_BYTES = 512 * 1024
"""About 80,000 words of English."""
MAX_LINES = 10_000
_MAX_HEADING = 1000
"""Maximum characters of a heading. A longer one gets no anchor, which bounds the time to parse it."""

_GIVEN = re.compile(r"\s*\{#([^\s{}]+)\}\s*$")
_LINK = re.compile(r"""<a\s+(?:id|name)\s*=\s*["']?([^\s"'>]+)["']?\s*(?:/>|>\s*</a>|>)""", re.IGNORECASE)
_FRONT_MATTER = re.compile(r"---[ \t]*\n.*?\n---[ \t]*(?:\n|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Passage:
    """A heading and its text, up to the next heading of the same or a higher level."""

    anchors: tuple[str, ...]
    """The anchors of the heading, without `#`."""
    text: str
    line: int
    """Line number of the heading, from 1."""


@dataclass(slots=True)
class _Heading:
    level: int
    line: int
    """Line number from 0, as the parser counts."""
    end: int
    begins: int
    """First line of the passage: that of an anchor element above the heading, if there is one."""
    title: str
    given: str | None
    links: tuple[str, ...]


def read_passages(path: Path) -> list[Passage]:
    """Return the passages of a Markdown file, in document order.

    Raises:
        ConfigError: The file cannot be read, is too large, or contains the same explicit anchor twice.
    """
    text = read_prose(path, "Markdown file", MAX_DOCUMENT_BYTES)
    refuse_unprintable(text, path, "a document")
    if text.count("\n") > MAX_LINES:
        where = f"{path}:{MAX_LINES + 1}:1"
        raise ConfigError("the document has too many lines", where=where, accepted=f"at most {MAX_LINES:,}")
    passages = list(passages_of(text))
    first: dict[str, int] = {}
    for passage in passages:
        for anchor in passage.anchors:
            if first.setdefault(anchor, passage.line) != passage.line:
                what = f"duplicate anchor '#{anchor}' (first in line {first[anchor]})"
                raise ConfigError(what, where=f"{path}:{passage.line}:1", accepted="each anchor once")
    return passages


def passages_of(text: str) -> Iterator[Passage]:
    """Yield the passages of a Markdown text, in document order."""
    text = re.sub(r"\r\n?", "\n", text)
    front = _FRONT_MATTER.match(text)
    if front:  # replaced by empty lines to preserve line numbers
        text = "\n" * front[0].count("\n") + text[front.end() :]
    lines = text.split("\n")
    headings = list(_headings(text))
    names = _named(headings)
    ends = _ends(headings, len(lines))
    for heading, anchors, end in zip(headings, names, ends, strict=True):
        if anchors:
            body = [_untitled(line) for line in lines[heading.line : heading.end]] + lines[heading.end : end]
            yield Passage(anchors, "\n".join(body).strip(), heading.line + 1)


def _headings(text: str) -> Iterator[_Heading]:
    """Yield the headings outside of quotes and lists."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark")
    tokens = _blocks(parser, text)
    for index, token in enumerate(tokens):
        if token.type != "heading_open" or token.level or token.map is None:
            continue
        content = tokens[index + 1].content
        content = content if len(content) <= _MAX_HEADING else ""
        before, begins = _links_before(tokens[max(0, index - 3) : index])
        given = _GIVEN.search(content)
        yield _Heading(
            level=int(token.tag[1:]),
            line=token.map[0],
            end=token.map[1],
            begins=token.map[0] if begins is None else begins,
            title=_heading_text(parser, content[: given.start()] if given else content),
            given=given[1] if given else None,
            links=(*before, *_LINK.findall(content)),
        )


def _blocks(parser: MarkdownIt, text: str) -> list[Token]:
    """Return the block tokens of a text. Inline parsing is disabled: it takes most of the time."""
    with parser.reset_rules():
        parser.disable("inline")
        return parser.parse(text)


def _links_before(tokens: list[Token]) -> tuple[tuple[str, ...], int | None]:
    """Return the anchors in the trailing anchor-only lines of a paragraph, and the first of those lines."""
    if [token.type for token in tokens] != ["paragraph_open", "inline", "paragraph_close"]:
        return (), None
    if tokens[0].map is None or tokens[0].level:
        return (), None
    names: list[str] = []
    begins = end = tokens[0].map[1]
    for line in reversed(tokens[1].content.split("\n")):
        if _LINK.sub("", line).strip():
            break
        names[:0] = _LINK.findall(line)
        begins -= 1
    return tuple(names), begins if begins < end else None


def _heading_text(parser: MarkdownIt, content: str) -> str:
    """Return the visible text of a heading."""
    (inline,) = parser.parseInline(content)
    seen = ("text", "code_inline", "image", "text_special")
    return "".join(token.content for token in inline.children or () if token.type in seen).strip()


def _named(headings: list[_Heading]) -> list[tuple[str, ...]]:
    """Return the anchors of each heading; empty for a heading without letters and digits."""
    # Explicit anchors are reserved first, so no generated one collides with a later explicit one.
    taken = {name for heading in headings for name in (heading.given, *heading.links) if name}
    next_number: dict[str, int] = {}
    names = []
    for heading in headings:
        own = heading.given
        if own is None:
            slug = re.sub(r"[^\w\- ]", "", heading.title.lower()).replace(" ", "-")
            own, number = slug, next_number.get(slug, 0)
            while own in taken:
                number += 1
                own = f"{slug}-{number}"
            next_number[slug] = number
            if own:
                taken.add(own)
        names.append(tuple(dict.fromkeys(name for name in (own, *heading.links) if name)))
    return names


def _ends(headings: list[_Heading], end: int) -> list[int]:
    """Return, for each heading, the line where the next one of the same or a higher level begins."""
    ends = [end] * len(headings)
    open_: list[int] = []
    for index, heading in enumerate(headings):
        while open_ and headings[open_[-1]].level >= heading.level:
            ends[open_.pop()] = heading.begins
        open_.append(index)
    return ends


def _untitled(line: str) -> str:
    """Return a line of a heading with its explicit anchors removed."""
    return _LINK.sub("", _GIVEN.sub("", line)).rstrip() if len(line) <= _MAX_HEADING else line

"""Importer for Markdown documents: list items become principles that refer to their passage.

If a heading has no list below it, the first sentence of each paragraph with must, should, always, never or a
similar word becomes a principle. A list item that begins in lower case is an incomplete sentence. It is
prefixed with the words before its list, if they end in a colon. Everything else is skipped and counted, with
its line number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from constitution.importers.reading import Reading
from constitution.importers.source import ForeignFile
from constitution.passages import Passage, read_passages
from core.errors import DataError

if TYPE_CHECKING:
    from markdown_it.token import Token

MAX_SIGNS = 50_000
"""Maximum number of brackets, asterisks and underscores. Each may open an inline element, and the parser
searches the rest of the text for its end."""
_SUFFIXES = (".md", ".markdown")
_FRONT_MATTER = re.compile(r"---[ \t]*\n.*?\n---[ \t]*(?:\n|\Z)", re.DOTALL)
_TASK = re.compile(r"\[[ xX]\]\s+")
_GIVEN_ANCHOR = re.compile(r"\{#[^\s{}]+\}$")
_RULE = re.compile(r"\b(must|should|shall|ought to|never|always|do not|don['’]t|may not)\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?]['\"”’)\]]*\s+(?=['\"“‘(\[]?[^\W_a-z])")
_CONTAINERS = ("list_item", "blockquote", "table")
_SKIPPED = {"fence": "a block of code", "code_block": "a block of code", "html_block": "a block of HTML"}
_SEEN = ("text", "code_inline", "image", "text_special")


class _Block(NamedTuple):
    """A list item or a paragraph."""

    line: int
    text: str
    """The visible text, with line breaks."""
    is_entry: bool
    """True for the first paragraph of a list item."""


@dataclass(slots=True)
class _Part:
    """A heading and the blocks up to the next heading."""

    title: str
    line: int
    """Line number of the heading; 0 for the part before the first heading."""
    blocks: list[_Block]


class Markdown:
    """A Markdown or prose document."""

    name = "markdown"
    summary = "a Markdown document: its list items, and sentences with must, should, always or never"
    takes_columns = False

    def recognises(self, file: ForeignFile) -> str | None:
        """Return the reason why a file is Markdown; None if it is not."""
        return f"its name ends in {file.suffix}" if file.suffix in _SUFFIXES else None

    def read(self, file: ForeignFile, reading: Reading) -> None:
        """Add the rules of the document to `reading`, each with the anchor of its passage."""
        passages = {passage.line: passage for passage in read_passages(file.path)}
        if sum(map(file.text.count, "[*_")) > MAX_SIGNS:
            accepted = f"at most {MAX_SIGNS:,} of [, * and _"
            what = "the document has too many markup characters"
            raise DataError(what, where=str(file.path), accepted=accepted)
        for part in _parts(file, reading):
            before = len(reading.principles)
            _take(part, passages.get(part.line), file, reading)
            if part.title and len(reading.principles) > before and part.title not in reading.sections:
                reading.sections.append(part.title)
        reading.document = file.path


def _take(part: _Part, passage: Passage | None, file: ForeignFile, reading: Reading) -> None:
    """Add the list items of a part as principles, or the rules in its prose if it has no list."""
    source = f"#{passage.anchors[0]}" if passage else None
    section = {"section": part.title} if part.title else {}
    has_list = any(block.is_entry for block in part.blocks)
    for block in part.blocks:
        place = file.at(block.line)
        if block.is_entry:
            reading.take(place, {"text": _one_line(block.text), **section}, source=source)
        elif has_list:
            reading.skip("prose beside a list", place)
        else:
            _take_rule(block, section, source, file, reading)


def _take_rule(
    block: _Block, section: dict[str, str], source: str | None, file: ForeignFile, reading: Reading
) -> None:
    rules = [(line, text) for line, text in _sentences(block) if _RULE.search(text) and text[-1:] != ":"]
    if not rules:
        reading.skip("a paragraph without must, should, always or never", file.at(block.line))
    for line, sentence in rules[:1]:
        reading.take(file.at(line), {"text": _one_line(sentence), **section}, source=source)
    for line, _ in rules[1:]:
        reading.skip("a further rule in the same paragraph", file.at(line))


def _sentences(block: _Block) -> Iterator[tuple[int, str]]:
    """Yield the sentences of a paragraph, each with its line number."""
    begin = 0
    ends = [match.end() for match in _SENTENCE_END.finditer(block.text)]
    for end in (*ends, len(block.text)):
        yield block.line + block.text.count("\n", 0, begin), block.text[begin:end].rstrip()
        begin = end


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _parts(file: ForeignFile, reading: Reading) -> list[_Part]:
    """Return the parts of a document. Elements that cannot contain a rule are skipped and counted."""
    from markdown_it import MarkdownIt

    text = file.text
    front = _FRONT_MATTER.match(text)
    if front:  # replaced by empty lines to preserve line numbers
        text = "\n" * front[0].count("\n") + text[front.end() :]
        reading.skip("the document's front matter", file.at(1))
    parser = MarkdownIt("commonmark").enable("table")
    walk = _Walk(file, reading)
    for token in parser.parse(text):
        walk.see(token)
    return walk.parts


class _Walk:
    """Walks the tokens of a document and collects its parts."""

    def __init__(self, file: ForeignFile, reading: Reading) -> None:
        self.parts = [_Part("", 0, [])]
        self._file, self._reading = file, reading
        self._last_text = ""
        """The last paragraph or list item."""
        self._introductions: list[str] = []
        """For each open list, the text before it if that ends in a colon, else the empty string."""
        self._around: list[str] = []
        """The open containers, the innermost last."""
        self._fresh_entry = False
        """True if a list item was just opened and has no content so far."""
        self._heading = False

    def see(self, token: Token) -> None:
        """Process the next token."""
        kind = token.type.removesuffix("_open").removesuffix("_close")
        if kind in _CONTAINERS:
            self._around = [*self._around, kind] if token.nesting > 0 else self._around[:-1]
            self._fresh_entry = kind == "list_item" and token.nesting > 0
            if kind == "table" and token.nesting > 0:
                self._skip("a table", token)
        elif kind in ("bullet_list", "ordered_list"):
            introduction = _one_line(self._last_text) if self._last_text.rstrip().endswith(":") else ""
            opened = [*self._introductions, introduction]
            self._introductions = opened if token.nesting > 0 else self._introductions[:-1]
        elif kind == "heading":
            self._heading, self._last_text = token.nesting > 0, ""
        elif kind in _SKIPPED:
            self._skip(_SKIPPED[kind], token)
        elif kind == "inline":
            self._inline(token)

    def _inline(self, token: Token) -> None:
        line, text = (token.map or [0])[0] + 1, _inline_text(token)
        if self._heading and not self._around:
            self.parts.append(_Part(_one_line(_GIVEN_ANCHOR.sub("", text.rstrip())), line, []))
        elif self._heading:
            self._skip("a heading within a list or quote", token)
        elif "table" in self._around:
            return  # the table is counted as a whole
        elif "blockquote" in self._around:
            self._skip("a quote", token)
        elif not self._around:
            self._last_text = text
            self.parts[-1].blocks.append(_Block(line, text, False))
        elif self._fresh_entry:
            self._entry(_Block(line, _TASK.sub("", text, count=1), True), token)
        else:
            self._skip("a later paragraph of a list item", token)

    def _entry(self, block: _Block, token: Token) -> None:
        """Add a list item, unless it only introduces others or is only a link.

        An item that begins in lower case is prefixed with the words that introduce its list.
        """
        self._fresh_entry = False
        if block.text[:1].islower() and self._introductions[-1]:
            block = block._replace(text=f"{self._introductions[-1]} {block.text}")
        self._last_text = block.text
        kinds = [child.type for child in token.children or ()]
        if block.text.rstrip().endswith(":"):
            self._skip("a list item that introduces others", token)
        elif kinds and kinds[0] == "link_open" and kinds.index("link_close") == len(kinds) - 1:
            self._skip("a list item that is only a link", token)
        else:
            self.parts[-1].blocks.append(block)

    def _skip(self, reason: str, token: Token) -> None:
        self._reading.skip(reason, self._file.at((token.map or [0])[0] + 1))


def _inline_text(inline: Token) -> str:
    """Return the visible text of an inline token."""
    breaks = dict.fromkeys(("softbreak", "hardbreak"), "\n")
    children = [child for child in inline.children or () if child.type in _SEEN or child.type in breaks]
    return "".join(breaks.get(child.type, child.content) for child in children)

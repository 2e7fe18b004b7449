"""Importer for Markdown documents: list items become principles that refer to their passage.

If a heading has no list below it, every sentence that states a rule by itself, with must or never or in the
present tense, becomes a principle (under_keys/prose.py). So does each row of a table with a column of rules.
A list item that begins in lower case is an incomplete sentence. It is prefixed with the words before its list
if they end in a colon.
An item that begins with a name, as `**local**: asks a neighbour`, is the rule of that name (named.py).
Below words or a heading such as `must not`, an item is made a sentence that forbids.
Everything else is skipped and counted, with its line number and its words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from constitution.importers.lines import MARK
from constitution.importers.named import NAMED, NamedRule, named_rules
from constitution.importers.reading import Reading
from constitution.importers.source import Cells, ForeignFile
from constitution.importers.tables import RuleTable, take_table
from constitution.importers.under_keys.directives import directive_of, introduced
from constitution.importers.under_keys.prose import take_prose
from constitution.passages import Passage, read_passages
from core.errors import DataError
from core.text.explain import yaml_line

if TYPE_CHECKING:
    from markdown_it.token import Token

MAX_SIGNS = 50_000
"""Maximum number of brackets, asterisks and underscores. Each may open an inline element, and the parser
searches the rest of the text for its end."""
_SUFFIXES = (".md", ".markdown")
_FRONT_MATTER = re.compile(r"---[ \t]*\n.*?\n---[ \t]*(?:\n|\Z)", re.DOTALL)
_TASK = re.compile(r"\[[ xX]\]\s+")
_GIVEN_ANCHOR = re.compile(r"\{#[^\s{}]+\}$")
_WORD = re.compile(r"[^\W\d_]{2,}")
_CONTAINERS = ("list_item", "blockquote", "table")
_SKIPPED = {"fence": "a block of code", "code_block": "a block of code", "html_block": "a block of HTML"}
_MARKS = ("strong", "em")
_SEEN = ("text", "code_inline", "image", "text_special")


class _Block(NamedTuple):
    """A list item or a paragraph."""

    line: int
    text: str
    """The visible text, with line breaks."""
    is_entry: bool
    """True for the first paragraph of a list item."""
    mark: str = ""
    """The beginning of the text that is in bold, in italics or set as code."""


@dataclass(slots=True)
class _Part:
    """A heading and the blocks up to the next heading."""

    title: str
    line: int
    """Line number of the heading; 0 for the part before the first heading."""
    blocks: list[_Block]
    tables: list[RuleTable] = field(default_factory=list)


class Markdown:
    """A Markdown or prose document."""

    name = "markdown"
    summary = "a Markdown document: its list items, rows of tables, and sentences with must or never"
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
        refers = False
        for part in _parts(file, reading):
            before = len(reading.principles)
            source = _source_of(part, passages.get(part.line))
            _take(part, source, file, reading)
            if len(reading.principles) > before:
                refers |= any(found.source for found in reading.principles[before:])
                own = (found.texts.get("section") for found in reading.principles[before:])
                reading.sections += [s for s in dict.fromkeys(own) if s and s not in reading.sections]
        if refers:
            reading.document = file.path


def _source_of(part: _Part, passage: Passage | None) -> str | None:
    """Return the anchor of a part's passage; None without a heading, or if it only lists its rules.

    Of such a passage a request would show all other rules, and nothing else beside the rule.
    """
    if passage is None:
        return None
    listed = (block.text for block in part.blocks if block.is_entry)
    own = _words(part.title) + sum(map(_words, listed))
    return f"#{passage.anchors[0]}" if _words(passage.text) > own else None


def _words(text: str) -> int:
    return len(_WORD.findall(text))


def _take(part: _Part, source: str | None, file: ForeignFile, reading: Reading) -> None:
    """Add the list items and tables of a part as principles, or the rules in its prose if it has no list."""
    section = {"section": part.title} if part.title else {}
    has_list = any(block.is_entry for block in part.blocks)
    named = {} if directive_of(part.title) else _named(part.blocks)
    for block in part.blocks:
        place = file.at(block.line)
        if block.line in named:
            rule = named[block.line]
            reading.note(NAMED, place)
            reading.take(place, {"text": rule.text, **section}, name=rule.name, source=source)
        elif block.is_entry:
            text = _one_line(block.text)
            if directive_of(part.title):
                text = introduced(part.title, text)
                reading.note(f"below the heading {yaml_line(part.title)}: made a sentence", place)
            reading.take(place, {"text": text, **section}, source=source)
        elif has_list:
            reading.skip("prose beside a list", place, block.text)
        else:
            take_prose(block.text, block.line, section, source, file, reading)
    for table in part.tables:
        take_table(table, section, file, reading)


def _named(blocks: Sequence[_Block]) -> dict[int, NamedRule]:
    """Return the list items that begin with a name, by their line."""
    entries = [block for block in blocks if block.is_entry]
    rules = named_rules([_one_line(b.text) for b in entries], [_one_line(b.mark) for b in entries])
    return {block.line: rule for block, rule in zip(entries, rules, strict=True) if rule is not None}


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
                self._table(token)
        elif kind == "tr" and token.nesting > 0 and self._around == ["table"]:
            self.parts[-1].tables[-1].rows.append(Cells((token.map or [0])[0] + 1, []))
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
        elif self._around == ["table"]:
            self.parts[-1].tables[-1].rows[-1].values.append(_one_line(text))
        elif "table" in self._around:
            return  # the table is counted as a whole
        elif "blockquote" in self._around:
            self._skip("a quote", token)
        elif not self._around and _marked_lines(text) > 1:
            self._glued(_Block(line, text, False))
        elif not self._around:
            self._last_text = text
            self.parts[-1].blocks.append(_Block(line, text, False))
        elif self._fresh_entry and _marked_lines(text):
            self._fresh_entry = False
            self._glued(_Block(line, text, True))
        elif self._fresh_entry:
            self._entry(_Block(line, _TASK.sub("", text, count=1), True, _mark_of(token)), token)
        else:
            self._skip("a later paragraph of a list item", token)

    def _table(self, token: Token) -> None:
        """Begin a table. One within a list or quote is skipped."""
        if self._around == ["table"]:
            self.parts[-1].tables.append(RuleTable((token.map or [0])[0] + 1))
        else:
            self._skip("a table", token)

    def _entry(self, block: _Block, token: Token) -> None:
        """Add a list item, unless it only introduces others or is only a link.

        An item that begins in lower case is prefixed with the words that introduce its list.
        """
        self._fresh_entry = False
        if block.text[:1].islower() and self._introductions[-1]:
            block = block._replace(text=introduced(self._introductions[-1], block.text))
        self._last_text = block.text
        kinds = [child.type for child in token.children or ()]
        if block.text.rstrip().endswith(":"):
            self._skip("a list item that introduces others", token)
        elif kinds and kinds[0] == "link_open" and kinds.index("link_close") == len(kinds) - 1:
            self._skip("a list item that is only a link", token)
        else:
            self.parts[-1].blocks.append(block)

    def _glued(self, block: _Block) -> None:
        """Add the items of a list whose marks Markdown does not see, such as one that is indented far."""
        introduction = self._introductions[-1] if self._introductions else ""
        for part in _split(block):
            if part.text.rstrip().endswith(":"):
                introduction, part = _one_line(part.text), part._replace(is_entry=False)
            elif part.text[:1].islower() and introduction:
                part = part._replace(text=introduced(introduction, part.text))
            self.parts[-1].blocks.append(part)
        self._last_text = ""
        self._reading.note(
            "several list marks within one paragraph or item: split at them", self._file.at(block.line)
        )

    def _skip(self, reason: str, token: Token) -> None:
        text = _inline_text(token) if token.type == "inline" else token.content
        self._reading.skip(reason, self._file.at((token.map or [0])[0] + 1), text)


def _marked_lines(text: str) -> int:
    return sum(MARK.match(line) is not None for line in text.split("\n"))


def _split(block: _Block) -> Iterator[_Block]:
    """Yield a block's list items and the lines that end in a colon, each with its line number."""
    found: list[_Block] = []
    for number, line in enumerate(block.text.split("\n"), start=block.line):
        mark = MARK.match(line)
        if mark:
            found.append(_Block(number, line[mark.end() :], True))
        elif not found or line.rstrip().endswith(":"):
            found.append(_Block(number, line, block.is_entry))
        else:
            found[-1] = found[-1]._replace(text=f"{found[-1].text}\n{line}")
    yield from found


def _mark_of(inline: Token) -> str:
    """Return the text in bold, in italics or as code that an inline token begins with; empty if none."""
    children = [child for child in inline.children or () if child.content or child.type.endswith("_open")]
    if children and _TASK.fullmatch(children[0].content):
        del children[0]
    if not children:
        return ""
    if children[0].type == "code_inline":
        return children[0].content
    kind, found = children[0].type.removesuffix("_open"), ""
    if kind not in _MARKS:
        return ""
    depth = 0
    for child in inline.children or ():
        depth += child.nesting if child.type.startswith(kind) else 0
        if child.type == f"{kind}_close" and not depth:
            break
        found += child.content if depth and child.type in _SEEN else ""
    return found


def _inline_text(inline: Token) -> str:
    """Return the visible text of an inline token."""
    breaks = dict.fromkeys(("softbreak", "hardbreak"), "\n")
    children = [child for child in inline.children or () if child.type in _SEEN or child.type in breaks]
    return "".join(breaks.get(child.type, child.content) for child in children)

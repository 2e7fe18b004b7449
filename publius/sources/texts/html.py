"""Texts of people that are HTML, as help desks export them: recognised, and read as text if asked for.

Only tags and entities that HTML has are read: `a < b`, `<name>` and code between backticks stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from html import unescape
from html.entities import html5

READ_AS_TEXT = "HTML was read as text"
_PARAGRAPHS = {"p", "blockquote", "pre", "ul", "ol", "table", "hr", *(f"h{size}" for size in range(1, 7))}
_LINES = {"br", "div", "li", "tr", "dt", "dd"}
_CELLS = {"td", "th"}
_WITHIN = {
    "a", "abbr", "b", "big", "body", "center", "cite", "code", "del", "em", "figure", "font", "head", "html",
    "i", "img", "ins", "kbd", "mark", "meta", "s", "small", "span", "strike", "strong", "sub", "sup", "tbody",
    "thead", "u", "wbr",
}  # fmt: skip
_HIDDEN = {"script", "style"}
_TAGS = _PARAGRAPHS | _LINES | _CELLS | _WITHIN | _HIDDEN
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]++`", re.DOTALL)
"""Code in Markdown, whose HTML is meant as it is."""
_TAG = re.compile(
    r"<!--(?:[^<-]|-(?!->)|<(?!!--))*+-->"
    r"|</?([A-Za-z][A-Za-z0-9]*+)(?:[\s/](?:\"[^\"]*+\"|'[^']*+'|[^<>\"'])*+)?>"
)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|([A-Za-z][A-Za-z0-9]{1,31}));")
_SOFT = "\v"
"""Where a line ends, however many elements end there."""
_SHOWN = 3
"""Different tags and entities that a warning names."""


def html_in(text: str) -> list[str]:
    """Return the tags and entities of HTML in a text outside of code, each once, as `<p>` and `&amp;`."""
    if "<" not in text and "&" not in text:
        return []
    found: dict[str, None] = {}
    for part in _CODE.split(text):
        found |= {f"<{tag[1].lower()}>": None for tag in _TAG.finditer(part) if _is_known(tag)}
        found |= {entity[0]: None for entity in _ENTITY.finditer(part) if _is_entity(entity)}
    return list(found)


def text_of_html(text: str) -> str:
    """Return the text that a browser shows: paragraphs and `<br>` as line breaks, entities as characters.

    A text without HTML, and code between backticks, is returned as it is.
    """
    if not html_in(text):
        return text
    parts: list[str] = []
    last = 0
    is_laid_out = any(_is_known(tag) and _name(tag) in _PARAGRAPHS | _LINES for tag in _TAG.finditer(text))
    for code in _CODE.finditer(text):
        parts += [_plain(text[last : code.start()], is_laid_out=is_laid_out), code[0]]
        last = code.end()
    parts.append(_plain(text[last:], is_laid_out=is_laid_out))
    shown = "".join(parts)
    if not is_laid_out:
        return shown
    shown = re.sub(rf" *{_SOFT}[ {_SOFT}]*", "\n", shown)
    return re.sub(r"\n{3,}", "\n\n", re.sub(r" +\n", "\n", shown)).strip()


@dataclass
class HtmlSeen:
    """How many of some texts have HTML, and which tags."""

    texts: int = 0
    found: int = 0
    marks: dict[str, None] | None = None

    def add(self, texts: Iterable[str]) -> None:
        """Count one case, whose texts belong together."""
        self.texts += 1
        marks = [mark for text in texts for mark in html_in(text)]
        self.found += bool(marks)
        self.marks = (self.marks or {}) | dict.fromkeys(marks)

    def in_words(self, what: str) -> str:
        """Return how many cases have HTML, as in `2 of 20 replies have HTML (<p>, <br>)`; empty if none."""
        if not self.found:
            return ""
        marks = list(self.marks or ())
        more = ", ..." if len(marks) > _SHOWN else ""
        has = "has" if self.found == 1 else "have"
        return f"{self.found:,} of {self.texts:,} {what} {has} HTML ({', '.join(marks[:_SHOWN])}{more})"


def _name(tag: re.Match[str]) -> str:
    return (tag[1] or "").lower()


def _is_known(tag: re.Match[str]) -> bool:
    return _name(tag) in _TAGS


def _is_entity(entity: re.Match[str]) -> bool:
    return entity[1] is None or f"{entity[1]};" in html5


def _plain(html: str, *, is_laid_out: bool) -> str:
    """Return a part of a text without its tags. Where tags lay it out, its own line breaks are spaces."""
    parts: list[str] = []
    last, hidden = 0, ""
    ends = {name: html.lower().rfind(f"</{name}>") for name in _HIDDEN}
    for tag in _TAG.finditer(html):
        name, is_end = _name(tag), tag[0].startswith("</")
        if name and name not in _TAGS:
            continue  # stays in the text
        if not hidden:
            parts += [_shown(html[last : tag.start()], is_laid_out=is_laid_out), _break(name, is_end=is_end)]
        last = tag.end()
        if hidden == name and is_end:
            hidden = ""
        elif not hidden and name in _HIDDEN and not is_end and ends[name] >= last:
            hidden = name
    if not hidden:
        parts.append(_shown(html[last:], is_laid_out=is_laid_out))
    text = "".join(parts)
    return re.sub(rf"([\n{_SOFT}]) +", r"\1", text) if is_laid_out else text


def _break(name: str, *, is_end: bool) -> str:
    if name in _PARAGRAPHS:
        return "\n\n"
    if name in _CELLS:
        return " " if is_end else ""
    if name == "br":
        return "\n"
    start = "- " if name == "li" and not is_end else ""
    return f"{_SOFT}{start}" if name in _LINES else ""


def _shown(text: str, *, is_laid_out: bool) -> str:
    if is_laid_out:
        text = re.sub(r"\s+", " ", text)
    return _ENTITY.sub(_character, text)


def _character(entity: re.Match[str]) -> str:
    """Return the character that an entity stands for. A space that keeps words together is a space."""
    return unescape(entity[0]).replace("\xa0", " ") if _is_entity(entity) else entity[0]

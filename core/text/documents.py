"""Markdown documents such as reports and cards: their templates, and escaping of untrusted text.

No text of a model, a data set or a user may act as markup. Templates of prompts for models are in
`prompts/environment.py`.
"""

from __future__ import annotations

import re
import unicodedata

from jinja2 import PackageLoader, StrictUndefined, Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

_MARKUP = re.compile(r"[\\`*\[\]<>|~&]|(?<!\w)_|_(?!\w)|^[#+=-]")
_SHORTEST_FENCE = 3
_CONTROLS = ("Cc", "Cs")
"""Unicode categories of control characters and surrogates."""


def document_template(package: str, name: str) -> Template:
    """Return the template of a document, `templates/NAME` in a package.

    Values are inserted without escaping: the caller must escape text of models and data.
    """
    environment = ImmutableSandboxedEnvironment(
        loader=PackageLoader(package, "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    return environment.get_template(name)


def escaped(text: str) -> str:
    """Escape a text for a sentence or a table cell: one line without markup."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.split()))


def without_bars(text: str) -> str:
    """Escape a trusted name for a heading or a table cell: one line that cannot end the cell."""
    return " ".join(text.split()).replace("|", "\\|").replace("`", "'")


def code_span(text: str) -> str:
    """Return a name as a code span for a sentence."""
    return _span(" ".join(text.split()).replace("`", "'"))


def code_cell(text: str, max_characters: int | None = None) -> str:
    """Return a name as a code span for a table cell, with vertical bars escaped.

    Args:
        text: the name.
        max_characters: maximum length; a longer name is cut off. None for no limit.
    """
    shown = without_bars(text)
    if max_characters is not None and len(shown) > max_characters:
        shown = shown[:max_characters].rstrip("\\") + "..."
    return _span(shown)


def fenced(text: str, language: str = "text", max_characters: int | None = None) -> str:
    """Return a text as a code block that the text cannot close, without control characters.

    Args:
        text: the text, with its line breaks.
        language: language tag of the block.
        max_characters: maximum length; a longer text is cut off, with a note of how much is missing. None
            for no limit.
    """
    shown = _printable(text.replace("\r\n", "\n"))
    if max_characters is not None and len(shown) > max_characters:
        shown = f"{shown[:max_characters]}\n[... {len(shown) - max_characters:,} more characters]"
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * max(_SHORTEST_FENCE, longest + 1)
    return f"{fence}{language}\n{shown}\n{fence}"


def _span(line: str) -> str:
    return f"`{_printable(line) or ' '}`"


def _printable(text: str) -> str:
    """Replace control characters other than line breaks and tabs by U+FFFD."""
    return "".join(
        character if character in "\n\t" or unicodedata.category(character) not in _CONTROLS else "\ufffd"
        for character in text
    )

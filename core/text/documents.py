"""Documents for people, such as reports and cards: their templates, and texts of others as Markdown.

Nothing in a text of a model, a data set or a user may act as markup. What models read is in
`prompts/environment.py`.
"""

from __future__ import annotations

import re
import unicodedata

from jinja2 import PackageLoader, StrictUndefined, Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

_MARKUP = re.compile(r"[\\`*\[\]<>|~&]|(?<!\w)_|_(?!\w)|^[#+=-]")
_SHORTEST_FENCE = 3
_UNSEEN = ("Cc", "Cs")
"""Unicode categories of control characters and of halves of surrogate pairs."""


def document_template(room: str, name: str) -> Template:
    """Return the template of a document, `templates/NAME` in a room.

    What is filled in stands there as it is: whoever fills it in escapes the text of models and data.
    """
    environment = ImmutableSandboxedEnvironment(
        loader=PackageLoader(room, "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    return environment.get_template(name)


def escaped(text: str) -> str:
    """Return a text for a sentence or a table's cell: one line in which nothing is markup."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.split()))


def without_bars(text: str) -> str:
    """Return our own name of something for a heading or a table's cell: one line that ends no cell."""
    return " ".join(text.split()).replace("|", "\\|").replace("`", "'")


def code_span(text: str) -> str:
    """Return a name as a code span in a sentence."""
    return _span(" ".join(text.split()).replace("`", "'"))


def code_cell(text: str, most: int | None = None) -> str:
    """Return a name as a code span in a table's cell, where a bar needs a backslash.

    Args:
        text: the name.
        most: more characters than that are cut; None for any number.
    """
    shown = without_bars(text)
    if most is not None and len(shown) > most:
        shown = shown[:most].rstrip("\\") + "..."
    return _span(shown)


def fenced(text: str, language: str = "text", most: int | None = None) -> str:
    """Return a text as a code block that nothing in it can close, without control characters.

    Args:
        text: the text, line breaks and all.
        language: what the block is marked as.
        most: more characters than that are cut, and the block says how many; None for any number.
    """
    shown = _seen(text.replace("\r\n", "\n"))
    if most is not None and len(shown) > most:
        shown = f"{shown[:most]}\n[... {len(shown) - most:,} more characters]"
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * max(_SHORTEST_FENCE, longest + 1)
    return f"{fence}{language}\n{shown}\n{fence}"


def _span(line: str) -> str:
    return f"`{_seen(line) or ' '}`"


def _seen(text: str) -> str:
    """Return the text with U+FFFD in place of control characters other than line breaks and tabs."""
    return "".join(
        character if character in "\n\t" or unicodedata.category(character) not in _UNSEEN else "\ufffd"
        for character in text
    )

"""The pages of the site: their order, and their text with the parts that are made from the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from docs_site.notebooks import notebook_page

DOCS = Path(__file__).resolve().parents[2]
HOME = "index"
_TOCTREE = re.compile(r"^```\{toctree\}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARKER = re.compile(r"^<!-- site: (\S+)(?: (\S+))? -->$", re.MULTILINE)


@dataclass(frozen=True)
class Chapter:
    """A part of the navigation."""

    title: str
    pages: tuple[str, ...]
    """Paths below docs/ without `.md`."""


def chapters() -> list[Chapter]:
    """Return the navigation, as the hidden lists of the home page give it."""
    text = (DOCS / f"{HOME}.md").read_text(encoding="utf-8")
    return [_chapter(found[1]) for found in _TOCTREE.finditer(text)]


def _chapter(body: str) -> Chapter:
    caption = re.search(r"^:caption: (.+)$", body, re.MULTILINE)
    lines = [line for line in body.splitlines() if line and not line.startswith(":")]
    return Chapter(caption[1] if caption else "", tuple(lines))


def page_names() -> Iterator[str]:
    """Yield every page of the navigation, the home page first."""
    yield HOME
    for chapter in chapters():
        yield from chapter.pages


def generated() -> list[str]:
    """Return the pages that have a part made from the code or from a notebook."""
    return [
        name for name in page_names() if _MARKER.search((DOCS / f"{name}.md").read_text(encoding="utf-8"))
    ]


def page_text(name: str) -> str:
    """Return the Markdown of a page with the parts that are made from the code."""
    return expanded((DOCS / f"{name}.md").read_text(encoding="utf-8"), name)


def expanded(text: str, name: str) -> str:
    """Replace each `<!-- site: PART -->` by what PART stands for."""
    return _MARKER.sub(lambda found: _part(found[1], (DOCS / name).parent / (found[2] or "")), text)


def _part(part: str, path: Path) -> str:
    # Each is imported where it is needed: pages without generated parts need none of them.
    if part == "command-line":
        from docs_site.command_line import command_line_reference

        return command_line_reference()
    if part == "python":
        from docs_site.python_api import python_reference

        return python_reference()
    if part == "notebook":
        return notebook_page(path)
    raise ValueError(f"{path}: no part of the site is called {part!r}")


def title_of(text: str) -> str:
    """Return the text of the first heading."""
    found = re.search(r"^# (.+)$", text, re.MULTILINE)
    assert found, "a page begins with its title"
    return found[1].replace("`", "")

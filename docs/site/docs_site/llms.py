"""`llms.txt`, `llms-full.txt` and the Markdown of each page, in the form of the llms.txt proposal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from docs_site.pages import HOME, Chapter, chapters, page_names, page_text, title_of

_HIDDEN = re.compile(r"^```\{toctree\}\n.*?^```\n?", re.MULTILINE | re.DOTALL)
_PAGE_LINK = re.compile(r"\]\(([\w./-]+)\.md(?=[)#])")
_OPTIONAL = "Optional"
"""The section whose pages may be skipped, by the proposal."""
_SUMMARY = 200
"""Most characters of a page's summary."""


def write_texts(folder: Path) -> None:
    """Write all texts for language models into the folder of a built site."""
    texts = {name: _markdown(name) for name in page_names()}
    for name, text in texts.items():
        (folder / f"{name}.html.md").write_text(text, encoding="utf-8")
    (folder / "llms.txt").write_text("\n".join(_index(texts)) + "\n", encoding="utf-8")
    (folder / "llms-full.txt").write_text("\n\n".join(texts.values()), encoding="utf-8")


def _markdown(name: str) -> str:
    """Return a page without its navigation; its links lead to the Markdown of other pages."""
    text = _HIDDEN.sub("", page_text(name)).strip() + "\n"
    return _PAGE_LINK.sub(r"](\1.html.md", text)


def _index(texts: dict[str, str]) -> Iterator[str]:
    yield f"# {title_of(texts[HOME])}\n"
    yield f"> {summary_of(texts[HOME], None)}\n"
    yield "Each page is also at its address with `.md` behind it; `llms-full.txt` has all of them."
    for chapter in _required_first():
        yield f"\n## {chapter.title}\n"
        for name in chapter.pages:
            yield f"- [{title_of(texts[name])}]({name}.html.md): {summary_of(texts[name])}"


def _required_first() -> list[Chapter]:
    """Return the chapters; the last one, on the project itself, has the name for what may be skipped."""
    *required, last = chapters()
    return [*required, Chapter(_OPTIONAL, last.pages)]


def summary_of(text: str, limit: int | None = _SUMMARY) -> str:
    """Return the first sentence of prose of a page, shortened at a word."""
    prose = (part for part in re.split(r"\n\s*\n", text) if re.match(r"[A-Za-z*`\[]", part))
    paragraph = " ".join(next(prose, "").split())
    plain = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", paragraph)
    sentence = plain if limit is None else re.split(r"(?<=[.?])\s", plain)[0].rstrip(":")
    if limit is None or len(sentence) <= limit:
        return sentence
    return sentence[:limit].rsplit(" ", 1)[0] + " ..."

"""The fenced blocks of a page: what they say, and what the page says that Publius says of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"^(?:#|<!--) ([\w/-]+\.\w+)")
EXPECTED = "# => "


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    language: str
    text: str
    line: int
    """The line of the page on which its text begins."""

    @cached_property
    def name(self) -> str | None:
        """The file that its first line names."""
        found = _NAME.match(self.text)
        return found[1] if found else None

    @cached_property
    def expected(self) -> list[str]:
        """What is said of it, one entry for each problem or finding."""
        lines = self.text.splitlines()
        return [line.removeprefix(EXPECTED) for line in lines if line.startswith(EXPECTED)]

    def says(self, first_line: str) -> bool:
        """Whether it begins with this comment."""
        return self.text.startswith(f"# {first_line}\n")


def blocks_of(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page that name a language, in order."""
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        yield Block(found[1], found[2], text.count("\n", 0, found.start(2)) + 1)

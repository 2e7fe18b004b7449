"""Pages that a reader follows from beginning to end: files are written and commands run, in order.

Blocks of the languages of files (`yaml`, `csv`, `jsonl`) are written under the name in their first line or,
where a format has no comments, in the last code before them. Blocks of `sh` are run. Commands that a page
only mentions are indented instead: for these, `test_pages.py` asks whether they and their options exist.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.docs.blocks import Block, blocks_of
from tests.publius.invoking import here

_FILES = ("yaml", "csv", "jsonl")
_NAMED = re.compile(r"`([\w/-]+\.\w+)`[^`]*\Z")
_WITHOUT_MODEL = ("init", "check", "diff", "runs")
"""Commands whose output is the same on every machine."""


@dataclass(frozen=True)
class Done:
    """A command that was run, and what it printed."""

    command: str
    code: int
    printed: str


def walk(page: Path, changed: Callable[[str], None] = lambda command: None) -> Iterator[Done]:
    """Write the files and run the commands of a page in the current folder.

    Args:
        page: the page.
        changed: called before each command, to make what it takes smaller.
    """
    text = page.read_text(encoding="utf-8")
    last: list[Done] = []
    for block in blocks_of(page):
        if block.language in _FILES:
            path = Path(block.name or _named_before(text, block))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "sh":
            last = []
            for command in commands_of(block):
                changed(command)
                last.append(_run(command))
                yield last[-1]
        elif block.language == "text" and all(_is_exact(done) for done in last):
            printed = [line.strip() for done in last for line in done.printed.splitlines()]
            expected = [line.strip() for line in block.text.splitlines() if line.strip() not in ("", "...")]
            assert [line for line in expected if line not in printed] == [], (page.name, last)


def commands_of(block: Block) -> list[str]:
    """Return the commands of a block that are Publius's own, less comments."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [re.split(r"\s{2,}#", line)[0] for line in lines if line.startswith("publius ")]


def _named_before(text: str, block: Block) -> str:
    before = "\n".join(text.splitlines()[: block.line - 2])
    found = _NAMED.search(before)
    assert found, f"line {block.line}: the sentence before it names no file"
    return found[1]


def _is_exact(done: Done) -> bool:
    return done.command.split()[1] in _WITHOUT_MODEL


def _run(command: str) -> Done:
    arguments = [part for word in shlex.split(command)[1:] for part in _paths(word)]
    done = here(*arguments)
    return Done(command, done.returncode, done.stdout + done.stderr)


def _paths(word: str) -> list[str]:
    """Return the paths that a shell would put in place of a word with a star."""
    found = sorted(map(str, Path().glob(word))) if "*" in word else []
    return found or [word]

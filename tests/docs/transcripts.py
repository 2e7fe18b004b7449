"""Commands in the documentation, with what they are said to print."""

from __future__ import annotations

from collections.abc import Iterator


def transcripts(page: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each command after `$`, with the lines below it that belong to the same block."""
    lines = iter(page.splitlines())
    held: list[str] = []
    while (line := held.pop() if held else next(lines, None)) is not None:
        if line.startswith("    $ "):
            block = []
            for text in lines:
                if text.startswith("    $ ") or (text and not text.startswith("    ")):
                    held = [text]
                    break
                block.append(text)
            yield line.removeprefix("    $ "), [text.strip() for text in block if text.strip()]

"""Write an imported constitution as a readable YAML file: comments, then the full form in block style."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from constitution.importers.reading import Reading
from core.text.yaml_writing import yaml_text

_WIDTH = 100
_USES = ("critique", "revision", "comparison")
_SCHEMA = "constitution.schema.json"


def constitution_file(
    to: Path, name: str, reading: Reading, entries: Sequence[Mapping[str, Any]], comments: Iterable[str]
) -> str:
    """Return the text of a constitution file.

    Args:
        to: Path of the file. The path of the document is written relative to it.
        name: Name of the constitution.
        reading: The import, for its sections, reasons and document.
        entries: The principles in full form.
        comments: Paragraphs for the comment at the top.
    """
    head: dict[str, Any] = {"name": name}
    if any(entry.get("text") == entry.get(use) for entry in entries for use in _USES):
        # The text of such a principle was taken from its request, so the repetition is intended.
        head["lint_ignore"] = ["L208"]
    if reading.sections:
        head["sections"] = reading.sections
    if reading.passages:
        head["passages"] = reading.passages
    if reading.document:
        head["document"] = os.path.relpath(reading.document, to.parent)
    schema = (to.parent / _SCHEMA).is_file()
    lines = [f"# yaml-language-server: $schema=./{_SCHEMA}", ""] if schema else []
    lines += [line for comment in comments for line in _comment(comment)]
    blocks = "\n".join(textwrap.indent(yaml_text([dict(entry)], _WIDTH - 2), "  ") for entry in entries)
    return "\n".join([*lines, "", yaml_text(head, _WIDTH - 2), f"principles:\n{blocks}"])


def _comment(text: str) -> list[str]:
    """Return a paragraph as comment lines. Line breaks in the text cannot end the comment."""
    words = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return textwrap.wrap(words, _WIDTH, initial_indent="# ", subsequent_indent="#   ", break_on_hyphens=False)

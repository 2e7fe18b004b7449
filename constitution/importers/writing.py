"""An imported constitution as a file that people read: comments, then the full form in block style."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from constitution.importers.reading import Reading

_WIDTH = 100
_SCHEMA = "constitution.schema.json"
_LOOKS_LIKE_A_NUMBER = re.compile(r"[-+.]?[0-9.][\w.+-]*")
_BYTE_ORDER_MARK = "\ufeff"


def constitution_file(
    to: Path, name: str, reading: Reading, entries: Sequence[Mapping[str, Any]], comments: Iterable[str]
) -> str:
    """Return the text of a constitution file.

    Args:
        to: Where it will stand; the document is named relative to it.
        name: The constitution's name.
        reading: The sections and the document.
        entries: The principles in full form.
        comments: What stands above, a paragraph each.
    """
    head: dict[str, Any] = {"name": name}
    if reading.sections:
        head["sections"] = reading.sections
    if reading.document:
        head["document"] = os.path.relpath(reading.document, to.parent)
    schema = (to.parent / _SCHEMA).is_file()
    lines = [f"# yaml-language-server: $schema=./{_SCHEMA}", ""] if schema else []
    lines += [line for comment in comments for line in _comment(comment)]
    blocks = "\n".join(textwrap.indent(_dumped([dict(entry)]), "  ") for entry in entries)
    return "\n".join([*lines, "", _dumped(head), f"principles:\n{blocks}"])


def _comment(text: str) -> list[str]:
    """Return a paragraph as comment lines; whatever stands in it cannot end the comment."""
    words = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return textwrap.wrap(words, _WIDTH, initial_indent="# ", subsequent_indent="#   ", break_on_hyphens=False)


def _dumped(value: object) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH - 2)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and quotes what our reader would take for a number."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent lists below their key, as the presets do."""
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None
    if _BYTE_ORDER_MARK in text or _LOOKS_LIKE_A_NUMBER.fullmatch(text):
        style = '"'
    elif "\n" in text:
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)

"""Lists and mappings written as text in a cell: as JSON, or as Python or numpy print them."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

_BETWEEN_ROWS = re.compile(r"\}\s*\n\s*\{")
"""numpy separates the elements of an array by a line end alone; inside a quoted text it would be escaped."""
_LARGEST = 2_000_000
"""Limit of a Python literal, in characters: `ast` needs about a hundred times the memory of the text."""


def parsed_literal(text: str) -> Any:
    """Return the list or mapping that a text spells out; any other text is returned unchanged."""
    start = text.lstrip()[:1]
    if start not in ("[", "{"):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if len(text) > _LARGEST:
        return text
    for spelled in (text, _BETWEEN_ROWS.sub("}, {", text)):
        try:
            found = ast.literal_eval(spelled.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
        if isinstance(found, list | dict):
            return found
    return text

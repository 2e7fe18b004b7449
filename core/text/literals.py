"""Values written as text in a cell: numbers, and lists and mappings as JSON, Python or numpy print them."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

_DECIMAL_COMMA = re.compile(r"[+-]?(?:\d+,(?:\d{1,2}|\d{4,})|(?:0|\d{4,}),\d+|\d{1,3}(?:\.\d{3})+,\d+)")
"""A comma before one, two or more than three digits is decimal, and so is one after a zero, after four digits
or after points between thousands: `2,5`, `0,125`, `1.234,50`."""
_PERHAPS_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
"""A number that may be a thousand or one, as `1,000`; it is read as neither."""
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


def has_decimal_comma(value: object) -> bool:
    """Return whether a cell is text with a number whose comma is a decimal one."""
    return isinstance(value, str) and "," in value and bool(_DECIMAL_COMMA.fullmatch(value.strip()))


def may_be_thousands(value: object) -> bool:
    """Return whether a cell is text with a comma that may stand before thousands or before decimals."""
    return isinstance(value, str) and bool(_PERHAPS_THOUSANDS.fullmatch(value.strip()))


def float_of(text: str) -> float:
    """Return the number that a text is, also with a decimal comma. Raises ValueError if it is none."""
    if has_decimal_comma(text):
        text = text.replace(".", "").replace(",", ".")
    return float(text)

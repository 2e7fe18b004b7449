"""Text that cannot drive a terminal: without control characters, direction overrides and surrogates."""

from __future__ import annotations

import re

_CONTROLS = (*range(0x20), *range(0x7F, 0xA0), *range(0xD800, 0xE000))
"""C0 and C1 control characters, which begin escape sequences, and surrogates, which no encoding has."""
_DIRECTIONS = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x2070))
"""Marks, embeddings, overrides and isolates, which let text show in another order than it is stored."""
_BREAKS = (0x2028, 0x2029)

_UNPRINTABLE = {code: None for code in (*_CONTROLS, *_DIRECTIONS, *_BREAKS) if chr(code) not in "\n\t"}
_ESCAPED = re.compile(f"[{''.join(re.escape(chr(code)) for code in _UNPRINTABLE if code > 0x1F)}]")


def inert(text: str) -> str:
    """Return a text without the characters that a terminal obeys; line breaks and tabs stay."""
    return text.translate(_UNPRINTABLE)


def inert_json(text: str) -> str:
    r"""Return JSON with those characters as escapes such as `\u202e`, so nothing is lost for a program.

    Args:
        text: valid JSON; its own control characters are escaped already.
    """
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)

"""Characters that nobody sees, removed from texts that a judge reads.

Zero-width characters, tag characters and changes of direction let a text say one thing to a reader and
another to a model: they hide words, break them, or keep a control token from being recognised. Where they
have a use, they stay: joiners between letters of scripts that need them and in emoji, variation selectors
behind a symbol, tags in flags, marks of direction in texts of scripts that run from right to left.

The set is Unicode's `Default_Ignorable_Code_Point` (DerivedCoreProperties, Unicode 16) and the controls of
the Latin-1 block. ASCII's own stay: small models write them now and then, and recorded requests have them.
"""

from __future__ import annotations

import re
import unicodedata

_IGNORABLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_CONTROLS = "\x80-\x84\x86-\x9f"
_FLAG = "\U0001f3f4[\U000e0020-\U000e007e]{1,16}\U000e007f"
_UNSEEN = re.compile(f"(?P<flag>{_FLAG})|[{_IGNORABLE}{_CONTROLS}]")
_LINE_BREAKS = re.compile("[\x85\u2028\u2029]")
_JOINERS = "\u200c\u200d"
_DIRECTIONS = "\u061c\u200e\u200f\u2066\u2067\u2068\u2069"
_RIGHT_TO_LEFT = ("R", "AL")


def without_invisible(text: str) -> str:
    """Return a text without characters that are not seen; line feeds replace Unicode's other line breaks.

    A text without such characters, and so every text in ASCII, is returned as it is.
    """
    if text.isascii():
        return text
    text = _LINE_BREAKS.sub("\n", text)
    if not _UNSEEN.search(text):
        return text
    is_right_to_left = any(unicodedata.bidirectional(character) in _RIGHT_TO_LEFT for character in text)

    def kept(found: re.Match[str]) -> str:
        if found["flag"]:
            return found[0]
        before, after = text[max(0, found.start() - 1) : found.start()], text[found.end() : found.end() + 1]
        return found[0] if _has_use(found[0], before, after, is_right_to_left) else ""

    # A character may lose its use with the one beside it.
    while (shorter := _UNSEEN.sub(kept, text)) != text:
        text = shorter
    return text


def _has_use(character: str, before: str, after: str, is_right_to_left: bool) -> bool:
    """Return True if a character that is not seen changes what is seen around it."""
    if character in _JOINERS:
        return _is_joined(before) and _is_joined(after)
    if "\ufe00" <= character <= "\ufe0f":
        return bool(before) and unicodedata.category(before) in ("So", "Sm", "Sk", "Lo", "Nd", "Po")
    return is_right_to_left and character in _DIRECTIONS


def _is_joined(character: str) -> bool:
    """Return True for letters and marks of scripts with joined forms, and for emoji with their modifiers."""
    if not character or ord(character) < 0x0590:
        return False
    return unicodedata.category(character) in ("Lo", "Mn", "Mc", "So", "Sk") or character == "\ufe0f"

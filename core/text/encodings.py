"""Recognise text that editors and spreadsheet programs save in UTF-16 or Windows-1252 instead of UTF-8."""

from __future__ import annotations

import codecs
import re
from functools import cache
from pathlib import Path
from typing import IO

from core.notices import note

WINDOWS_1252 = "cp1252"
SAVED_AS_UTF8 = "text saved as UTF-8 (in an editor: Save as, encoding UTF-8)"
"""What is accepted in place of text in another encoding."""
_WIDE_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks; UTF-32's begins with that of UTF-16."""
_CHUNK = 1 << 20
_SURROGATES = "\udc80-\udcff"
_BYTE = re.compile(f"[{_SURROGATES}]")
_CHARACTER = re.compile(f"[^\0-\x7f{_SURROGATES}]")
_UNDEFINED = re.compile("[\udc81\udc8d\udc8f\udc90\udc9d]")
"""Bytes that Windows-1252 does not define, as `surrogateescape` decodes them."""


def wide_encoding(start: bytes) -> str | None:
    """Return `utf-16` or `utf-32` if a file begins with its byte order mark, else None."""
    return next((name for mark, name in _WIDE_MARKS if start.startswith(mark)), None)


def is_windows_1252(file: IO[bytes]) -> bool:
    """Return True if a file is not UTF-8 but can be read as Windows-1252; the file is then at its start.

    A file that has any character of several bytes in UTF-8 is UTF-8 with damaged places, not Windows-1252.
    The file is read in chunks of 1 MiB, and never held as a whole.
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
    found = False
    file.seek(0)
    while True:
        chunk = file.read(_CHUNK)
        text = decoder.decode(chunk, final=not chunk)
        if not text.isascii():
            if _CHARACTER.search(text) or _UNDEFINED.search(text):
                found = False
                break
            found = found or _BYTE.search(text) is not None
        if not chunk:
            break
    file.seek(0)
    return found


@cache
def note_windows_1252(path: Path) -> None:
    """Say once for each file that it is read as Windows-1252."""
    note(f"{path}: read as Windows-1252, since it is not UTF-8; if letters look wrong, save it as UTF-8")

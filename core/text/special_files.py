"""Refusal of devices and pipes, which can block for ever, and of documents whose text is not read."""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

from core.errors import ConfigError, DataError

_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


_SHEET = "the sheet saved as CSV UTF-8"
_WEB_PAGE = (b"<!doctype html", b"<html")
_ZIPPED = (
    ("word/", "a Word document", False),
    ("xl/", "an Excel workbook", True),
    ("ppt/", "a PowerPoint presentation", False),
    ("META-INF/manifest.xml", "an OpenDocument text", False),
)
"""Entries of a ZIP archive, the document that has one, and whether it is a sheet."""


def require_regular(path: Path) -> None:
    """Refuse a path that is a device, a named pipe or a socket. It need not exist.

    Raises:
        ConfigError: the path is one of these.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return  # whoever opens the path reports this
    for is_kind, name in _KINDS:
        if is_kind(mode):
            raise ConfigError(
                f"this is {name}, not a file",
                where=str(path),
                accepted="a file; write the data to one first (cat ... > FILE)",
            )


def refuse_documents(path: Path, accepted: str) -> None:
    """Refuse a document of an office program, a PDF or a web page. The file must exist.

    Args:
        path: the file.
        accepted: what to give instead of a text document, such as "its text saved as .txt".

    Raises:
        DataError: the file is one of these.
    """
    try:
        with path.open("rb") as file:
            start = file.read(256)
    except OSError:
        return  # whoever reads the path reports this
    found = _document(path, start)
    if found:
        what, is_sheet = found
        raise DataError(f"this file is {what}", where=str(path), accepted=_SHEET if is_sheet else accepted)


def _document(path: Path, start: bytes) -> tuple[str, bool] | None:
    """Return what a file is, and whether it is a sheet; None if it is none of the documents that we know."""
    if start.startswith(b"%PDF-"):
        return "a PDF", False
    if start.startswith(b"{\\rtf"):
        return "a document in Rich Text Format", False
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_WEB_PAGE):
        return "a web page", False
    if start.startswith(b"\xd0\xcf\x11\xe0"):
        is_text = path.suffix.lower() == ".doc"
        return ("a Word document", False) if is_text else ("an Excel workbook", True)
    return _zipped_document(path) if start.startswith(b"PK\x03\x04") else None


def _zipped_document(path: Path) -> tuple[str, bool] | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if "mimetype" in names and b"spreadsheet" in archive.read("mimetype")[:100]:
                return "an OpenDocument sheet", True
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError):
        return None
    kinds = ((what, is_sheet) for entry, what, is_sheet in _ZIPPED if any(n.startswith(entry) for n in names))
    return next(kinds, None)

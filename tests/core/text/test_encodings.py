"""Which files are read as Windows-1252."""

from __future__ import annotations

from io import BytesIO

import pytest

from core.text.encodings import is_windows_1252


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("Straße".encode("cp1252"), True),
        ("Straße".encode(), False),
        (b"plain", False),
        (b"", False),
        ("ö".encode() + b" \xdf", False),
        (b"\xdf \x81", False),
    ],
)
def test_only_a_file_without_utf_8_characters_is_windows_1252(content: bytes, expected: bool):
    assert is_windows_1252(BytesIO(content)) is expected

"""Rows of a text file: a prompt on each line, the entries of a list, or the messages of an exported chat."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import chain, islice
from pathlib import Path

from core.notices import note
from core.store.containers import refuse_pointers
from core.store.jsonl import Unreadable, decoded, numbered, opened, read_errors
from core.text.encodings import WINDOWS_1252, is_windows_1252, note_windows_1252, wide_encoding
from publius.sources.texts.chat_exports import NumberedText, exported_messages, is_chat_export

_NUMBER, _BULLET = re.compile(r"(\d{1,6})[.)]\s+"), re.compile(r"[-*•–]\s+")
_FIRST_LINES = 50
"""Lines of a text file that tell whether it is a list or a chat."""


def text_rows(path: Path, accepted: str) -> Iterator[tuple[int, Mapping[str, str] | Unreadable]]:
    """Yield the lines that are not blank as rows with the column `prompt`, with their numbers.

    The numbers or bullets of a list are left out. The messages of an exported chat also have a `name`.

    Args:
        path: the file; one that ends in `.gz` is decompressed.
        accepted: the kinds of files that are accepted, for errors.

    Raises:
        DataError: if the file cannot be read, or is of another kind.
    """
    lines = _lines_with_text(path, accepted)
    first = list(islice(lines, _FIRST_LINES))
    texts = [text for _, text in first if isinstance(text, str)]
    if is_chat_export(texts):
        for number, name, text in exported_messages(chain(first, lines), path):
            yield number, text if isinstance(text, Unreadable) else {"prompt": text, "name": name}
        return
    mark = _list_mark(texts)
    if mark:
        _note_marks(path)
    for number, line in chain(first, lines):
        if isinstance(line, Unreadable):
            yield number, line
        else:
            yield number, {"prompt": mark.sub("", line, count=1) if mark else line}


def _list_mark(lines: Sequence[str]) -> re.Pattern[str] | None:
    """Return what to take from each line of a list: numbers from 1 on, or bullets; None if it is no list."""
    numbers = [_NUMBER.match(line) for line in lines]
    if len(lines) > 1 and all(m and int(m[1]) == place for place, m in enumerate(numbers, start=1)):
        return _NUMBER
    return _BULLET if len(lines) > 1 and all(map(_BULLET.match, lines)) else None


@cache
def _note_marks(path: Path) -> None:
    """Say once for each file that its lines are read without their marks."""
    note(f"{path}: the lines are a list; its numbers or bullets are no part of the prompts")


def _lines_with_text(path: Path, accepted: str) -> Iterator[NumberedText]:
    """Yield the lines that are not blank, stripped, with their numbers."""
    refuse_pointers(path, accepted)
    with read_errors(path, accepted), opened(path) as file:
        encoding = wide_encoding(file.read(4))
        file.seek(0)
        lines: Iterator[tuple[int, str | bytes]] = numbered(file)
        if encoding:
            lines = numbered(io.StringIO(file.read().decode(encoding), newline="\n"))
        elif is_windows_1252(file):
            note_windows_1252(path)
            lines = numbered(line.decode(WINDOWS_1252) for line in file)
        for number, line in lines:
            text = decoded(line) if isinstance(line, bytes) else line
            if isinstance(text, Unreadable):
                yield number, text
            elif text.strip():  # also skips lines of Unicode white space
                yield number, text.strip()

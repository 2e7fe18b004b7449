"""Lines of JSON of others: numbers as an editor counts them, and every mistake is data."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import DataError
from core.store.jsonl import Unreadable, json_value, numbered, opened, read_errors, rows


def told(content: bytes | str) -> str:
    found = json_value(content)
    assert isinstance(found, Unreadable)
    return str(found)


def test_rows_have_the_numbers_of_their_lines_and_blank_lines_none():
    file = io.BytesIO(b'\xef\xbb\xbf{"a": 1}\r\n\n \t\n["\xe2\x80\xa8"]\n3')
    assert list(rows(file)) == [(1, {"a": 1}), (4, ["\u2028"]), (5, 3)]


def test_lines_of_text_are_counted_as_they_are_given():
    assert list(rows(["1", "", "null"])) == [(1, 1), (3, None)]
    assert list(numbered(io.StringIO("a\n\nb\n"))) == [(1, "a\n"), (3, "b\n")]


def test_mark_of_byte_order_is_no_part_of_the_first_line_only():
    first, second = rows([b"\xef\xbb\xbf1", b"\xef\xbb\xbf1"])
    assert first == (1, 1)
    assert isinstance(second[1], Unreadable)


def test_reading_goes_no_further_than_is_asked_for():
    def endless() -> Iterator[bytes]:
        yield b"1"
        yield b"2"
        raise AssertionError("read on")

    found = rows(endless())
    assert [next(found), next(found)] == [(1, 1), (2, 2)]


def test_broken_line_does_not_end_the_reading():
    found: list[Any] = [value for _, value in rows([b"{", b"\xff", b"7"])]
    assert [isinstance(value, Unreadable) for value in found] == [True, True, False]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"a": ', "not JSON: Expecting value at column 7"),
        ("[1,\n2,\n}", "not JSON: Expecting value at line 3, column 1"),
        (
            '{"a": "na\xefve"}'.encode("latin-1"),
            "not UTF-8 text: invalid continuation byte at byte 10 of the line",
        ),
        (b"[" * 100_000, "JSON with too many nested levels or too long a number"),
        ("1" * 5000, "JSON with too many nested levels or too long a number"),
    ],
)
def test_mistake_says_what_and_where(content: bytes | str, said: str):
    assert told(content) == said


def test_packed_file_is_unpacked(tmp_path: Path):
    for name, packed in (("a.jsonl", False), ("a.jsonl.gz", True)):
        content = b"1\n2\n"
        (tmp_path / name).write_bytes(gzip.compress(content) if packed else content)
        with opened(tmp_path / name) as file:
            assert list(rows(file)) == [(1, 1), (2, 2)]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.jsonl", None, "cannot be read: No such file or directory"),
        ("a.jsonl.gz", b"no gzip", "cannot be read: Not a gzipped file"),
        ("a.jsonl.gz", gzip.compress(b"[1]\n" * 99, mtime=0)[:-9], "cannot be read: Compressed file ended"),
    ],
)
def test_file_that_is_broken_as_a_whole_is_one_error(
    tmp_path: Path, name: str, content: bytes | None, said: str
):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught, read_errors(path, "another file"), opened(path) as file:
        list(rows(file))
    (problem,) = caught.value.problems
    assert problem.what.startswith(said)
    assert (problem.where, problem.accepted) == (str(path), "another file")


def test_file_opened_as_text_in_another_encoding_is_one_error(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'"\xff"')
    with pytest.raises(DataError, match="not UTF-8 text"), read_errors(path, "UTF-8"):
        path.read_text(encoding="utf-8")


def test_further_errors_mean_the_same_only_where_asked_for(tmp_path: Path):
    with pytest.raises(KeyError), read_errors(tmp_path, "another"):
        raise KeyError("a")
    with pytest.raises(DataError, match="cannot be read: 'a'"), read_errors(tmp_path, "another", (KeyError,)):
        raise KeyError("a")

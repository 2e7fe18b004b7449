"""Record files read from their first line to their last."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import DataError
from core.records import Prompt
from core.store.scan import scan_records

PROMPTS = [Prompt.of(f"Question {n}?") for n in range(3)]


def written(tmp_path: Path, *, end: str = "") -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(prompt.to_line() for prompt in PROMPTS) + end)
    return path


def test_records_come_in_the_order_of_the_file(tmp_path: Path):
    assert list(scan_records(written(tmp_path), Prompt)) == PROMPTS


def test_lines_without_the_text_are_passed_over(tmp_path: Path):
    path = written(tmp_path, end='{"id": "1"}\n')
    assert list(scan_records(path, Prompt, having=b"Question 1")) == PROMPTS[1:2]


def test_a_missing_file_is_empty(tmp_path: Path):
    assert list(scan_records(tmp_path / "none.jsonl", Prompt)) == []


def test_a_last_line_that_is_still_being_written_is_not_read(tmp_path: Path):
    assert list(scan_records(written(tmp_path, end='{"id": "1", "mess'), Prompt)) == PROMPTS


def test_a_damaged_line_is_named(tmp_path: Path):
    path = written(tmp_path, end='{"id": "1"}\n')
    with pytest.raises(DataError, match=r"prompts\.jsonl:4: messages: Field required"):
        list(scan_records(path, Prompt))

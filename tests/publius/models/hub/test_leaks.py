"""Findings in files of any size and encoding, and how many are printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import DataError
from publius.models.hub import leaks
from publius.models.hub.leaks import Leak, known_keys, leaks_of, require_no_leaks

pytest.importorskip("huggingface_hub")

KEY = "ghp_" + "aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xYzA9b"


def found(path: Path) -> list[Leak]:
    return list(leaks_of(path.name, path, {}, None))


def test_lines_are_counted_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(leaks, "_BLOCK_BYTES", 1000)
    path = tmp_path / "train.jsonl"
    lines = [f'{{"prompt": "{number:0200}"}}' for number in range(50)]
    for number in (0, 17, 49):
        lines[number] += KEY
    path.write_text("\n".join(lines))
    assert [leak.place for leak in found(path)] == ["train.jsonl:1", "train.jsonl:18", "train.jsonl:50"]


def test_a_key_that_lies_across_two_blocks_is_found_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "notes.txt"
    path.write_text(f"{'a' * 500} {KEY} {'b' * 500}\nlast\n")
    for size in range(490, 550, 7):
        monkeypatch.setattr(leaks, "_BLOCK_BYTES", size)
        assert [leak.line for leak in found(path)] == [1]


def test_encodings_hide_no_key_and_binary_files_have_none(tmp_path: Path):
    for encoding in ("utf-8-sig", "utf-16", "latin-1"):
        (tmp_path / encoding).write_text(f"é\n{KEY}\n", encoding=encoding)
        assert [leak.line for leak in found(tmp_path / encoding)] == [2], encoding
    (tmp_path / "model.safetensors").write_bytes(b"\0\1\2" + KEY.encode())
    assert found(tmp_path / "model.safetensors") == []


def test_parquet_which_cannot_be_searched_is_a_finding(tmp_path: Path):
    path = tmp_path / "train.parquet"
    path.write_bytes(b"PAR1\0")
    assert [leak.place for leak in found(path)] == ["train.parquet:1"]


def test_parquet_files_are_refused_in_one_line(tmp_path: Path):
    files = {f"{name}/train.parquet": tmp_path / "train.parquet" for name in ("soft", "sft", "judgments")}
    (tmp_path / "train.parquet").write_bytes(b"PAR1\0")
    with pytest.raises(DataError) as raised:
        require_no_leaks(files, [], [])
    (line,) = str(raised.value).splitlines()
    assert (
        "3 Parquet files cannot be searched for keys (soft/train.parquet, sft/train.parquet and 1 more)"
        in line
    )
    require_no_leaks(files, [], ["*.parquet"])
    require_no_leaks(files, [], [f"{name}:1" for name in files])


def test_ten_findings_are_printed_and_the_others_are_counted(tmp_path: Path):
    path = tmp_path / "train.jsonl"
    path.write_text(f"{KEY}\n" * 13)
    with pytest.raises(DataError) as raised:
        require_no_leaks({"soft/train.jsonl": path}, [], [])
    lines = str(raised.value).splitlines()
    assert len(lines) == 11
    assert lines[0].startswith("soft/train.jsonl:1: a GitHub token; nothing was sent")
    assert lines[-1] == "and 3 more lines like these"
    allowed = [f"soft/train.jsonl:{number}" for number in range(1, 14)]
    require_no_leaks({"soft/train.jsonl": path}, [], allowed)
    with pytest.raises(DataError):  # a whole file is allowed for its paths only
        require_no_leaks({"soft/train.jsonl": path}, [], ["soft/train.jsonl"])


def test_variables_that_hold_no_key_are_not_looked_for():
    environment = {
        "OPENAI_API_KEY": "abcdefghijklmnopqrstuvwxyz",
        "SSH_KEY": "/home/someone/.ssh/id_ed25519",
        "SHORT_TOKEN": "none",
        "LANGUAGE": "abcdefghijklmnopqrstuvwxyz",
    }
    named = "the value of the environment variable OPENAI_API_KEY"
    assert {kind: value for kind, value in known_keys(environment).items() if "variable" in kind} == {
        named: "abcdefghijklmnopqrstuvwxyz"
    }

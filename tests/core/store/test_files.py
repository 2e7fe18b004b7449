from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import RunStateError
from core.store.files import os_errors, require_empty, whole_folder, write_atomic, write_new, write_stream
from tests.core.conftest import LockableFolder


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_full_disk_names_the_path_and_what_is_needed(tmp_path: Path, number: int):
    with pytest.raises(RunStateError, match="disk full") as caught, os_errors(tmp_path / "traces.jsonl"):
        raise OSError(number, os.strerror(number))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'traces.jsonl'}: ")
    assert f"run: df -h {tmp_path}" in message
    assert "\n" not in message


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_denied_path_is_called_not_writable(tmp_path: Path, number: int):
    with pytest.raises(RunStateError, match="not writable"), os_errors(tmp_path / "new"):
        raise OSError(number, os.strerror(number))


def test_file_that_cannot_be_read_is_not_called_unwritable(lockable: LockableFolder):
    secret = lockable.path / "secret"
    secret.write_text("x")
    secret.chmod(0o000)
    lockable.lock()
    with pytest.raises(RunStateError, match="not readable"), os_errors(secret):
        secret.read_text()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOENT, "no such file"),
        (errno.ENOTDIR, "a file, not a folder"),
        (errno.EISDIR, "a folder, not a file"),
        (errno.EMFILE, "too many open files"),
        (errno.EIO, "cannot be used"),
    ],
)
def test_every_other_failure_has_its_own_words(tmp_path: Path, number: int, words: str):
    with pytest.raises(RunStateError, match=words), os_errors(tmp_path):
        raise OSError(number, os.strerror(number))


def test_errors_that_are_not_of_the_system_pass_through(tmp_path: Path):
    with pytest.raises(KeyError), os_errors(tmp_path):
        raise KeyError("k")


@pytest.mark.parametrize("content", ["naïve\n", b"\x00\xff"])
def test_atomic_write_replaces_the_whole_file(tmp_path: Path, content: str | bytes):
    path = tmp_path / "manifest.json"
    path.write_text("something longer that stood there before")
    write_atomic(path, content)
    expected = content.encode() if isinstance(content, str) else content
    assert path.read_bytes() == expected
    assert os.listdir(tmp_path) == ["manifest.json"]


def test_atomic_write_follows_the_umask(tmp_path: Path):
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "report.html", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "report.html").stat().st_mode & 0o777 == 0o640


def test_failed_atomic_write_leaves_the_old_file_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "manifest.json"
    path.write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunStateError, match="disk full"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["manifest.json"]


def test_atomic_write_to_a_locked_folder_says_not_writable(lockable: LockableFolder):
    with pytest.raises(RunStateError, match="not writable"):
        write_atomic(lockable.lock() / "a", "x")


def test_atomic_write_to_a_missing_folder_says_so(tmp_path: Path):
    with pytest.raises(RunStateError, match="no such file or folder"):
        write_atomic(tmp_path / "missing" / "a", "x")


def test_new_file_is_written_whole_and_never_replaces_one(tmp_path: Path):
    path = tmp_path / "new.jsonl"
    write_new(path, "mine\n")
    with pytest.raises(RunStateError, match="path already exists"):
        write_new(path, "theirs\n")
    assert path.read_text(encoding="utf-8") == "mine\n"
    assert [each.name for each in tmp_path.iterdir()] == ["new.jsonl"]


def test_a_stream_that_fails_leaves_the_old_file(tmp_path: Path):
    def pieces() -> Iterator[str | bytes]:
        yield "new "
        yield b"text"
        if not path.exists():
            return
        raise ValueError("half way")

    path = tmp_path / "file"
    write_stream(path, pieces())
    assert path.read_text() == "new text"
    path.write_text("old")
    with pytest.raises(ValueError, match="half way"):
        write_stream(path, pieces())
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("file", "old")]


def test_a_private_file_is_the_users_alone(tmp_path: Path):
    write_atomic(tmp_path / "private", "secret", mode=0o600)
    write_atomic(tmp_path / "usual", "text")
    assert (tmp_path / "private").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "usual").stat().st_mode & 0o700 == 0o600


def test_only_a_folder_that_is_missing_or_empty_is_taken(tmp_path: Path):
    require_empty(tmp_path)
    require_empty(tmp_path / "missing")
    (tmp_path / "file").touch()
    with pytest.raises(RunStateError, match="the folder is not empty; accepted: another"):
        require_empty(tmp_path, "another")
    with pytest.raises(RunStateError, match="this is a file, not a folder"):
        require_empty(tmp_path / "file")


def test_folder_that_cannot_be_replaced_gets_the_files_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    target = tmp_path / "mounted"
    target.mkdir()
    monkeypatch.setattr("os.path.ismount", lambda path: Path(path) == target)
    number = target.stat().st_ino
    with whole_folder(target) as folder:
        (folder / "data").mkdir()
        (folder / "data" / "rows.jsonl").write_text("{}\n")
        (folder / "README.md").write_text("card")
    assert sorted(path.name for path in target.iterdir()) == ["README.md", "data"]
    assert target.stat().st_ino == number

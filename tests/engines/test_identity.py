"""The identity of a model is that of its files' content; reading them is avoided, shared and shown."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.digests import file_digest
from engines import identity
from engines.identity import model_identity

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "tiny"
    path.mkdir()
    for name in ("config.json", "tokenizer.json", "model-1.safetensors", "model-2.safetensors"):
        (path / name).write_text(f"content of {name}")
    return path


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all files that are read."""
    names: list[str] = []

    def watched(path: Path) -> str:
        time.sleep(0.02)
        names.append(path.name)
        return file_digest(path)

    monkeypatch.setattr(identity, "file_digest", watched)
    return names


def in_the_hub_s_cache(folder: Path, cache: Path) -> Path:
    """Lay a model out as in the hub cache: links to blobs, named by SHA-256 for weights, else by SHA-1."""
    snapshot = cache / "models--who--what" / "snapshots" / "0123"
    blobs = cache / "models--who--what" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for path in folder.iterdir():
        kind: Callable[[bytes], hashlib._Hash] = (
            hashlib.sha256 if path.suffix == ".safetensors" else hashlib.sha1
        )
        blob = blobs / kind(path.read_bytes()).hexdigest()
        blob.write_bytes(path.read_bytes())
        (snapshot / path.name).symlink_to(Path("..", "..", "blobs", blob.name))
    return snapshot


def test_weights_whose_digest_the_hub_gives_are_not_read(folder: Path, tmp_path: Path, read: list[str]):
    expected = model_identity(folder)
    snapshot = in_the_hub_s_cache(folder, tmp_path / "hub")
    read.clear()
    assert model_identity(snapshot) == expected
    assert sorted(read) == ["config.json", "tokenizer.json"]


def test_a_link_that_is_not_the_hub_s_is_read_whatever_its_name(
    folder: Path, tmp_path: Path, read: list[str]
):
    before = model_identity(folder)
    other = tmp_path / ("a" * 64)
    other.write_text("other weights")
    (folder / "model-1.safetensors").unlink()
    (folder / "model-1.safetensors").symlink_to(other)
    assert model_identity(folder) != before
    assert read[-1] == "model-1.safetensors"


def test_a_file_is_read_once(folder: Path, read: list[str]):
    assert model_identity(folder) == model_identity(folder)
    assert len(read) == 4


def test_one_of_several_processes_reads_the_files_and_the_others_wait(folder: Path, read: list[str]):
    with ThreadPoolExecutor(4) as pool:  # each opens the file of the lock itself, as processes do
        found = set(pool.map(model_identity, [folder] * 4))
    assert len(found) == 1
    assert len(read) == 4


def test_reading_large_files_shows_progress(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    model_identity(folder)
    assert caplog.messages == []
    (folder / "config.json").write_text("changed")
    monkeypatch.setattr(identity, "_SLOW_BYTES", 1)
    model_identity(folder)
    assert caplog.messages[0].startswith("hash files of tiny  0/1")

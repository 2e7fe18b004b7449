"""A model that cannot be had is told in one line, with the place and what would be accepted."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx2
import pytest
import torch
from huggingface_hub.utils import filter_repo_objects, hf_raise_for_status
from safetensors.torch import load_file

from core.errors import EngineError
from engines.config import ModelConfig
from engines.hf.loading import load_model
from engines.loading import (
    ModelFiles,
    context_tokens,
    fetch_without_weights,
    load_tokenizer,
    locate,
    pick_device,
    pick_dtype,
    pick_gpu,
)

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def folder(tmp_path: Path, tiny_model: Callable[..., Any], tiny_tokenizer: Callable[..., Any]) -> Path:
    path = tmp_path / "tiny"
    tiny_model().save_pretrained(path)
    tiny_tokenizer().save_pretrained(path)
    return path


def the_error(action: Callable[[], object]) -> EngineError:
    with pytest.raises(EngineError) as caught:
        action()
    assert "\n" not in str(caught.value)
    assert caught.value.problems[0].where
    return caught.value


@pytest.mark.parametrize("name", ["/no/such/folder", "./missing", "~/nowhere/at-all", "a/b/c"])
def test_missing_folder_is_named(name: str):
    error = the_error(lambda: locate(ModelConfig(id=name)))
    assert error.problems[0].where == name
    assert "no such model folder" in str(error)
    assert "config.json" in (error.problems[0].accepted or "")


def test_folder_without_a_model_is_named(tmp_path: Path):
    error = the_error(lambda: locate(ModelConfig(id=str(tmp_path))))
    assert error.problems[0].where == str(tmp_path)
    assert "config.json is missing" in str(error)
    assert error.problems[0].accepted


@pytest.mark.parametrize("name", ["nobody/no-such-model", "gpt-no-such", "not a model!"])
def test_id_that_cannot_be_fetched_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # The variable is read once, when the package is imported, so the constant is set beside it; and it is
    # imported first, or the constant would keep the variable's value for all the tests that follow.
    constants = importlib.import_module("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    error = the_error(lambda: locate(ModelConfig(id=name)))
    assert error.problems[0].where == name
    assert error.problems[0].accepted
    assert error.problems[0].run == "publius doctor"


def test_folder_is_known_by_its_name_and_content(folder: Path, tmp_path: Path):
    files = locate(ModelConfig(id=str(folder)))
    assert (files.name, files.folder) == ("tiny", folder)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert locate(ModelConfig(id=str(copy))).identity == files.identity


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_identity_changes_with_every_file_that_bears_on_answers(folder: Path, name: str):
    before = locate(ModelConfig(id=str(folder))).identity
    path = folder / name
    path.write_bytes(path.read_bytes() + b" ")
    assert locate(ModelConfig(id=str(folder))).identity != before


def test_identity_ignores_files_of_other_kinds(folder: Path):
    before = locate(ModelConfig(id=str(folder))).identity
    (folder / "README.md").write_text("words")
    (folder / "publius.json").write_text("{}")
    assert locate(ModelConfig(id=str(folder))).identity == before


@pytest.mark.parametrize("content", ["", "not json", "[1"])
def test_damaged_digest_memory_is_begun_anew(folder: Path, own_cache: Path, content: str):
    before = locate(ModelConfig(id=str(folder))).identity
    (own_cache / "digests.json").write_text(content)
    assert locate(ModelConfig(id=str(folder))).identity == before
    assert len(json.loads((own_cache / "digests.json").read_text())) >= 3


def test_cache_that_does_not_exist_is_not_needed(folder: Path, own_cache: Path):
    own_cache.rmdir()
    assert locate(ModelConfig(id=str(folder))).identity


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("model-00001-of-00002.safetensors", True),
        ("model.safetensors.index.json", True),
        ("additional_chat_templates/tools.jinja", True),
        ("consolidated.safetensors", False),
        ("consolidated-00001-of-00010.safetensors", False),
        ("original/model.safetensors", False),
        ("original/params.json", False),
        ("metal/model.safetensors", False),
        ("pytorch_model.bin", False),
    ],
)
def test_weights_are_downloaded_in_one_form_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, wanted: bool
):
    asked: dict[str, Any] = {}

    def download(model: str, **options: Any) -> str:
        asked.update(options)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    locate(ModelConfig(id="who/what"))
    patterns = {key: asked[key] for key in ("allow_patterns", "ignore_patterns")}
    assert list(filter_repo_objects([name], **patterns)) == [name] * wanted


@pytest.mark.parametrize(("code", "status"), [("GatedRepo", 401), ("GatedRepo", 403), ("RepoNotFound", 401)])
@pytest.mark.parametrize("token", [None, "hf_secret"])
def test_repository_without_access_names_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch, code: str, status: int, token: str | None
):
    request = httpx2.Request("GET", "https://huggingface.co/api/models/who/what/revision/main")
    response = httpx2.Response(status, headers={"X-Error-Code": code}, request=request)

    def refuse(*arguments: object, **options: object) -> None:
        hf_raise_for_status(response)

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: token)
    error = the_error(lambda: locate(ModelConfig(id="who/what")))
    assert error.problems[0].run == "hf auth login, or set HF_TOKEN"
    assert ("gated" in str(error)) == (code == "GatedRepo")
    assert ("no access token is set" in str(error)) == (token is None)
    assert "hf_secret" not in str(error)


@pytest.mark.parametrize(("method", "package"), [("awq", "gptqmodel"), ("gptq", "optimum")])
def test_quantised_model_without_its_kernels_names_the_package(folder: Path, method: str, package: str):
    if find_spec(package) is not None:
        pytest.skip(f"{package} is installed")
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": method, "bits": 4}
    files = damage(folder, "config.json", json.dumps(config).encode())
    error = the_error(lambda: load_model(files, "float32", "cpu"))
    assert str(folder) in str(error)
    assert package in str(error)


def test_model_is_loaded_ready_for_inference(folder: Path):
    model = load_model(locate(ModelConfig(id=str(folder))), "float32", "cpu")
    assert model.dtype == torch.float32
    assert not model.training


def test_weights_are_laid_out_for_decoding_and_stay_what_they_are(folder: Path):
    model = load_model(locate(ModelConfig(id=str(folder))), "float32", "cpu")
    stored = load_file(folder / "model.safetensors")
    linear = dict(model.named_parameters())["model.layers.0.mlp.up_proj.weight"]
    assert linear.t().is_contiguous()
    assert stored.keys() <= model.state_dict().keys()
    for name, value in stored.items():
        assert torch.equal(model.state_dict()[name], value), name


def test_model_is_loaded_in_the_type_asked_for(folder: Path):
    assert load_model(locate(ModelConfig(id=str(folder))), "bfloat16", "cpu").dtype == torch.bfloat16


def damage(folder: Path, name: str, content: bytes | None) -> ModelFiles:
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    return locate(ModelConfig(id=str(folder)))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", None),
        ("model.safetensors", b"\x08\0\0\0\0\0\0\0{}"),
        ("model.safetensors", b""),
        ("config.json", b"not json"),
        ("config.json", b'{"model_type": "from-the-future"}'),
    ],
)
def test_model_that_cannot_be_loaded_is_named(folder: Path, name: str, content: bytes | None):
    files = damage(folder, name, content)
    error = the_error(lambda: load_model(files, "float32", "cpu"))
    assert str(folder) in str(error)


def test_weights_of_another_shape_are_refused_in_one_line(folder: Path):
    config = json.loads((folder / "config.json").read_text())
    files = damage(folder, "config.json", json.dumps({**config, "intermediate_size": 48}).encode())
    error = the_error(lambda: load_model(files, "float32", "cpu"))
    assert str(folder) in str(error)


@pytest.mark.parametrize(
    "content", [None, b"not json", b"{}", b'{"added_tokens": [], "model": {"type": "?"}}']
)
def test_tokenizer_that_cannot_be_loaded_is_named(folder: Path, content: bytes | None):
    (folder / "tokenizer_config.json").unlink()
    error = the_error(lambda: load_tokenizer(damage(folder, "tokenizer.json", content)))
    assert str(folder) in str(error)


def test_pickled_weights_are_not_read(folder: Path, tiny_model: Callable[..., Any]):
    torch.save(tiny_model().state_dict(), folder / "pytorch_model.bin")
    the_error(lambda: load_model(damage(folder, "model.safetensors", None), "float32", "cpu"))


def test_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == pick_device("cpu") == "cpu"
    error = the_error(lambda: pick_device("cuda"))
    assert error.problems[0].where == "engine.device"
    assert error.problems[0].accepted == "auto, cpu"


@pytest.mark.parametrize(("gpu", "kind"), [(False, "float32"), (True, "bfloat16")])
def test_weight_type_is_float32_on_a_cpu_and_bfloat16_on_a_gpu(
    monkeypatch: pytest.MonkeyPatch, gpu: bool, kind: str
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert pick_dtype("auto", "auto") == kind
    assert pick_dtype("float32", "cpu") == "float32"
    assert pick_dtype("float16", "auto") == "float16"


def test_gpu_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto") == "cuda"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"max_position_embeddings": 512}, 512),
        ({"n_positions": 1024}, 1024),  # as GPT-2 has it
        ({"text_config": {"max_position_embeddings": 8192}, "vision_config": {}}, 8192),
        ({"max_position_embeddings": None}, None),
        ({"max_position_embeddings": -1}, None),
        ({}, None),
    ],
)
def test_context_is_what_the_configuration_names(
    tmp_path: Path, config: dict[str, Any], expected: int | None
):
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert context_tokens(ModelFiles("m", tmp_path, "identity")) == expected


@pytest.mark.parametrize("device", ["mps", "xpu", "gpu"])
def test_a_device_that_is_not_supported_is_refused_in_one_line(device: str):
    with pytest.raises(EngineError) as caught:
        pick_device(device)
    assert str(caught.value) == (
        f"engine.device: the device '{device}' is not supported; accepted: auto, cpu, cuda"
    )


def test_a_mac_with_a_gpu_of_its_own_runs_on_the_cpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert (pick_device("auto"), pick_dtype("auto", "auto")) == ("cpu", "float32")


def test_a_gpu_is_picked_by_its_index(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [pick_device(name) for name in ("auto", "cuda:0", "cuda:1")] == ["cuda", "cuda:0", "cuda:1"]
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert pick_dtype("auto", "cuda:1") == "bfloat16"
    error = the_error(lambda: pick_device("cuda:2"))
    assert str(error) == "models.ROLE.engine.gpus: no GPU 2: 2 found; accepted: 0 to 1"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "no CUDA device found" in str(the_error(lambda: pick_device("cuda:1")))


def test_each_process_takes_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert [pick_gpu(device, None) for device in ("auto", "cpu")] == ["cpu", "cpu"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [pick_gpu("auto", None), pick_gpu("cpu", (1,))] == ["cuda", "cpu"]
    assert pick_gpu("auto", (1, 2)) == "cuda:1"
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert [pick_gpu("auto", None), pick_gpu("auto", (1, 2))] == ["cuda:1", "cuda:2"]


@pytest.mark.parametrize("missing", [None, "model-00002-of-00002.safetensors", "all"])
def test_tokenizer_alone_is_fetched_only_where_weights_are_missing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, missing: str | None
):
    shards = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    (folder / "model.safetensors").unlink()
    for shard in shards:
        (folder / shard).write_bytes(b"weights")
    index = {"weight_map": {"a": shards[0], "b": shards[1]}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    for path in folder.glob("*.safetensors"):
        if missing in ("all", path.name):
            path.unlink()
    asked: list[dict[str, Any]] = []

    def download(model: str, **options: Any) -> str:
        asked.append(options)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    found = fetch_without_weights(ModelConfig(id="who/what"))
    assert found == (None if missing is None else folder)
    if missing is not None:
        patterns = asked[-1]["allow_patterns"]
        assert list(filter_repo_objects(["tokenizer.json", *shards], allow_patterns=patterns)) == [
            "tokenizer.json"
        ]
    assert fetch_without_weights(ModelConfig(id=str(folder))) is None

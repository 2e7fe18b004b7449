"""LoRA adapters: what tells them apart, that a merged one answers as peft's does, and damaged ones."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.chat import Turn
from core.digests import digest
from core.errors import EngineError
from core.records import Sampling
from engines.adapter import SETTINGS, WEIGHTS, adapter_digest, attach_adapter
from engines.config import EngineConfig, ModelConfig
from engines.hf.engine import TransformersEngine
from engines.hf.loading import load_model
from engines.loading import locate
from engines.protocols import GenerationRequest

pytestmark = pytest.mark.usefixtures("own_cache")

TOKENS = torch.tensor([[5, 17, 130, 42, 9]])


def write_adapter(model: Any, folder: Path, seed: int = 0, **shape: Any) -> Path:
    """Write a random adapter for a model; unlike a new one, it changes what the model says."""
    import peft

    torch.manual_seed(seed)
    settings = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], **shape}
    config = peft.LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False, **settings)
    peft.get_peft_model(model, config).save_pretrained(str(folder))
    return folder


@pytest.fixture
def adapter(tmp_path: Path, tiny_model: Callable[..., Any]) -> Path:
    return write_adapter(tiny_model(initializer_range=0.1), tmp_path / "sft")


def worn(model: Path, adapter: Path) -> ModelConfig:
    return ModelConfig(id=str(model), adapter=str(adapter))


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return model(TOKENS).logits


def test_a_model_with_an_adapter_is_another_model(tiny_folder: Path, adapter: Path):
    bare, dressed = locate(ModelConfig(id=str(tiny_folder))), locate(worn(tiny_folder, adapter))
    assert dressed.name == "tiny+sft"
    assert dressed.adapter == adapter
    assert dressed.folder == bare.folder
    assert dressed.identity != bare.identity
    assert bare.adapter is None


def test_identity_follows_the_adapter_s_content_and_not_its_place(
    tiny_folder: Path, adapter: Path, tmp_path: Path
):
    before = locate(worn(tiny_folder, adapter)).identity
    copy = tmp_path / "elsewhere" / "dpo"
    shutil.copytree(adapter, copy)
    assert locate(worn(tiny_folder, copy)).identity == before
    (copy / WEIGHTS).write_bytes((copy / WEIGHTS).read_bytes() + b" ")
    assert locate(worn(tiny_folder, copy)).identity != before


def test_digest_follows_settings_that_act_and_not_the_name_of_the_base(adapter: Path):
    before = adapter_digest(adapter)
    settings = json.loads((adapter / SETTINGS).read_text())
    (adapter / SETTINGS).write_text(json.dumps(settings | {"base_model_name_or_path": "moved/elsewhere"}))
    assert adapter_digest(adapter) == before
    (adapter / SETTINGS).write_text(json.dumps(settings | {"lora_alpha": 16}))
    assert adapter_digest(adapter) != before


def test_requests_of_a_model_with_an_adapter_have_keys_of_their_own(tiny_folder: Path, adapter: Path):
    request = GenerationRequest((Turn("user", ("Hi",)),), Sampling(max_new_tokens=2), 0, "test")
    configs = (ModelConfig(id=str(tiny_folder)), worn(tiny_folder, adapter))
    bare, dressed = (TransformersEngine(config, EngineConfig(device="cpu")) for config in configs)
    assert bare.identity != dressed.identity
    assert bare.key(request) != dressed.key(request)


def test_a_merged_adapter_gives_the_logits_that_peft_gives(tiny_folder: Path, adapter: Path):
    import peft
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32).eval()
    before = logits(plain)
    expected = logits(peft.PeftModel.from_pretrained(plain, adapter).eval())
    merged = load_model(locate(worn(tiny_folder, adapter)), "float32", "cpu")
    torch.testing.assert_close(logits(merged), expected, rtol=1e-4, atol=1e-4)
    assert (before - expected).abs().max() > 0.1
    assert not [name for name, _ in merged.named_parameters() if "lora" in name]
    assert not merged.training


@pytest.mark.parametrize(("dtype", "change"), [("bfloat16", 2.3e-4), ("float16", 2.9e-5)])
def test_a_young_adapter_is_not_rounded_away_in_16_bits(
    tmp_path: Path, tiny_model: Callable[..., Any], dtype: str, change: float
):
    """The changes are below half of the last bit of a weight, which the model's weights of 0.125 all have."""
    folder, adapter = young_adapter(tmp_path, tiny_model, change)
    bare, dressed = (locate(config) for config in (ModelConfig(id=str(folder)), worn(folder, adapter)))
    exact = logits(load_model(dressed, "float32", "cpu")) - logits(load_model(bare, "float32", "cpu"))
    before = logits(load_model(bare, dtype, "cpu")).float()
    model = load_model(dressed, dtype, "cpu")
    moved = logits(model).float() - before
    # Merged into the weights, the adapter would be gone.
    merged = attach_adapter(load_model(bare, dtype, "cpu"), adapter).merge_and_unload()
    assert torch.equal(logits(merged).float(), before)
    # 1, but for the rounding of 16 bits in the passes themselves.
    assert (moved * exact).sum() / (exact * exact).sum() == pytest.approx(1, abs=0.4)
    assert model.dtype == getattr(torch, dtype)
    assert {p.dtype for name, p in model.named_parameters() if "lora_" in name} == {torch.float32}


def test_answers_of_an_unmerged_adapter_have_keys_of_their_own(tiny_folder: Path, adapter: Path):
    request = GenerationRequest(
        (Turn("user", ("Hi",)),), Sampling(temperature=0, max_new_tokens=3), 0, "test"
    )
    narrow = TransformersEngine(
        ModelConfig(id=str(tiny_folder), adapter=str(adapter), dtype="bfloat16"), EngineConfig(device="cpu")
    )
    answer = asyncio.run(narrow.generate(request))
    narrow.close()
    assert answer.completion_tokens > 0
    ids = narrow.encoder.encode(request.turns, "").ids
    model = ("transformers", 1, locate(worn(tiny_folder, adapter)).identity)
    sampling = request.sampling.model_dump()
    merged_keys = {
        digest("generate", (*model, dtype), ids, sampling, None) for dtype in ("float32", "bfloat16")
    }
    wide = TransformersEngine(worn(tiny_folder, adapter), EngineConfig(device="cpu"))
    assert wide.key(request) in merged_keys
    assert narrow.key(request) not in merged_keys


def young_adapter(folder: Path, tiny_model: Callable[..., Any], change: float) -> tuple[Path, Path]:
    """Save a model with weights of one size, and an adapter that changes each by `change`."""
    import peft

    model = tiny_model(initializer_range=0.1, attention="sdpa")
    for name, weight in model.named_parameters():
        if "proj" in name:
            weight.data = 0.125 * weight.data.sign()
    model.save_pretrained(folder / "model")
    config = peft.LoraConfig(task_type="CAUSAL_LM", r=1, lora_alpha=1, target_modules=["q_proj", "v_proj"])
    dressed = peft.get_peft_model(model, config)
    for name, weight in dressed.named_parameters():
        if "lora_" in name:
            weight.data = torch.full_like(weight, change**0.5)
    dressed.save_pretrained(str(folder / "young"))
    return folder / "model", folder / "young"


def test_an_adapter_is_trainable_only_when_it_is_asked_to_be(tiny_folder: Path, adapter: Path):
    for trainable in (False, True):
        model = load_model(locate(ModelConfig(id=str(tiny_folder))), "float32", "cpu")
        policy = attach_adapter(model, adapter, trainable=trainable)
        learning = {name for name, value in policy.named_parameters() if value.requires_grad}
        assert bool(learning) == trainable
        assert all("lora" in name for name in learning)


def the_error(action: Callable[[], object], where: Path) -> str:
    with pytest.raises(EngineError) as caught:
        action()
    assert "\n" not in str(caught.value)
    assert caught.value.problems[0].where == str(where)
    assert caught.value.problems[0].accepted
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (WEIGHTS, None),
        (SETTINGS, None),
        (SETTINGS, b""),
        (SETTINGS, b"not json"),
        (SETTINGS, b"[1]"),
        (SETTINGS, b"\xff\xfe"),
    ],
)
def test_a_folder_without_an_adapter_is_one_line(
    tiny_folder: Path, adapter: Path, name: str, content: bytes | None
):
    if content is None:
        (adapter / name).unlink()
    else:
        (adapter / name).write_bytes(content)
    assert "no LoRA adapter in this folder" in the_error(lambda: locate(worn(tiny_folder, adapter)), adapter)


def test_a_missing_folder_is_one_line(tiny_folder: Path, tmp_path: Path):
    absent = tmp_path / "absent"
    assert WEIGHTS in the_error(lambda: locate(worn(tiny_folder, absent)), absent)


@pytest.mark.filterwarnings("ignore:Found missing adapter keys")  # peft's own word for it
@pytest.mark.parametrize("content", [b"", b"torn", b"\x02\0\0\0\0\0\0\0{}"])
def test_damaged_weights_are_one_line(tiny_folder: Path, adapter: Path, content: bytes):
    (adapter / WEIGHTS).write_bytes(content)
    files = locate(worn(tiny_folder, adapter))
    assert "adapter" in the_error(lambda: load_model(files, "float32", "cpu"), adapter)


@pytest.mark.parametrize(
    "settings", [{"peft_type": "FUTURE"}, {"target_modules": ["no_such_module"]}, {"r": 8}]
)
def test_settings_that_do_not_fit_are_one_line(tiny_folder: Path, adapter: Path, settings: dict[str, object]):
    before = json.loads((adapter / SETTINGS).read_text())
    (adapter / SETTINGS).write_text(json.dumps(before | settings))
    files = locate(worn(tiny_folder, adapter))
    the_error(lambda: load_model(files, "float32", "cpu"), adapter)


@pytest.mark.filterwarnings("ignore:Found missing adapter keys")  # peft's own word for it
@pytest.mark.parametrize("other", [{"hidden_size": 64}, {"num_hidden_layers": 1}, {"num_hidden_layers": 3}])
def test_an_adapter_of_another_model_is_one_line(
    tiny_folder: Path, tmp_path: Path, tiny_model: Callable[..., Any], other: dict[str, int]
):
    foreign = write_adapter(tiny_model(**other), tmp_path / "foreign")
    files = locate(worn(tiny_folder, foreign))
    the_error(lambda: load_model(files, "float32", "cpu"), foreign)

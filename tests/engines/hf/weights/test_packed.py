"""Linear layers with packed weights give the plain layers' numbers, and take their place in memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.chat import Turn
from core.records import Sampling
from engines.config import EngineConfig, ModelConfig
from engines.hf.engine import TransformersEngine
from engines.hf.loading import load_model
from engines.hf.weights import packed
from engines.hf.weights.packed import PACKED_TOLERANCE, PackedLinear, pack_linears, should_pack
from engines.loading import locate
from engines.protocols import GenerationRequest
from tests.engines.test_adapter import write_adapter
from training.config import LoraConfig
from training.policy import load_policy

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")

IDS = torch.tensor([[5, 17, 130, 42, 9], [7, 8, 9, 10, 11]])
Tiny = Callable[..., Any]


def types() -> list[torch.dtype]:
    """Data types that this processor can pack."""
    return [dtype for dtype in PACKED_TOLERANCE if packed._can_pack(dtype)]


def kinds(model: Any) -> dict[str, int]:
    """Return the number of modules of each of the two kinds of linear layers."""
    names = [type(module).__name__ for module in model.modules()]
    return {name: names.count(name) for name in ("Linear", "PackedLinear")}


@torch.inference_mode()
def logits(model: Any) -> torch.Tensor:
    found: torch.Tensor = model(input_ids=IDS, use_cache=False).logits
    return found.float()


@pytest.mark.parametrize("dtype", types(), ids=str)
@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("shape", [(1,), (3,), (70,), (2, 7), (0,)])
def test_products_are_those_of_the_plain_layer(dtype: torch.dtype, has_bias: bool, shape: tuple[int, ...]):
    torch.manual_seed(0)
    plain = torch.nn.Linear(48, 20, bias=has_bias, dtype=dtype)
    states = torch.randn(*shape, 48).to(dtype)
    with torch.inference_mode():
        expected, found = plain(states), PackedLinear(plain)(states)
    assert found.shape == expected.shape
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected, rtol=PACKED_TOLERANCE[dtype], atol=PACKED_TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", types(), ids=str)
def test_plain_weight_can_still_be_read(dtype: torch.dtype):
    plain = torch.nn.Linear(48, 20, dtype=dtype)
    assert torch.equal(PackedLinear(plain).weight, plain.weight)


@pytest.mark.parametrize("tied", [True, False])
def test_packed_model_gives_the_logits_of_the_plain_one(tiny_model: Tiny, tied: bool):
    model = tiny_model(tie_word_embeddings=tied)
    expected = logits(model)
    pack_linears(model)
    assert kinds(model) == {"Linear": 0, "PackedLinear": 15}
    torch.testing.assert_close(logits(model), expected, rtol=1e-4, atol=1e-4)


def test_plain_weights_are_freed(tiny_model: Tiny):
    model = tiny_model()
    pack_linears(model)
    left = {name for name, _ in model.named_parameters()}
    assert {name for name in left if "norm" not in name} == {"model.embed_tokens.weight"}


def test_tied_head_is_packed_only_where_a_copy_fits(
    tiny_model: Tiny, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(packed, "available_memory_gib", lambda: 0.0)
    model, own = tiny_model(tie_word_embeddings=True), tiny_model()
    with caplog.at_level(logging.INFO):
        pack_linears(own)
        assert "head" not in caplog.text
        pack_linears(model)
    assert kinds(own) == {"Linear": 0, "PackedLinear": 15}
    assert kinds(model) == {"Linear": 1, "PackedLinear": 14}
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert "too little free memory to pack the output head" in caplog.text


def test_layer_whose_packed_products_differ_stays_plain(
    tiny_model: Tiny, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    forward = PackedLinear.forward

    def wrong_if_narrowing(self: PackedLinear, states: torch.Tensor) -> torch.Tensor:
        return forward(self, states) * (1.001 if self.in_features == 64 else 1.0)

    monkeypatch.setattr(PackedLinear, "forward", wrong_if_narrowing)
    model = tiny_model()
    expected = logits(model)
    with caplog.at_level(logging.INFO):
        pack_linears(model)
    assert kinds(model) == {"Linear": 2, "PackedLinear": 13}
    assert type(model.model.layers[0].mlp.down_proj) is torch.nn.Linear
    assert "2 weights not packed" in caplog.text
    torch.testing.assert_close(logits(model), expected, rtol=1e-4, atol=1e-4)


def test_types_without_a_tolerance_stay_plain(tiny_model: Tiny):
    model = tiny_model().double()
    pack_linears(model)
    assert kinds(model)["PackedLinear"] == 0


def test_layers_below_an_adapter_are_packed_and_the_adapter_is_not(tiny_model: Tiny, tmp_path: Path):
    import peft

    adapter = write_adapter(tiny_model(), tmp_path / "adapter")
    model = peft.PeftModel.from_pretrained(tiny_model(), str(adapter)).eval().get_base_model()
    expected = logits(model)
    pack_linears(model)
    attention = model.model.layers[0].self_attn
    assert type(attention.q_proj.base_layer) is PackedLinear
    assert type(attention.q_proj.lora_A["default"]) is torch.nn.Linear
    assert type(attention.k_proj) is PackedLinear
    torch.testing.assert_close(logits(model), expected, rtol=1e-4, atol=1e-4)
    assert (expected - logits(tiny_model())).abs().max() > 0.1  # the adapter does something


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_with_an_adapter_loads_packed(
    tiny_folder: Path, tiny_model: Tiny, tmp_path: Path, dtype: str
):
    adapter = write_adapter(tiny_model(initializer_range=0.1), tmp_path / "adapter")
    files = locate(ModelConfig(id=str(tiny_folder), adapter=str(adapter)))
    plain, fast = (load_model(files, dtype, "cpu", pack_weights=pack) for pack in (False, True))
    assert kinds(plain)["PackedLinear"] == 0
    assert (kinds(fast)["PackedLinear"] > 0) == (getattr(torch, dtype) in types())
    tolerance = 1e-4 if dtype == "float32" else 0.1
    torch.testing.assert_close(logits(fast), logits(plain), rtol=tolerance, atol=tolerance)


def test_training_sees_plain_weights(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(packed, "processor_vendor", lambda: "AuthenticAMD")
    policy = load_policy(ModelConfig(id=str(tiny_folder)), LoraConfig(r=2), "cpu", 0)
    assert kinds(policy)["PackedLinear"] == 0


@pytest.mark.parametrize(
    ("wanted", "vendor", "capability", "expected"),
    [
        (None, "AuthenticAMD", "AVX512", True),
        (None, "AuthenticAMD", "AVX2", False),
        (None, "GenuineIntel", "AVX512", False),
        (None, "", "DEFAULT", False),
        (True, "GenuineIntel", "AVX512", True),
        (False, "AuthenticAMD", "AVX512", False),
    ],
)
def test_the_processor_decides_unless_the_user_does(
    monkeypatch: pytest.MonkeyPatch, wanted: bool | None, vendor: str, capability: str, expected: bool
):
    monkeypatch.setattr(packed, "processor_vendor", lambda: vendor)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert should_pack(wanted) is expected


def test_without_onednn_nothing_is_packed_and_who_asked_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    with caplog.at_level(logging.INFO):
        assert not should_pack(None)
        assert "pack_weights" not in caplog.text
        assert not should_pack(True)
    assert "this torch has no oneDNN" in caplog.text


@pytest.mark.usefixtures("own_cache")
def test_engine_writes_the_same_with_packed_weights(tiny_folder: Path):
    requests = [
        GenerationRequest((Turn("user", (text,)),), Sampling(temperature=t, max_new_tokens=12), 3, "draft")
        for text in ("Hello", "How do I keep bread fresh?", "x" * 80)
        for t in (0.0, 1.0)
    ]
    texts = []
    for pack in (False, True):
        config = EngineConfig(device="cpu", pack_weights=pack)
        engine = TransformersEngine(ModelConfig(id=str(tiny_folder)), config)

        async def ask(engine: TransformersEngine = engine) -> list[Any]:
            return await asyncio.gather(*map(engine.generate, requests))

        texts.append([answer.text for answer in asyncio.run(ask())])
        engine.close()
    assert texts[0] == texts[1]
    assert len(set(texts[0])) > 1

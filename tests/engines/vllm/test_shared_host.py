"""Engines of one model share its host process: requests name their adapter, and the last engine ends it."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.chat import Turn
from core.errors import EngineError
from core.records import Sampling
from engines.config import EngineConfig, ModelConfig
from engines.hf.engine import TransformersEngine
from engines.loading import ModelFiles
from engines.protocols import GenerationRequest
from engines.vllm.engine import VllmEngine
from engines.vllm.setup import host_load, install_vllm, vllm_device
from tests.engines.hf.test_engine import comparison_requests
from tests.engines.vllm.counted_hosts import Hosts, count_hosts
from tests.engines.vllm.test_engine import CONFIG, GREEDY, choose, drafts, generate, random_adapter
from tests.engines.vllm.test_setup import worn

REQUEST = GenerationRequest((Turn("user", ("Hi",)),), Sampling(max_new_tokens=3), 0, "test")
Make = Callable[..., VllmEngine]


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> Hosts:
    return count_hosts(monkeypatch)


@pytest.fixture
def make(tiny_folder: Path, tmp_path: Path) -> Make:
    """Make an engine of the tiny model, with an adapter of these settings where a name is given."""

    def engine(name: str | None = None, model: dict[str, Any] | None = None, **settings: Any) -> VllmEngine:
        adapter = None if name is None else str(worn(tmp_path / name, {"r": 4, **settings}))
        config = ModelConfig(id=str(tiny_folder), adapter=adapter, **(model or {}))
        return VllmEngine(config, EngineConfig(kind="vllm", device="cpu"))

    return engine


def ask(*engines: VllmEngine) -> None:
    for engine in engines:
        asyncio.run(engine.generate(REQUEST))


def test_engines_that_differ_in_the_adapter_share_a_host(hosts: Hosts, make: Make, tmp_path: Path):
    base, sft, dpo = make(), make("sft", r=4), make("dpo", r=20)
    assert sft.join(base)
    assert dpo.join(base)
    ask(base, sft, dpo, base)
    assert len(hosts.loads) == 1
    assert hosts.asked == [(0, None), (0, str(tmp_path / "sft")), (0, str(tmp_path / "dpo")), (0, None)]
    arguments = hosts.loads[0].arguments
    assert (arguments["enable_lora"], arguments["max_lora_rank"]) == (True, 32)


def test_a_shared_host_ends_with_the_last_engine_that_used_it(hosts: Hosts, make: Make):
    base, sft, dpo = make(), make("sft"), make("dpo")
    assert sft.join(base)
    assert dpo.join(base)
    ask(base, sft)
    dpo.close()  # it has not asked
    base.close()
    base.close()
    assert len(hosts.running) == 1
    ask(sft)
    sft.close()
    assert hosts.running == []
    ask(dpo)
    assert (len(hosts.loads), len(hosts.running)) == (2, 1)


def test_sharing_changes_neither_keys_nor_identities(hosts: Hosts, make: Make):
    alone, base, shared = make("sft"), make(), make("sft")
    assert shared.join(base)
    assert (shared.identity, shared.key(REQUEST)) == (alone.identity, alone.key(REQUEST))
    assert shared.key(REQUEST) != base.key(REQUEST)


def test_another_template_is_no_reason_to_load_the_model_again_but_other_weights_are(
    hosts: Hosts, make: Make, tiny_folder: Path
):
    base = make()
    thinking = make(model={"chat_template_kwargs": {"enable_thinking": True}})
    assert thinking.join(base)
    assert thinking.shares_model_with(base)
    others = [
        make(model={"dtype": "bfloat16"}),
        VllmEngine(
            ModelConfig(id=str(tiny_folder)), EngineConfig(kind="vllm", device="cpu", max_model_len=64)
        ),
        VllmEngine(ModelConfig(id="embedded"), EngineConfig(kind="vllm", device="cpu")),
    ]
    assert [other.join(base) or other.shares_model_with(base) for other in others] == [False] * 3
    assert not base.join(TransformersEngine(ModelConfig(id=str(tiny_folder)), EngineConfig(device="cpu")))


def test_a_running_host_takes_only_adapters_that_it_made_room_for(hosts: Hosts, make: Make):
    base, sft, late = make(), make("sft"), make("late")
    assert sft.join(base)
    ask(base)
    assert not late.join(base)
    assert make("sft").join(base)
    ask(late, sft)
    assert len(hosts.loads) == 2
    base.close()
    sft.close()
    assert late.join(base)


def test_an_adapter_that_vllm_cannot_attach_fails_alone(hosts: Hosts, make: Make):
    base, bad = make(), make("bad", modules_to_save=["lm_head"])
    assert not bad.join(base)
    with pytest.raises(EngineError, match="cannot attach an adapter with modules_to_save"):
        ask(bad)
    ask(base)
    assert "enable_lora" not in hosts.loads[0].arguments


@pytest.mark.vllm
@pytest.mark.skipif(vllm_device() != "cpu", reason=f"vLLM for a CPU is not installed; run: {install_vllm()}")
def test_vllm_s_products_leave_a_request_without_an_adapter_alone_in_a_mixed_batch(tmp_path: Path):
    punica: Any = importlib.import_module("vllm.lora.punica_wrapper.punica_cpu")
    layers: Any = importlib.import_module("vllm.lora.layers.utils")
    folders = [worn(tmp_path / name, {"r": 4}) for name in ("sft", "dpo")]
    files = ModelFiles("m", tmp_path, "digest")
    places = int(host_load(files, "float32", "cpu", CONFIG, 512, folders).arguments["max_loras"])
    numbers = (1, 1, 0, 2)  # of the adapter of each token
    wrapper = punica.PunicaWrapperCPU(64, 8, "cpu")
    mapping = layers.LoRAMapping(numbers, numbers, is_prefill=True)
    wrapper.update_metadata(mapping, [1, 2, *[None] * (places - 2)], places, 300)
    torch.manual_seed(0)
    tokens, narrow, wide = torch.randn(4, 16), torch.zeros(places, 1, 4, 16), torch.zeros(places, 1, 16, 4)
    narrow[:2].normal_()
    wide[:2].normal_()
    found = torch.zeros(4, 16)
    wrapper.add_lora_linear(found, tokens, (narrow,), (wide,), 1.0, (16,))
    for row, number in enumerate(numbers):
        expected = (
            tokens[row] @ narrow[number - 1, 0].T @ wide[number - 1, 0].T if number else torch.zeros(16)
        )
        torch.testing.assert_close(found[row], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.vllm
@pytest.mark.long  # loads vLLM twice
@pytest.mark.skipif(vllm_device() != "cpu", reason=f"vLLM for a CPU is not installed; run: {install_vllm()}")
def test_a_shared_host_answers_as_hosts_of_their_own_do(
    embedded_files: Any, vllm_engine: VllmEngine, tmp_path: Path
):
    folders = [random_adapter(tmp_path / name, seed) for seed, name in enumerate(("sft", "dpo"))]
    models = [ModelConfig(id="embedded", adapter=str(folder)) for folder in folders]
    base, sft, dpo = shared = [VllmEngine(model, CONFIG) for model in (ModelConfig(id="embedded"), *models)]
    assert all(engine.join(base) for engine in (sft, dpo))
    own = VllmEngine(models[0], CONFIG)
    merged = TransformersEngine(models[1], EngineConfig(device="cpu"))
    requests, questions = drafts(6, GREEDY), comparison_requests(6)
    try:
        # One engine after the other on the same prompts: the prefix cache of one must not serve another.
        found = [generate(engine, requests) for engine in (base, sft, dpo, base, sft)]
        scores = [choose(engine, questions) for engine in shared]
        assert len({engine._host._link.group for engine in shared}) == 1
        expected = [generate(engine, requests) for engine in (vllm_engine, own, merged)]
        expected_scores = [choose(engine, questions) for engine in (vllm_engine, own, merged)]

        async def mixed() -> list[Any]:
            pairs = [engine.generate(request) for request in requests for engine in shared]
            return await asyncio.gather(*pairs)

        together = asyncio.run(mixed())
    finally:
        for engine in (*shared, own, merged):
            engine.close()
    texts = [[answer.text for answer in answers] for answers in found]
    assert (texts[3], texts[4]) == (texts[0], texts[1])
    for number in range(3):
        same = [a.text == b.text for a, b in zip(found[number], expected[number], strict=True)]
        assert sum(same) >= len(same) - 1, number  # one near-tie may be decided by rounding
        for here, there in zip(scores[number], expected_scores[number], strict=True):
            assert here.logprobs == pytest.approx(there.logprobs, abs=1e-3)
        in_company = [answer.text for answer in together[number::3]]
        assert sum(a == b for a, b in zip(in_company, texts[number], strict=True)) >= len(requests) - 1
    # Each adapter acts: another model scores otherwise, and few short answers come out the same by chance.
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert sum(a == b for a, b in zip(texts[one], texts[other], strict=True)) <= len(requests) // 2
        moved = [abs(a.logprobs[0] - b.logprobs[0]) for a, b in zip(scores[one], scores[other], strict=True)]
        assert max(moved) > 0.02

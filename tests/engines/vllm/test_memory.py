"""An engine beside a trainer takes what is free less a reserve, and never nine tenths of the GPU."""

from __future__ import annotations

import pytest
import torch

from core.errors import EngineError
from engines.config import EngineConfig
from engines.vllm.memory import ALONE, RESERVE, memory_share
from engines.vllm.setup import host_load, rollout_load
from tests.engines.vllm.test_setup import FILES

GIB = 2**30


class Gpus:
    """GPUs of 80 GiB, of which this process and others have taken some."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, own: dict[int, float], others: int = 0) -> None:
        self.emptied = 0
        used = {gpu: round(gib * GIB) for gpu, gib in own.items()}
        cuda = {
            "is_initialized": lambda: True,
            "current_device": lambda: 0,
            "device_count": lambda: 2,
            "memory_allocated": lambda gpu: used.get(gpu, 0),
            "mem_get_info": lambda gpu: (80 * GIB - used.get(gpu, 0) - others * GIB, 80 * GIB),
            "empty_cache": self.empty_cache,
        }
        for name, function in cuda.items():
            monkeypatch.setattr(torch.cuda, name, function)

    def empty_cache(self) -> None:
        self.emptied += 1


def test_gpu_that_this_process_does_not_use_is_taken_whole(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda gpu: pytest.fail("CUDA would be set up"))
    assert memory_share() == ALONE
    Gpus(monkeypatch, own={0: 18, 1: 0.1})
    assert memory_share(gpu=1) == ALONE


def test_beside_a_trainer_it_is_what_is_free_less_the_reserve(monkeypatch: pytest.MonkeyPatch):
    gpus = Gpus(monkeypatch, own={0: 18})
    assert memory_share() == pytest.approx(62 / 80 - RESERVE)
    assert gpus.emptied == 1
    Gpus(monkeypatch, own={0: 18}, others=12)
    assert memory_share() == pytest.approx(50 / 80 - RESERVE)


def test_sampler_and_labeler_on_one_gpu_share_it(monkeypatch: pytest.MonkeyPatch):
    Gpus(monkeypatch, own={0: 16})
    first = memory_share(engines=2)
    Gpus(monkeypatch, own={0: 16}, others=round(first * 80))
    second = memory_share()
    assert first == pytest.approx((64 / 80 - RESERVE) / 2)
    assert second == pytest.approx(first, abs=0.01)
    assert 16 / 80 + first + second <= 1 - RESERVE + 0.01


def test_full_gpu_is_refused_with_another_gpu_as_the_way_out(monkeypatch: pytest.MonkeyPatch):
    Gpus(monkeypatch, own={0: 60})
    with pytest.raises(EngineError) as caught:
        memory_share()
    told = str(caught.value)
    assert "20.0 of 80.0 GiB are free on GPU 0, and training may need 20.0 GiB of them" in told
    assert "engine: {gpus: [1]}" in told
    assert "\n" not in told


def test_hosts_are_told_the_share_unless_the_user_has_set_one(monkeypatch: pytest.MonkeyPatch):
    Gpus(monkeypatch, own={0: 18})

    def share(engine: EngineConfig) -> object:
        return host_load(FILES, "bfloat16", "cuda", engine, 4096).arguments["gpu_memory_utilization"]

    assert share(EngineConfig(kind="vllm")) == pytest.approx(62 / 80 - RESERVE)
    assert share(EngineConfig(kind="vllm", gpus=(1,))) == ALONE
    assert share(EngineConfig(kind="vllm", gpu_memory_utilization=0.4)) == 0.4
    sampler = EngineConfig(kind="vllm", max_model_len=512)
    load = rollout_load(FILES, "bfloat16", "cuda", sampler, {"r": 4}, engines=2)
    assert load.arguments["gpu_memory_utilization"] == pytest.approx((62 / 80 - RESERVE) / 2)


def test_a_process_of_several_measures_its_own_gpu(monkeypatch: pytest.MonkeyPatch):
    Gpus(monkeypatch, own={1: 40})
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert memory_share() == pytest.approx(0.5 - RESERVE)


def test_a_gpu_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch):
    Gpus(monkeypatch, own={})
    with pytest.raises(EngineError, match=r"engine\.gpus: no GPU 9: 2 found; accepted: 0 to 1$"):
        memory_share(9)

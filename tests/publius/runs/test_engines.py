"""The engines of a run: settings by role, and which models can be loaded together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.chat import Turn
from core.errors import ConfigError, EngineError
from core.records import Sampling
from core.store.cache import RequestCache
from engines.config import EngineConfig, ModelConfig, ModelsConfig
from engines.endpoint.spending import ServerRecord, Traffic
from engines.protocols import Engine, GenerationRequest
from engines.scripted import ScriptedEngine
from engines.vllm.setup import install_vllm, vllm_device
from publius.config.run_file import build_run_config
from publius.runs import engines as run_engines
from publius.runs.engines import EngineRole, Engines, conversations, open_engines
from publius.runs.project import open_cache
from tests.engines.http.fault_server import MODEL, serving


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[RequestCache]:
    with open_cache(tmp_path) as opened:
        yield opened


def engines_of(
    cache: RequestCache, engine: EngineConfig, **models: Any
) -> tuple[Engines, list[EngineConfig]]:
    """The engines of a run, and the settings with which they have been made."""
    made: list[EngineConfig] = []

    def make(model: ModelConfig, settings: EngineConfig) -> Engine:
        made.append(settings)
        return ScriptedEngine(model=model.id, keep_history=False)

    return Engines(ModelsConfig.model_validate({"policy": {"id": "p"}, **models}), engine, cache, make), made


def test_each_model_s_own_settings_reach_its_engine(cache: RequestCache):
    own = {
        "id": "l",
        "engine": {"gpus": [1], "gpu_memory_utilization": 0.5, "arguments": {"max_num_seqs": 4}},
    }
    engines, made = engines_of(cache, EngineConfig(kind="vllm"), labeler=own)
    engines.of("policy")
    engines.of("labeler")
    assert [settings.gpus for settings in made] == [None, (1,)]
    assert [settings.gpu_memory_utilization for settings in made] == [None, 0.5]
    assert [settings.arguments for settings in made] == [{}, {"max_num_seqs": 4}]


ON_0, ON_1 = ({"id": name, "engine": {"gpus": [gpu]}} for name, gpu in (("a", 0), ("b", 1)))


@pytest.mark.parametrize(
    ("kind", "models", "together"),
    [
        ("vllm", {}, True),
        ("vllm", {"critic": {"id": "c"}}, False),
        ("transformers", {"critic": {"id": "c"}}, False),
        ("scripted", {"critic": {"id": "c"}}, True),
        ("vllm", {"critic": ON_1}, False),
        ("vllm", {"policy": ON_0, "critic": ON_1}, True),
        ("transformers", {"policy": ON_0, "critic": ON_1}, True),
        ("vllm", {"policy": ON_0, "critic": {**ON_1, "engine": {"gpus": [0, 1]}}}, False),
    ],
)
def test_two_models_are_loaded_together_only_on_gpus_of_their_own(
    cache: RequestCache, kind: Any, models: dict[str, Any], together: bool
):
    engines, _ = engines_of(cache, EngineConfig(kind=kind), **models)
    assert engines.fit_together("policy", "critic") is together


@pytest.mark.parametrize(
    ("kind", "labeler", "beside"),
    [("vllm", {"id": "l"}, True), ("vllm", ON_1, False), ("transformers", {"id": "l"}, False)],
)
def test_a_labeler_without_gpus_of_its_own_starts_beside_the_trainer(
    cache: RequestCache, kind: Any, labeler: dict[str, Any], beside: bool
):
    role: EngineRole = "labeler"
    assert engines_of(cache, EngineConfig(kind=kind), labeler=labeler)[0].vllm_beside_trainer(role) is beside


@pytest.mark.skipif(vllm_device() is None, reason=f"vLLM is not installed; run: {install_vllm()}")
def test_a_sampler_s_arguments_are_checked_when_a_run_starts(tmp_path: Path):
    sampler = {"rollout_engine": "vllm", "rollout_arguments": {"tensor_paralel_size": 2}}
    config = build_run_config(
        {
            "constitution": "harmless",
            "prompts": "prompts.jsonl",
            "models": {"policy": "p"},
            "train": ["rloo"],
            "rloo": sampler,
        }
    )
    with (
        pytest.raises(ConfigError, match=r"rloo\.rollout_arguments: .*; accepted: tensor_parallel_size"),
        open_engines(config, tmp_path),
    ):
        pass


def test_vllm_on_a_gpu_gets_more_conversations(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run_engines, "vllm_device", lambda: "cuda")
    assert conversations(EngineConfig(kind="vllm")) == 512
    assert conversations(EngineConfig()) == conversations(EngineConfig(kind="scripted")) == 64
    monkeypatch.setattr(run_engines, "vllm_device", lambda: None)
    assert conversations(EngineConfig(kind="vllm")) == 64


def test_a_role_s_own_budget_counts_what_was_spent_in_this_role_at_any_address(cache: RequestCache):
    models = ModelsConfig.model_validate(
        {"policy": {"id": MODEL}, "labeler": {"id": MODEL, "engine": {"budget": {"tokens": 1000}}}}
    )
    request = GenerationRequest((Turn("user", ("Hello.",)),), Sampling(), 0, "draft")

    def ask(role: EngineRole, earlier: list[ServerRecord], seed: int) -> list[ServerRecord]:
        engines = Engines(models, EngineConfig(kind="http", url=server.url), cache)
        engines.identities()
        engines.resume_servers(earlier)
        asyncio.run(engines.of(role).generate(replace(request, seed=seed)))
        return engines.take_server_records()

    with serving() as server:
        (policy,) = (record for record in ask("policy", [], 0) if record.role == "policy")
        (labeler,) = (record for record in ask("labeler", [], 1) if record.role == "labeler")
        assert ServerRecord.from_json(labeler.as_json()) == labeler
        much = Traffic(tries=1, prompt_tokens=5000)
        others = [
            replace(policy, traffic=much),
            replace(labeler, role="", url="http://other/v1", traffic=much),
        ]
        ask("labeler", [*others, labeler], 2)
        for spent in (replace(labeler, url="http://other/v1"), replace(labeler, role="")):
            with pytest.raises(EngineError, match=r"budget of 1,000 tokens is spent \(5,000 used\)"):
                ask("labeler", [replace(spent, traffic=much)], 3)

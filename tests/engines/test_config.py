from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from core.errors import ConfigError
from core.settings import OPERATIONAL
from engines.config import ROLES, EngineConfig, ModelConfig, ModelEngineConfig, ModelsConfig

POLICY, CRITIC, LABELER = ({"id": name} for name in ("p", "c", "l"))


@pytest.mark.parametrize(
    ("given", "critic", "labeler"),
    [
        ({}, "p", "p"),
        ({"critic": CRITIC}, "c", "p"),
        ({"critic": CRITIC, "labeler": "critic"}, "c", "c"),
        ({"labeler": "critic"}, "p", "p"),
        ({"critic": "policy", "labeler": "critic"}, "p", "p"),
        ({"critic": CRITIC, "labeler": LABELER}, "c", "l"),
        ({"labeler": LABELER}, "p", "l"),
    ],
)
def test_role_is_followed_to_its_model(given: dict[str, Any], critic: str, labeler: str):
    models = ModelsConfig.model_validate({"policy": POLICY, **given})
    assert [models.of(role).id for role in ("policy", "critic", "labeler")] == ["p", critic, labeler]


def test_judge_is_never_anyone_by_default():
    assert ModelsConfig(policy=ModelConfig(id="p")).judge is None


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"policy": POLICY, "critic": "labeler"},
        {"policy": POLICY, "labeler": "judge"},
        {"policy": POLICY, "judge": "policy"},
        {"policy": POLICY, "writer": POLICY},
        {"policy": {"id": ""}},
        {"policy": {"id": "p", "dtype": "int8"}},
        {"policy": {"id": "p", "trust_remote_code": True}},
    ],
)
def test_what_names_no_model_is_refused(given: dict[str, Any]):
    with pytest.raises(ValidationError):
        ModelsConfig.model_validate(given)


def test_roles_are_the_fields_of_the_section():
    assert tuple(ModelsConfig.model_fields) == ROLES


def test_only_speed_and_memory_are_operational():
    marked = {
        name for name, field in EngineConfig.model_fields.items() if field.json_schema_extra == OPERATIONAL
    }
    assert marked == {
        "max_batch",
        "max_batch_tokens",
        "max_model_len",
        "gpu_memory_utilization",
        "kv_cache_gib",
        "prefix_cache_gib",
        "pack_weights",
        "concurrency",
        "request_timeout_s",
        "gpus",
        "replicas",
        "device_map",
        # A server, and how it is asked: what it answers depends on none of them.
        "url",
        "api_key_env",
        "timeouts",
        "max_tries",
        "outage_s",
        "unreachable_s",
        "prices",
        "budget",
    }


@pytest.mark.parametrize("section", [ModelConfig, ModelEngineConfig, ModelsConfig, EngineConfig])
def test_every_field_has_a_help_text(section: type[ModelConfig | ModelsConfig | EngineConfig]):
    assert [name for name, field in section.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("given", "device", "count"),
    [
        ({}, "cuda", 512),
        ({}, "cpu", 64),
        ({}, None, 64),
        ({"concurrency": 8}, "cuda", 8),
        ({"kind": "vllm", "replicas": 4}, "cuda", 2048),
        ({"kind": "vllm", "replicas": 4, "concurrency": 8}, "cuda", 8),
        ({"kind": "vllm", "replicas": 4}, "cpu", 64),
    ],
)
def test_conversations_in_progress_depend_on_the_engine(
    given: dict[str, Any], device: str | None, count: int
):
    assert EngineConfig(**given).conversations(device) == count


def test_a_model_s_own_settings_take_precedence():
    engine = EngineConfig(
        kind="vllm", gpu_memory_utilization=0.8, arguments={"quantization": "fp8", "max_num_seqs": 4}
    )
    own = {"gpus": [1, 2], "arguments": {"max_num_seqs": 9, "tensor_parallel_size": 2}}
    merged = engine.for_model(ModelConfig.model_validate({"id": "m", "engine": own}))
    assert (merged.gpus, merged.gpu_memory_utilization, merged.kind) == ((1, 2), 0.8, "vllm")
    assert merged.arguments == {"quantization": "fp8", "max_num_seqs": 9, "tensor_parallel_size": 2}
    assert engine.for_model(ModelConfig(id="m")) == engine


@pytest.mark.parametrize("gpus", [[], [-1], ["a"]])
def test_gpus_are_indices(gpus: list[Any]):
    with pytest.raises(ValidationError):
        ModelEngineConfig.model_validate({"gpus": gpus})


def test_replicas_are_those_of_vllm():
    with pytest.raises(ValidationError, match="replicas are those of vLLM, but kind is transformers"):
        EngineConfig(replicas=2)
    own = ModelConfig.model_validate({"id": "m", "engine": {"replicas": 2}})
    with pytest.raises(ConfigError, match=r"models\.labeler\.engine\.replicas: replicas are those of vLLM"):
        EngineConfig().for_model(own, "labeler")
    engine = EngineConfig(kind="vllm", replicas=4)
    assert engine.for_model(own).replicas == 2
    assert engine.for_model(ModelConfig.model_validate({"id": "m", "engine": {"gpus": [0, 1]}})).replicas == 4
    elsewhere = ModelConfig.model_validate({"id": "m", "engine": {"kind": "transformers"}})
    assert engine.for_model(elsewhere).replicas == 1

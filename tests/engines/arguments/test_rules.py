"""Which arguments of vLLM a run file may set, and which of them belong to a run's identity."""

from __future__ import annotations

import pytest
from pydantic import JsonValue, ValidationError

from core.errors import ConfigError
from core.settings import identity_of
from engines.arguments.rules import OWNED
from engines.config import EngineConfig, ModelConfig, ModelEngineConfig
from training.rl.config import PPOConfig, RLOOConfig

OPERATIONAL: dict[str, JsonValue] = {
    "tensor_parallel_size": 4,
    "data_parallel_size": 2,
    "pipeline_parallel_size": 2,
    "max_num_seqs": 512,
    "max_num_batched_tokens": 16384,
    "enforce_eager": True,
    "cpu_offload_gb": 8,
    "enable_expert_parallel": True,
    "distributed_executor_backend": "mp",
}
DECISIVE: dict[str, JsonValue] = {
    "quantization": "fp8",
    "kv_cache_dtype": "fp8",
    "hf_overrides": {"rope_parameters": {"factor": 4.0}},
    "mamba_cache_dtype": "float32",
    "attention_backend": "FLASHINFER",
    "an_argument_of_a_later_version": 1,
}


@pytest.mark.parametrize("name", [*OWNED, "trust-remote-code"])
def test_arguments_that_publius_sets_are_refused_with_what_to_use_instead(name: str):
    with pytest.raises(ValidationError, match=f"{name} is set by Publius itself; use instead: "):
        EngineConfig(kind="vllm", arguments={name: 1})
    with pytest.raises(ValidationError, match=f"{name} is set by Publius itself; use instead: "):
        ModelEngineConfig(arguments={name: 1})


@pytest.mark.parametrize("config", [PPOConfig, RLOOConfig])
def test_sampler_s_arguments_obey_the_same_rules(config: type[PPOConfig | RLOOConfig]):
    with pytest.raises(ValidationError, match="model is set by Publius itself"):
        config(rollout_arguments={"model": "x"})
    assert identity_of(config(rollout_arguments=OPERATIONAL)) == identity_of(config())
    assert identity_of(config(rollout_arguments=DECISIVE)) != identity_of(config())
    assert identity_of(config(rollout_gpus=(1,), max_batch=3)) == identity_of(config())


@pytest.mark.parametrize("name", OPERATIONAL)
def test_parallelism_memory_and_batching_are_no_part_of_the_identity(name: str):
    plain = EngineConfig(kind="vllm")
    assert identity_of(EngineConfig(kind="vllm", arguments={name: OPERATIONAL[name]})) == identity_of(plain)
    model = ModelConfig(id="m", engine=ModelEngineConfig(gpus=(1,), arguments={name: OPERATIONAL[name]}))
    assert identity_of(model) == identity_of(ModelConfig(id="m"))


@pytest.mark.parametrize("name", DECISIVE)
def test_everything_else_is_part_of_the_identity(name: str):
    given = {name: DECISIVE[name]}
    assert identity_of(EngineConfig(kind="vllm", arguments={**given, **OPERATIONAL}))["arguments"] == given
    model = ModelConfig(id="m", engine=ModelEngineConfig(arguments={**given, **OPERATIONAL}))
    assert identity_of(model)["engine"] == {"arguments": given}


def test_arguments_of_vllm_are_refused_for_transformers_and_idle_in_a_dry_run():
    with pytest.raises(ValidationError, match="arguments are those of vLLM, but kind is transformers"):
        EngineConfig(arguments={"quantization": "fp8"})
    own = ModelConfig(id="m", engine=ModelEngineConfig(arguments={"quantization": "fp8"}))
    with pytest.raises(ConfigError, match=r"engine\.kind is transformers"):
        EngineConfig().for_model(own)
    assert EngineConfig(kind="scripted", arguments={"quantization": "fp8"}).arguments

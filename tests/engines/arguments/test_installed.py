"""Arguments are checked against the installed vLLM's own fields, which are read without importing it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pydantic import JsonValue

from core.errors import ConfigError
from engines.arguments import installed
from engines.arguments.installed import require_known
from engines.arguments.rules import OPERATIONAL_ARGUMENTS, OWNED
from engines.vllm.setup import install_vllm, vllm_device

pytestmark = pytest.mark.skipif(vllm_device() is None, reason=f"vLLM is not installed; run: {install_vllm()}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tensor_parallel_size", 2),
        ("data_parallel_size", 2),
        ("pipeline_parallel_size", 2),
        ("quantization", "fp8"),
        ("quantization", None),
        ("kv_cache_dtype", "fp8_e5m2"),
        ("max_num_seqs", 256),
        ("max_num_batched_tokens", 8192),
        ("enforce_eager", True),
        ("cpu_offload_gb", 4),
        ("cpu_offload_params", ["experts"]),
        ("hf_overrides", {"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}),
        ("compilation_config", {"level": 3}),
        ("speculative_config", {"method": "ngram", "num_speculative_tokens": 3}),
        ("enable_log_requests", True),
    ],
)
def test_vllm_s_own_arguments_are_taken(name: str, value: JsonValue):
    before = "vllm" in sys.modules
    require_known({name: value}, "engine.arguments", "0.32.0")
    assert ("vllm" in sys.modules) == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            {"tensor_paralel_size": 2},
            "run: vLLM 0.32.0 has no argument 'tensor_paralel_size'; accepted: tensor_parallel_size",
        ),
        (
            {"max-num-seqs": 2},
            "run: vLLM 0.32.0 has no argument 'max-num-seqs'; accepted: max_num_seqs",
        ),
        (
            {"zzz": 2},
            "run: vLLM 0.32.0 has no argument 'zzz'; accepted: a field of vLLM's AsyncEngineArgs",
        ),
        (
            {"tensor_parallel_size": "two"},
            'run.tensor_parallel_size: vLLM 0.32.0 does not take "two" here; accepted: int',
        ),
        (
            {"enforce_eager": 1},
            "run.enforce_eager: vLLM 0.32.0 does not take 1 here; accepted: bool",
        ),
        (
            {"max_num_seqs": 1.5},
            "run.max_num_seqs: vLLM 0.32.0 does not take 1.5 here; accepted: int, null",
        ),
        (
            {"mm_encoder_tp_mode": "both"},
            'run.mm_encoder_tp_mode: vLLM 0.32.0 does not take "both" here; accepted: weights, data',
        ),
    ],
)
def test_what_vllm_does_not_take_is_refused_in_one_line(arguments: dict[str, JsonValue], told: str):
    with pytest.raises(ConfigError) as caught:
        require_known(arguments, "run", "0.32.0")
    assert str(caught.value) == told


@pytest.mark.parametrize(("name", "value"), [("kv_cache_dtype", "fp9"), ("quantization", 5), ("hf_token", 5)])
def test_choices_behind_another_module_s_name_are_found(name: str, value: JsonValue):
    with pytest.raises(ConfigError, match=rf"engine\.arguments\.{name}: .*; accepted: .*"):
        require_known({name: value}, "engine.arguments", "0.32.0")


def test_every_name_on_our_lists_is_an_argument_of_vllm():
    known = set(installed._annotations())
    assert not (OWNED.keys() | OPERATIONAL_ARGUMENTS) - known
    assert not OWNED.keys() & OPERATIONAL_ARGUMENTS


def test_vllm_of_another_layout_is_left_to_judge_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(installed, "_annotations", dict)
    require_known({"anything": 1}, "engine.arguments", "9.0")

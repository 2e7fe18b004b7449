"""Configurations of `publius train --launch`: files of accelerate, by name or by path, checked before use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from core.errors import ConfigError, first_line
from core.lazy import require
from training.processes import whole_models_only

SHIPPED = ("one-gpu", "all-gpus", "two-cpu")
"""Names of the configurations that ship with Publius."""
_SHARDED = {"fsdp2": "FSDP", "zero3": "DeepSpeed (ZeRO)"}
"""Names that are asked for elsewhere, and what they would do."""
_WHOLE = ("NO", "MULTI_GPU", "MULTI_CPU")
"""Values of `distributed_type` by which each process has a whole model."""
_KINDS = {**{"FSDP": "FSDP", "DEEPSPEED": "DeepSpeed (ZeRO)"}, "MEGATRON_LM": "Megatron-LM"}
_ALL = "all"


@dataclass(frozen=True)
class LaunchConfig:
    """What a configuration file asks of a machine."""

    name: str
    """As given: a name that ships with Publius, or a path."""
    path: Path
    processes: int
    """Number of processes on all machines together."""
    machines: int
    on_cpu: bool
    has_port: bool
    """True if the file sets the port at which the processes meet."""


def read_launch(given: str) -> LaunchConfig:
    """Read a configuration and check that it fits this machine.

    Args:
        given: a name in `SHIPPED`, or the path of a configuration file of accelerate.

    Raises:
        ConfigError: if there is no such file, accelerate cannot read it, it asks for more than data
            parallelism, or for more GPUs than are visible.
        MissingExtraError: if accelerate is not installed.
    """
    if given in _SHARDED:
        raise whole_models_only([f"{_SHARDED[given]} ({given})"], "--launch")
    path = _path_of(given)
    config = _loaded(path, given)
    asked = _beyond_whole_models(config)
    if asked:
        raise whole_models_only(asked, given)
    gpus = int(require("torch", "train").cuda.device_count())
    processes = gpus if given == "all-gpus" else int(config.num_processes)
    launch = LaunchConfig(
        name=given,
        path=path,
        processes=processes,
        machines=int(config.num_machines),
        on_cpu=bool(config.use_cpu),
        has_port=config.main_process_port is not None,
    )
    _require_fit(launch, gpus, config.gpu_ids)
    return launch


def _path_of(given: str) -> Path:
    path = Path(__file__).with_name(f"{given}.yaml") if given in SHIPPED else Path(given).expanduser()
    if not path.is_file():
        raise ConfigError(
            "no such configuration",
            where=f"--launch {given}",
            accepted=f"{', '.join(SHIPPED)}, or a file that `accelerate config` wrote",
        )
    return path.resolve()


def _loaded(path: Path, given: str) -> Any:
    """Return the `ClusterConfig` of a file."""
    arguments = require("accelerate.commands.config.config_args", "train")
    try:
        config = arguments.load_config_from_file(str(path))
    except (ValueError, TypeError, KeyError, AttributeError, OSError, yaml.YAMLError) as error:
        raise ConfigError(
            f"accelerate cannot read this configuration: {first_line(error)}",
            where=given,
            accepted="a file that `accelerate config` wrote",
        ) from error
    if not isinstance(config, arguments.ClusterConfig):
        raise ConfigError(
            f"compute_environment is {config.compute_environment}", where=given, accepted="LOCAL_MACHINE"
        )
    return config


def _beyond_whole_models(config: Any) -> list[str]:
    """Return everything in a configuration that shards or compiles a model."""
    kind = str(getattr(config.distributed_type, "value", config.distributed_type))
    asked = [] if kind in _WHOLE else [f"{_KINDS.get(kind, kind)} (distributed_type: {kind})"]
    if getattr(config, "parallelism_config", None):
        asked.append("tensor, context or sharded parallelism (parallelism_config)")
    compiler = str((config.dynamo_config or {}).get("dynamo_backend", "no"))
    if compiler.lower() != "no":
        asked.append(f"torch.compile (dynamo_backend: {compiler})")
    return asked


def _require_fit(launch: LaunchConfig, gpus: int, ids: str | None) -> None:
    """Raise ConfigError if the machine has too few GPUs for a configuration.

    Args:
        launch: the configuration.
        gpus: number of visible GPUs.
        ids: indices of the GPUs that the file selects, separated by commas; None or `all` for all.
    """
    if launch.processes < 0:
        raise ConfigError("num_processes is not set", where=launch.name, accepted="the number of processes")
    if launch.on_cpu:
        return
    if gpus == 0:
        raise ConfigError(
            "no GPU is visible",
            where=f"--launch {launch.name}",
            accepted="two-cpu, or no --launch to train in one process",
        )
    if launch.name == "all-gpus" and gpus == 1:
        raise ConfigError("one GPU is visible", where="--launch all-gpus", accepted="one-gpu")
    selected = gpus if ids in (None, _ALL) else min(gpus, len(str(ids).split(",")))
    here = launch.processes // launch.machines
    if here > selected:
        raise ConfigError(
            f"{here} processes on this machine need a GPU each, and {selected} can be used",
            where=launch.name,
            accepted=f"at most {selected} processes a machine (num_processes), or use_cpu: true",
        )

"""Launchers that ask for more than data parallelism are refused by name, before a model is loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from core.errors import ConfigError
from tests import forked
from tests.training.jobs import train
from training.methods import METHODS, Method
from training.processes import require_data_parallel

REPOSITORY = Path(__file__).parents[2]
FSDP2 = {
    "distributed_type": "FSDP",
    "fsdp_config": {
        "fsdp_version": 2,
        "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "fsdp_reshard_after_forward": True,
        "fsdp_state_dict_type": "SHARDED_STATE_DICT",
    },
}
ZERO = {
    "distributed_type": "DEEPSPEED",
    "deepspeed_config": {"zero_stage": 3, "gradient_accumulation_steps": 1, "zero3_init_flag": False},
}
COMPILED = {"distributed_type": "MULTI_GPU", "dynamo_config": {"dynamo_backend": "INDUCTOR"}}


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("ACCELERATE_USE_FSDP", "true", "FSDP"),
        ("ACCELERATE_USE_DEEPSPEED", "true", r"DeepSpeed \(ZeRO\)"),
        ("ACCELERATE_USE_MEGATRON_LM", "true", "Megatron-LM"),
        ("ACCELERATE_USE_PARALLELISM_CONFIG", "true", "tensor, context or sharded parallelism"),
        ("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR", r"torch\.compile"),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_refuses_by_name(
    method: Method,
    variable: str,
    value: str,
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tiny_folder: Path,
):
    def loaded(*_: object, **__: object) -> None:
        raise AssertionError("a model is loaded")

    monkeypatch.setenv(variable, value)
    monkeypatch.setattr("engines.hf.loading._options", loaded)
    with pytest.raises(ConfigError, match=rf"asks for {named} \({variable}={value}\).*--multi_gpu"):
        train(method, tmp_path, str(tiny_folder))


def test_data_parallel_launches_are_accepted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "false")
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "NO")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    require_data_parallel()


def environment_of(path: Path) -> dict[str, str]:
    """What accelerate sets for the processes that it starts by a configuration file with DeepSpeed.

    `accelerate launch` itself starts none without the package deepspeed, which has no build for CPUs.
    """
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_deepspeed_cmd_env

    arguments = launch_command_parser().parse_args(["--config_file", str(path), "script.py"])
    arguments, *_ = _validate_launch_command(arguments)
    arguments.deepspeed_fields_from_accelerate_config = "zero_stage"
    environment: dict[str, str] = prepare_deepspeed_cmd_env(arguments)[1]
    return environment


def written(config: dict[str, object], folder: Path) -> Path:
    shared = {"compute_environment": "LOCAL_MACHINE", "num_machines": 1, "num_processes": 2}
    path = folder / "accelerate.yaml"
    path.write_text(yaml.safe_dump({**shared, "mixed_precision": "no", **config}))
    return path


def test_configuration_of_zero_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, value in environment_of(written(ZERO, tmp_path)).items():
        if name.startswith("ACCELERATE_"):
            monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=r"asks for DeepSpeed \(ZeRO\)"):
        require_data_parallel()


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    ("config", "named"),
    [(FSDP2, "USE_FSDP=true"), (COMPILED, "torch.compile")],
    ids=["fsdp2", "compiled"],
)
def test_real_configuration_files_of_accelerate_are_refused(
    config: dict[str, object], named: str, tiny_folder: Path, tmp_path: Path
):
    command = [sys.executable, "-m", "accelerate.commands.launch"]
    command += ["--config_file", str(written(config, tmp_path))]
    command += ["-m", "tests.training.jobs", str(tmp_path), str(tiny_folder), "dpo:4"]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=env, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode != 0
    assert named in done.stderr
    assert "each process trains a whole model" in done.stderr
    assert not (tmp_path / "dpo" / "training.json").exists()


@pytest.mark.slow
@pytest.mark.long
def test_precision_of_the_launcher_does_not_reach_the_model(tiny_folder: Path, tmp_path: Path):
    found = []
    for precision in ("no", "bf16"):
        folder, log = tmp_path / precision, tmp_path / "log"
        work = (train, "sft", folder, str(tiny_folder))
        process = forked.start(*work, log=log, ACCELERATE_MIXED_PRECISION=precision)
        process.join(300)
        assert process.exitcode == 0, log.read_text()
        found.append((folder / "adapter_model.safetensors").read_bytes())
    assert found[0] == found[1]

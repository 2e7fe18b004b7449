"""Configurations of `--launch`: what ships fits what it is for, and the rest is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from core.errors import ConfigError, MissingExtraError
from training.launch.configurations import SHIPPED, read_launch

SHARED = {
    "compute_environment": "LOCAL_MACHINE",
    "num_machines": 1,
    "num_processes": 2,
    "mixed_precision": "no",
}


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set how many GPUs are visible; none at first."""
    import torch

    def see(count: int) -> None:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    see(0)
    return see


def written(folder: Path, **settings: Any) -> str:
    path = folder / "accelerate.yaml"
    path.write_text(yaml.safe_dump({**SHARED, **settings}))
    return str(path)


def test_names_ship_with_a_file_that_accelerate_reads(gpus: Any):
    gpus(4)
    read = {name: read_launch(name) for name in SHIPPED}
    assert {name: launch.processes for name, launch in read.items()} == {
        "one-gpu": 1,
        "all-gpus": 4,
        "two-cpu": 2,
    }
    assert [name for name, launch in read.items() if launch.on_cpu] == ["two-cpu"]
    assert all(launch.path.is_file() and launch.machines == 1 for launch in read.values())


@pytest.mark.parametrize(
    ("name", "count", "told"),
    [
        ("one-gpu", 0, "no GPU is visible; accepted: two-cpu"),
        ("all-gpus", 0, "no GPU is visible"),
        ("all-gpus", 1, "one GPU is visible; accepted: one-gpu"),
    ],
)
def test_a_configuration_that_does_not_fit_the_machine_is_refused(
    name: str, count: int, told: str, gpus: Any
):
    gpus(count)
    with pytest.raises(ConfigError, match=rf"--launch {name}: {told}"):
        read_launch(name)


def test_a_process_needs_a_gpu_of_its_own(gpus: Any, tmp_path: Path):
    gpus(4)
    assert read_launch(written(tmp_path, distributed_type="MULTI_GPU", num_processes=4)).processes == 4
    with pytest.raises(ConfigError, match="8 processes on this machine need a GPU each, and 4 can be used"):
        read_launch(written(tmp_path, distributed_type="MULTI_GPU", num_processes=8))
    with pytest.raises(ConfigError, match="4 processes on this machine need a GPU each, and 2 can be used"):
        read_launch(written(tmp_path, distributed_type="MULTI_GPU", num_processes=4, gpu_ids="0,1"))
    across = written(tmp_path, distributed_type="MULTI_GPU", num_processes=8, num_machines=2)
    assert (read_launch(across).processes, read_launch(across).machines) == (8, 2)


@pytest.mark.parametrize("name", ["fsdp2", "zero3"])
def test_sharded_training_is_refused_by_its_usual_name(name: str):
    with pytest.raises(ConfigError, match=rf"--launch: the launcher asks for .* \({name}\).*all-gpus.*nf4"):
        read_launch(name)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"distributed_type": "FSDP", "fsdp_config": {"fsdp_version": 2}}, "asks for FSDP"),
        ({"distributed_type": "DEEPSPEED", "deepspeed_config": {"zero_stage": 3}}, r"DeepSpeed \(ZeRO\)"),
        (
            {"distributed_type": "MULTI_GPU", "dynamo_config": {"dynamo_backend": "INDUCTOR"}},
            r"torch\.compile",
        ),
        ({"distributed_type": "MULTI_GPU", "parallelism_config": {"tp_size": 2}}, "sharded parallelism"),
        ({"distributed_type": "XLA"}, r"asks for XLA"),
        ({"distributed_type": "MULTI_GPU", "colour": "red"}, "unknown keys.*colour"),
        ({"distributed_type": "SOME"}, "accelerate cannot read this configuration: 'SOME'"),
    ],
)
def test_files_beyond_data_parallelism_are_refused_with_what_they_ask_for(
    settings: dict[str, Any], told: str, gpus: Any, tmp_path: Path
):
    gpus(8)
    with pytest.raises(ConfigError, match=told):
        read_launch(written(tmp_path, **settings))


def test_what_is_no_configuration_is_refused(tmp_path: Path):
    with pytest.raises(
        ConfigError, match="--launch two-gpu: no such configuration; accepted: one-gpu, all-gpus"
    ):
        read_launch("two-gpu")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(ConfigError, match="accelerate cannot read this configuration"):
        read_launch(str(tmp_path / "list.yaml"))


def test_without_accelerate_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name.partition(".")[0])

    monkeypatch.setattr("core.lazy.importlib.import_module", missing)
    with pytest.raises(MissingExtraError, match=r"'accelerate' is not installed; run: .*train"):
        read_launch("two-cpu")

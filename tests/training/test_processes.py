"""Two processes under `accelerate launch` train as one does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from engines.adapter import WEIGHTS
from tests.training.jobs import train
from training.methods import ON_POLICY_METHODS, Method

pytestmark = pytest.mark.slow  # each process imports torch and loads a model

REPOSITORY = Path(__file__).parents[2]
ACCELERATE = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
ACCELERATE += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
"""`--multi_gpu` is accelerate's word for several processes on one machine; with `--cpu` it starts but one."""


OTHERS: tuple[Method, ...] = ("sft", "reward", "ppo", "grpo", "distill")
"""Without RLOO, which is as GRPO."""


def examples(method: Method) -> int:
    """The last step of SFT, reward and DPO has one row. The others take two steps for each prompt."""
    return 3 if method in ("ppo", "grpo", "distill") else 17


def launch(folder: Path, model: Path, *methods: Method) -> None:
    """Train with each method in two processes, one after the other."""
    jobs = [f"{method}:{examples(method)}" for method in methods]
    command = [*ACCELERATE, "-m", "tests.training.jobs", str(folder), str(model), *jobs]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=env, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr
    told = re.findall(r"process \d of \d", done.stdout)
    assert sorted(told) == ["process 0 of 2", "process 1 of 2"]


@pytest.fixture(scope="module")
def launched(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    launch(folder, tiny_folder, *OTHERS)
    return folder


def test_two_processes_give_the_weights_and_metrics_of_one(tiny_folder: Path, tmp_path: Path):
    launch(tmp_path / "two", tiny_folder, "dpo")
    require_the_same("dpo", tmp_path / "two", tmp_path / "one", tiny_folder)


@pytest.mark.long
@pytest.mark.parametrize("method", OTHERS)
def test_each_method_gives_the_same_in_two_processes(
    method: Method, launched: Path, tiny_folder: Path, tmp_path: Path
):
    require_the_same(method, launched, tmp_path, tiny_folder)


def require_the_same(method: Method, two_processes: Path, to: Path, model: Path) -> None:
    """Train in this process, and require what two gave."""
    train(method, to / method, str(model), count=examples(method))
    folders = (to / method, two_processes / method)
    one, two = (load_file(folder / WEIGHTS) for folder in folders)
    assert one.keys() == two.keys()
    assert max((one[name] - two[name]).abs().max().item() for name in one) < 1e-4
    assert max(value.abs().max().item() for name, value in one.items() if "lora_B" in name) > 1e-3
    first, second = (
        [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in folders
    )
    assert [row["step"] for row in first] == [row["step"] for row in second]
    for ours, theirs in zip(first, second, strict=True):
        loss = "loss/policy_avg" if method in ON_POLICY_METHODS else "loss"
        assert ours[loss] == pytest.approx(theirs[loss], abs=1e-4)

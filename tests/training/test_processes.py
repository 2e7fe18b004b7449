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
from training.methods import ON_POLICY_METHODS, Method

pytestmark = pytest.mark.slow  # each process imports torch and loads a model

REPOSITORY = Path(__file__).parents[2]
ACCELERATE = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
ACCELERATE += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
"""`--multi_gpu` is accelerate's word for several processes on one machine; with `--cpu` it starts but one."""


def launch(method: Method, folder: Path, model: Path, processes: int) -> None:
    # The last step of SFT, reward and DPO has one row. The others take two steps for each prompt.
    count = {"ppo": "3", "grpo": "3", "distill": "3"}.get(method, "17")
    jobs = ["-m", "tests.training.jobs", method, str(folder), str(model), count]
    command = [*(ACCELERATE if processes == 2 else [sys.executable]), *jobs]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=env, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr
    told = re.findall(r"process \d of \d", done.stdout)
    assert sorted(told) == [f"process {number} of {processes}" for number in range(processes)]


# RLOO is as GRPO.
@pytest.mark.parametrize(
    "method",
    [
        "dpo",
        *(pytest.param(name, marks=pytest.mark.long) for name in ("sft", "reward", "ppo", "grpo", "distill")),
    ],
)
def test_two_processes_give_the_weights_and_metrics_of_one(method: Method, tiny_folder: Path, tmp_path: Path):
    for processes in (1, 2):
        launch(method, tmp_path / f"{processes}", tiny_folder, processes)
    one, two = (load_file(tmp_path / f"{processes}" / WEIGHTS) for processes in (1, 2))
    assert one.keys() == two.keys()
    assert max((one[name] - two[name]).abs().max().item() for name in one) < 1e-4
    assert max(value.abs().max().item() for name, value in one.items() if "lora_B" in name) > 1e-3
    first, second = (
        [json.loads(line) for line in (tmp_path / f"{n}" / "metrics.jsonl").read_text().splitlines()]
        for n in (1, 2)
    )
    assert [row["step"] for row in first] == [row["step"] for row in second]
    for ours, theirs in zip(first, second, strict=True):
        loss = "loss/policy_avg" if method in ON_POLICY_METHODS else "loss"
        assert ours[loss] == pytest.approx(theirs[loss], abs=1e-4)

"""`kill -9` at random moments of a training: the weights are those of an undisturbed one, byte for byte."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engines.adapter import SETTINGS, WEIGHTS
from training.methods import METHODS, Method

pytestmark = pytest.mark.slow  # twenty-odd processes that each import torch and load a model

REPOSITORY = Path(__file__).parents[2]
KILLS = {"rloo": 1}
"""How often; ten times if not said. RLOO's checkpoints are those of SFT and DPO, and GRPO's those of RLOO."""
EXAMPLES = 24
STEPS = {"ppo": 2 * EXAMPLES, "rloo": 2 * EXAMPLES}
TINY = ("ppo", "rloo")
"""Methods that draw answers."""
OTHERS = 2 * EXAMPLES // 4


def start(method: Method, folder: Path, model: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.training.jobs", method, str(folder), model, str(EXAMPLES)]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(
        command, cwd=REPOSITORY, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def finish(method: Method, folder: Path, model: str) -> None:
    process = start(method, folder, model)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors.decode()


def steps_done(folder: Path) -> int:
    try:
        return (folder / "metrics.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


@pytest.mark.parametrize("method", [method for method in METHODS if method != "grpo"])
def test_killed_the_weights_are_those_of_an_undisturbed_training(
    method: Method, tmp_path: Path, embedded_files: object, tiny_folder: Path
):
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    model = str(tiny_folder) if method in TINY else "embedded"
    kills = KILLS.get(method, 10)
    finish(method, undisturbed, model)
    chance, seen = random.Random(11), []
    for number in range(kills):
        target = int(STEPS.get(method, OTHERS) * (number + chance.random()) / (kills + 1))
        process = start(method, killed, model)
        while steps_done(killed) < target and process.poll() is None:
            time.sleep(0.005)
        time.sleep(chance.random() * 0.5)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "the training ended before it was killed"
        seen.append(steps_done(killed))
    finish(method, killed, model)
    assert len({*seen}) > kills // 2  # it went on from where it was, and was killed at different steps
    assert (killed / WEIGHTS).read_bytes() == (undisturbed / WEIGHTS).read_bytes()
    assert (killed / SETTINGS).read_bytes() == (undisturbed / SETTINGS).read_bytes()
    assert (killed / "metrics.jsonl").read_text() == (undisturbed / "metrics.jsonl").read_text()

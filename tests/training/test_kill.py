"""Trainings that are killed or interrupted: the weights are those of an undisturbed one, byte for byte."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from engines.adapter import SETTINGS, WEIGHTS
from tests import forked
from tests.training.jobs import train
from training import fit
from training.checkpoints import TrainingFolder
from training.distill import loop as distill_loop
from training.methods import METHODS, ON_POLICY_METHODS, Method
from training.rl.ppo import loop

pytestmark = pytest.mark.slow  # processes that each load a model

KILLED: tuple[Method, ...] = ("dpo", "ppo")
"""One trainer of pairs and one that draws answers; the others have the same checkpoints as one of these."""
EXAMPLES: dict[Method, int] = {"sft": 16, "dpo": 16, "ppo": 2, "distill": 2}
"""How many for each kill, and for two more."""
STEPS: dict[Method, float] = {"sft": 1 / 2, "dpo": 1 / 2, "ppo": 2, "distill": 2}
"""For each example."""


def in_process(threads: int, method: Method, folder: Path, model: str, count: int) -> None:
    torch.set_num_threads(threads)  # another number might round otherwise
    train(method, folder, model, count=count)


def steps_done(folder: Path) -> int:
    try:
        return (folder / "metrics.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def same_in_the_end(folder: Path, whole: Path) -> None:
    for name in (WEIGHTS, SETTINGS, "metrics.jsonl"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.parametrize(
    ("method", "kills"),
    [
        *((method, 1) for method in KILLED),
        *(pytest.param(method, 10, marks=pytest.mark.long) for method in EXAMPLES),
    ],
)
def test_killed_the_weights_are_those_of_an_undisturbed_training(
    method: Method, kills: int, tmp_path: Path, tiny_folder: Path
):
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    count = EXAMPLES[method] * (kills + 2)
    train(method, undisturbed, str(tiny_folder), count=count)
    chance, seen = random.Random(11), []
    for number in range(kills):
        target = int(STEPS[method] * count * (number + chance.random()) / (kills + 1))
        process = forked.start(in_process, torch.get_num_threads(), method, killed, str(tiny_folder), count)
        while steps_done(killed) < target and process.is_alive():
            time.sleep(0.002)
        time.sleep(chance.random() * 0.1)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "the training ended before it was killed"
        seen.append(steps_done(killed))
    train(method, killed, str(tiny_folder), count=count)
    assert len({*seen}) > kills // 2  # it went on from where it was, and was killed at different steps
    same_in_the_end(killed, undisturbed)


class Killed(BaseException):
    """Ends a training as a signal would: nothing is written after it."""


@pytest.mark.parametrize("method", METHODS)
def test_interrupted_anywhere_the_weights_are_those_of_an_undisturbed_training(
    method: Method, tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    # Three times: with a checkpoint that is written and not yet committed, after one that is, and at the end,
    # when the adapter is to be saved.
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    commit, committed = TrainingFolder.commit, 0

    def dies_before(folder: TrainingFolder, step: int, keep: int | None = None) -> None:
        nonlocal committed
        if committed:
            raise Killed
        committed = step
        commit(folder, step, keep)

    def dies_after(folder: TrainingFolder, step: int, keep: int | None = None) -> None:
        commit(folder, step, keep)
        raise Killed

    def dies(*_: Any) -> None:
        raise Killed

    def run(folder: Path) -> None:
        train(method, folder, str(tiny_folder), count=4 if method in ON_POLICY_METHODS else 12)

    run(whole)
    for places in (
        [(TrainingFolder, "commit", dies_before)],
        [(TrainingFolder, "commit", dies_after)],
        [(place, "save_adapter", dies) for place in (fit, loop, distill_loop)],
    ):
        before = newest(killed)
        with monkeypatch.context() as patch:
            for place, name, replacement in places:
                patch.setattr(place, name, replacement)
            with pytest.raises(Killed):
                run(killed)
        assert newest(killed) > before, "it did not go on from where it was"
        assert not (killed / WEIGHTS).exists()
    run(killed)
    same_in_the_end(killed, whole)


def newest(folder: Path) -> int:
    """Return the step of the newest whole checkpoint, 0 if there is none."""
    found = TrainingFolder(folder).newest() if folder.exists() else None
    return int(found.name.partition("-")[2]) if found else 0

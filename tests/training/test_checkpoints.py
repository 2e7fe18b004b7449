"""Damaged files of a training: an older checkpoint or a new start, and the same weights in the end."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.adapter import SETTINGS, WEIGHTS
from tests.training.jobs import train
from training.checkpoints import RESULT, TrainingFolder


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def removed(path: Path) -> None:
    path.unlink()


DAMAGES = (emptied, halved, removed)


@pytest.fixture
def folder(tmp_path: Path) -> TrainingFolder:
    """A folder with checkpoints of the steps 1 and 2; the first is kept as the best one."""
    folder = TrainingFolder(tmp_path / "sft")
    folder.open("job")
    for step in (1, 2):
        staged = folder.staging / f"checkpoint-{step}"
        staged.mkdir()
        for name in ("optimizer.pt", "trainer_state.json"):
            (staged / name).write_text(f"{name} of step {step}")
        folder.commit(step, keep=1)
    return folder


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["optimizer.pt", "trainer_state.json"])
def test_a_damaged_checkpoint_is_passed_over(
    folder: TrainingFolder, name: str, damage: Callable[[Path], None]
):
    assert folder.newest() == folder.checkpoint(2)
    damage(folder.checkpoint(2) / name)
    assert folder.newest() == folder.checkpoint(1)
    damage(folder.checkpoint(1) / name)
    assert folder.newest() is None


def test_a_checkpoint_of_an_older_version_counts_as_it_is(folder: TrainingFolder):
    (folder.checkpoint(2) / "complete.json").unlink()
    assert folder.newest() == folder.checkpoint(2)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", [WEIGHTS, SETTINGS, RESULT])
@pytest.mark.parametrize("is_older", [False, True])
def test_a_result_counts_only_while_its_files_are_whole(
    folder: TrainingFolder, name: str, damage: Callable[[Path], None], is_older: bool
):
    for file in (WEIGHTS, SETTINGS):
        (folder.path / file).write_text(f"content of {file}")
    folder.finish({"job": "job", "steps": 2})
    if is_older:
        (folder.path / RESULT).write_text('{"job": "job", "steps": 2}')
    assert (folder.result("job") or {})["steps"] == 2
    damage(folder.path / name)
    if is_older and (name == SETTINGS or (name == WEIGHTS and damage is halved)):
        assert folder.result("job") is not None  # it recorded no sizes
    else:
        assert folder.result("job") is None


@pytest.mark.parametrize("content", ["[]", "5", "null", "{", ""])
def test_a_result_that_is_no_object_is_none(folder: TrainingFolder, content: str):
    (folder.path / RESULT).write_text(content)
    assert folder.result("job") is None


def test_damaged_lines_of_the_metrics_are_dropped(folder: TrainingFolder):
    folder.metrics.write_bytes(b'{"step": 1}\n\xff\xfe\n[]\n{"step": 2}\n{"st')
    folder.rewind(folder.metrics.name, 2)
    assert folder.metrics.read_bytes() == b'{"step": 1}\n{"step": 2}\n'


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("method", ["sft", "reward", "ppo"])
def test_every_file_of_a_finished_training_damaged_one_by_one_ends_in_the_same_weights(
    method: str, tmp_path: Path, tiny_folder: Path
):
    whole = tmp_path / "whole"
    count = 2 if method == "ppo" else 8
    train(method, whole, str(tiny_folder), count=count)
    names = [path.name for path in whole.iterdir() if path.is_file()]
    assert {WEIGHTS, SETTINGS, RESULT} <= {*names}
    for number, name in enumerate(names):
        folder = shutil.copytree(whole, tmp_path / name)
        DAMAGES[number % len(DAMAGES)](folder / name)
        train(method, folder, str(tiny_folder), count=count)
        for file in (WEIGHTS, SETTINGS):
            assert (folder / file).read_bytes() == (whole / file).read_bytes(), (name, file)

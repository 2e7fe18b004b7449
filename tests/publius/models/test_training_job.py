"""Training jobs from a configuration: what they start from, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import ConfigError
from engines.adapter import SETTINGS
from publius.config.overrides import build_config
from publius.config.run_file import DataTrainingConfig
from publius.models.training_job import training_job
from training.job import TrainingJob


def job_of(folder: Path, start: Path | None = None, *overrides: str) -> TrainingJob:
    config = build_config(DataTrainingConfig, {"models": {"policy": "org/base"}}, overrides)
    return training_job(config, "dpo", config.dpo, folder / "dpo", start)


def finished(folder: Path, **result: str) -> Path:
    folder.mkdir()
    (folder / "training.json").write_text(json.dumps(result))
    return folder


def test_job_starts_from_the_adapter_of_a_training(tmp_path: Path):
    start = finished(tmp_path / "sft")
    (start / SETTINGS).write_text("{}")
    job = job_of(tmp_path, start)
    assert (job.policy.id, job.start) == ("org/base", start)


def test_model_whose_weights_were_trained_takes_the_place_of_the_base(tmp_path: Path):
    start = finished(tmp_path / "sft")
    (start / "config.json").write_text("{}")
    job = job_of(tmp_path, start, "models.policy.dtype=bfloat16")
    assert (job.policy.id, job.policy.dtype, job.start) == (str(start), "bfloat16", None)


def test_adapter_on_such_a_model_is_continued_on_it(tmp_path: Path):
    (finished(tmp_path / "sft") / "config.json").write_text("{}")
    start = finished(tmp_path / "dpo", base="../sft")
    job = job_of(tmp_path, start)
    assert (job.policy.id, job.start) == (str((tmp_path / "sft").resolve()), start)


def test_full_fine_tuning_is_passed_on(tmp_path: Path):
    assert job_of(tmp_path).adapter is not None
    assert job_of(tmp_path, None, "dpo.finetuning=full").adapter is None


def test_layers_on_several_gpus_are_not_trained(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"engine\.device_map: training has the whole model on each GPU"):
        job_of(tmp_path, None, "engine.device_map=auto")

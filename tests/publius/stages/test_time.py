"""A run whose time is short omits the round of comparisons, labels and DPO, and ends with its evaluation."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from publius.config.deadline import Deadline
from publius.stages.base import Stage
from publius.stages.runner import RunRequest, execute, in_time
from tests.publius.trainable import roomy, write_trainable

STAGES: tuple[Stage, ...] = ("sample", "sft", "compare", "label", "dpo", "eval")


@dataclass
class FakeRun:
    """The parts of a run that the order of stages depends on."""

    trained: set[str]
    deadline: Deadline | None
    late: list[str] = field(default_factory=list)
    advice: dict[str, str] = field(default_factory=dict)

    def adapter(self, method: str) -> Path | None:
        return Path(method) if method in self.trained else None

    def checkpoints(self) -> dict[str, Path]:
        return {method: Path(method) for method in self.trained}

    def advice_of(self, stage: str) -> str | None:
        return self.advice.get(stage)

    def record_late(self, skipped: str) -> None:
        self.late.append(skipped)


def stages_of(run: Any) -> list[str]:
    return list(in_time(run, STAGES))


def deadline(left_s: float, round_s: float = 30) -> Deadline:
    return Deadline(100, reserve_s=20, round_s=round_s, started_s=0, clock=lambda: 100 - left_s)


def test_a_round_that_would_end_too_late_is_omitted_as_a_whole():
    run = FakeRun({"sft"}, deadline(left_s=49))
    assert stages_of(run) == ["sample", "sft", "eval"]
    assert run.late == ["dpo"]


@pytest.mark.parametrize(
    ("trained", "limit"),
    [
        ({"sft"}, None),
        ({"sft"}, deadline(left_s=50)),
        (set(), deadline(left_s=-5)),  # nothing is trained yet: the run would end without a model
        ({"sft", "dpo"}, deadline(left_s=-5)),  # it was trained before
    ],
)
def test_otherwise_every_stage_runs(trained: set[str], limit: Deadline | None):
    run = FakeRun(trained, limit)
    assert stages_of(run) == list(STAGES)
    assert run.late == []


def test_nothing_is_chosen_if_every_training_had_nothing_to_learn_from(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "publius")
    run: Any = FakeRun(set(), None, advice={"sft": "no answer passes"})
    assert list(in_time(run, ("sft", "choose", "eval"))) == ["sft", "eval"]
    assert "the base model stays" in caplog.text


def test_late_run_is_completed_by_a_later_command(
    tiny_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    pytest.importorskip("peft")
    run_file = write_trainable(tmp_path, roomy(tiny_folder, tmp_path / "model"), "sft")
    fast = ("optim.epochs=1", "eval.kl=false", "eval.models=[base, sft]")
    caplog.set_level(logging.INFO, "publius")
    late = execute(RunRequest(run_file, (*fast, "time={minutes: 0.001, reserve: 0.001}")))
    assert [result.stage for result in late.stages][-2:] == ["sft", "eval"]
    assert late.as_json()["late"] == ["dpo"]
    assert not (late.folder / "comparisons.jsonl").exists()
    assert json.loads((late.folder / "eval" / "metrics.json").read_text())["variants"] == ["base", "sft"]
    assert "the round of comparisons, labels and DPO is skipped" in caplog.text

    again = execute(RunRequest(run_file, fast, stages=("compare", "label", "dpo")))
    assert again.folder == late.folder  # the time is no part of the identity
    assert (again.folder / "dpo").is_dir()
    assert "late" not in again.as_json()

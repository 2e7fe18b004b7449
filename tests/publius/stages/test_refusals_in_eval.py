"""Refusals in a run's evaluation: off by default, and with their own prompts, metrics, file and section."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import DataError
from publius.stages.runner import RunRequest, execute
from tests.publius.projects import CONSTITUTION, Recorder, write_project

RUN = """\
name: small
constitution: constitution.yaml
prompts: prompts.jsonl
models: {policy: some-model}
engine: {kind: scripted, concurrency: 4}
split: {sft: 0, preference: 0, test: 1}
eval: {models: [base, prompted], kl: false, quality: false}
"""


def project(folder: Path, **settings: object) -> RunRequest:
    write_project(folder, 8, RUN.replace("split: {sft: 0, preference: 0, test: 1}\n", ""), CONSTITUTION)
    rows = (folder / "prompts.jsonl").read_text().replace('"train"', '"test"')
    (folder / "prompts.jsonl").write_text(rows)
    overrides = tuple(f"eval.{name}={value}" for name, value in settings.items())
    return RunRequest(folder / "run.yaml", stages=("eval",), overrides=overrides)


def test_without_the_setting_nothing_more_is_asked(tmp_path: Path):
    recorder = Recorder()
    folder = execute(project(tmp_path), recorder).folder
    assert {request.purpose for request in recorder.requests} == {"eval"}
    assert "refusals" not in json.loads((folder / "eval" / "metrics.json").read_text())
    assert not (folder / "eval" / "refusals.jsonl").exists()


def test_each_variant_answers_the_refusal_prompts(tmp_path: Path):
    recorder = Recorder()
    folder = execute(project(tmp_path, refusals="builtin", refusal_prompts=6), recorder).folder
    assert sum(request.purpose == "refusals" for request in recorder.requests) == 24
    found = json.loads((folder / "eval" / "metrics.json").read_text())
    assert (found["refusals"]["safe_prompts"], found["refusals"]["unsafe_prompts"]) == (6, 6)
    metrics = {metric["name"]: metric for metric in found["metrics"]}
    assert metrics["prompted.over_refusal"]["n"] == 6
    assert metrics["prompted.under_refusal.delta"]["n"] == 6
    assert found["prompts"] == 8  # those of the run alone
    lines = [json.loads(line) for line in (folder / "eval" / "refusals.jsonl").read_text().splitlines()]
    assert len(lines) == 24
    for label in ("safe", "unsafe"):
        mine = [line for line in lines if line["variant"] == "prompted" and line["label"] == label]
        rate = sum(line["response"] == ("refusal" if label == "safe" else "compliance") for line in mine) / 6
        measure = "over_refusal" if label == "safe" else "under_refusal"
        assert metrics[f"prompted.{measure}"]["value"] == pytest.approx(rate)
    report = (folder / "eval" / "report.md").read_text()
    assert "## Refusals" in report
    assert "over-refusal, %" in report


def test_a_missing_file_is_refused_before_the_first_request(tmp_path: Path):
    recorder = Recorder()
    with pytest.raises(DataError, match=r"nowhere\.csv"):
        execute(project(tmp_path, refusals="nowhere.csv"), recorder)
    assert not recorder.requests

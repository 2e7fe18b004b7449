"""Drift in a run's evaluation: phrases that spread, and the metrics and sections that show it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engines.protocols import GenerationRequest
from engines.scripted import ScriptedEngine
from publius.stages.runner import RunRequest, execute
from tests.evaluation.drift.texts import random_text
from tests.publius.projects import CONSTITUTION, write_project

RUN = """\
name: small
constitution: constitution.yaml
prompts: prompts.jsonl
models: {policy: some-model}
engine: {kind: scripted, concurrency: 4}
eval: {models: [base, prompted], kl: false, quality: false}
"""
PHRASE = "Please know that you are never alone"


def reassure(request: GenerationRequest) -> str:
    """Write random words; with a constitution as system prompt, most answers begin with one phrase."""
    text = random_text(np.random.default_rng(request.seed), 30)
    prompted = request.turns[0].role == "system"
    number = sum(map(ord, request.turns[-1].text))
    return f"{PHRASE}. {text}" if prompted and number % 4 else text


def test_a_phrase_that_spreads_is_in_the_report_and_in_the_metrics(tmp_path: Path):
    write_project(tmp_path, 60, RUN, CONSTITUTION)
    rows = (tmp_path / "prompts.jsonl").read_text().replace('"train"', '"test"')
    (tmp_path / "prompts.jsonl").write_text(rows)
    request = RunRequest(tmp_path / "run.yaml", stages=("eval",))
    folder = (
        execute(request, lambda model, _: ScriptedEngine(answerer=reassure, model=model.id)).folder / "eval"
    )
    found = json.loads((folder / "metrics.json").read_text())
    listed = found["drift"]["phrases"]["prompted"]["listed"]
    assert listed[0]["phrase"] == PHRASE
    assert listed[0]["boilerplate"]
    assert listed[0]["base_share"] == 0
    metrics = {metric["name"]: metric for metric in found["metrics"]}
    assert metrics["prompted.boilerplate"]["value"] == pytest.approx(listed[0]["share"])
    assert metrics["base.boilerplate"]["value"] == 0
    assert metrics["prompted.length.ratio"]["low"] > 1
    assert metrics["prompted.distinct_2.delta"]["value"] < 0
    assert (
        metrics["prompted.distinct_2.delta"]["simultaneous_low"] < metrics["prompted.distinct_2.delta"]["low"]
    )
    report = (folder / "report.md").read_text()
    assert "## Phrases that spread" in report
    assert f"| prompted | `{PHRASE}` |" in report
    assert "worse beyond noise" in report


def test_answers_alike_have_no_section(tmp_path: Path):
    write_project(tmp_path, 12, RUN, CONSTITUTION)
    rows = (tmp_path / "prompts.jsonl").read_text().replace('"train"', '"test"')
    (tmp_path / "prompts.jsonl").write_text(rows)
    request = RunRequest(tmp_path / "run.yaml", stages=("eval",))
    folder = execute(request, lambda model, _: ScriptedEngine(model=model.id)).folder / "eval"
    assert json.loads((folder / "metrics.json").read_text())["drift"]["phrases"] == {}
    assert "## Phrases that spread" not in (folder / "report.md").read_text()

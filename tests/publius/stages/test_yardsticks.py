"""Principles of weight 0: measured by checks and judge, and part of no critique, label, reward or choice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from constitution.loader import load_constitution
from core.errors import ConfigError
from core.records import Generation, Prompt, Sampling
from evaluation.choice import checked_answers
from evaluation.measures import Answer
from labelers.rewards import CheckReward, Sample
from publius.stages.outcome import principles_per_pair
from publius.stages.runner import RunRequest, execute
from tests.publius.projects import Recorder, write_project

CONSTITUTION = """\
name: small
principles:
  - {id: kind, text: The reply is kind to the person who asks.}
  - {id: brief, text: The reply is brief., check: {kind: max_words, value: 90}}
  - {id: ruler, text: The reply has at most two words., check: {kind: max_words, value: 2}, weight: 0}
  - {id: warm, text: The reply glows with warmth., weight: 0}
"""
MEASURED = ("two words", "glows with warmth")
"""Words of the principles that are only measured."""
RUN = """\
name: small
constitution: constitution.yaml
prompts: prompts.jsonl
models: {policy: some-model, judge: judge-model}
engine: {kind: scripted, concurrency: 4}
critique: {rounds: 3, principles: STRATEGY}
label: {principles: all}
eval: {models: [base, prompted], kl: false, quality: false}
"""


def done(folder: Path, strategy: str) -> tuple[Path, Recorder]:
    path, make = write_project(folder, 16, RUN.replace("STRATEGY", strategy), CONSTITUTION), Recorder()
    rows = [json.loads(line) for line in (folder / "prompts.jsonl").read_text().splitlines()]
    lines = [json.dumps(row | {"split": "test"} if n % 2 else row) for n, row in enumerate(rows)]
    (folder / "prompts.jsonl").write_text("\n".join(lines) + "\n")
    return execute(RunRequest(path, (), ("critique", "compare", "label", "eval")), make).folder, make


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("strategy", ["random", "all", "worst", "section"])
def test_only_the_judge_reads_them(tmp_path: Path, strategy: str):
    folder, make = done(tmp_path, strategy)
    asking = {
        request.purpose
        for request in make.requests
        if any(words in turn.text for turn in request.turns for words in MEASURED)
    }
    assert asking == {"reward"}  # the judge's question about a single answer
    judgments = records(folder / "judgments.jsonl")
    assert {judgment["principle_id"] for judgment in judgments} == {"kind", "brief"}
    assert principles_per_pair(folder) == {"asked": 1, "of": 1, "checks": 1, "scoped_checks": 0}


def test_their_measures_stand_in_the_report(tmp_path: Path):
    folder, _ = done(tmp_path, "random")
    metrics = json.loads((folder / "eval" / "metrics.json").read_text())["metrics"]
    names = {metric["name"] for metric in metrics}
    assert {"base.compliance.ruler", "base.compliance.brief", "base.judged.warm"} <= names
    report = " ".join((folder / "eval" / "report.md").read_text().split())
    assert "Only measured, with weight 0: `ruler`, `warm`. No model was asked to follow them." in report


def test_they_count_in_no_reward_and_no_choice(tmp_path: Path):
    write_project(tmp_path, 1, RUN, CONSTITUTION)
    constitution = load_constitution(tmp_path / "constitution.yaml")
    prompt, text = Prompt.of("Why?"), "Since the kettle is warm."
    assert CheckReward(constitution).scores([Sample(prompt, text, True)]) == [1.0]
    written = Generation(
        text=text, finish_reason="stop", prompt_tokens=1, completion_tokens=6, model="m", sampling=Sampling()
    )
    assert checked_answers(
        [Answer(id="a", variant="base", prompt=prompt, generation=written)], constitution
    ) == (
        1.0,
        1.0,
    )


def test_a_run_needs_a_principle_that_steers(tmp_path: Path):
    path = write_project(tmp_path, 4, RUN.replace("STRATEGY", "all"), CONSTITUTION)
    text = CONSTITUTION.replace("asks.}", "asks., weight: 0}").replace("90}}", "90}, weight: 0}")
    (tmp_path / "constitution.yaml").write_text(text)
    with pytest.raises(ConfigError, match="every principle has weight 0"):
        execute(RunRequest(path, (), ("critique",)), Recorder())

"""Win rates of a run's evaluation, corrected by people who judged some of its comparisons."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from core.digests import record_id
from core.records import Comparison, Judgment
from publius.labels.sources import read_annotation_source
from publius.stages.runner import RunRequest, execute
from tests.publius.projects import CONSTITUTION, Recorder, write_project

RUN = """\
name: small
constitution: constitution.yaml
prompts: prompts.jsonl
models: {policy: some-model, judge: judge-model}
engine: {kind: scripted, concurrency: 4}
label: {principles: 2}
eval: {models: [base, prompted], kl: false, quality: false}
"""


def write_judgments(folder: Path, comparisons: list[Comparison]) -> None:
    """Let an annotator prefer the prompted answer in two of three comparisons."""
    folder.mkdir()
    lines = []
    for number, one in enumerate(comparisons):
        prompted = "a" if one.origin_a == "prompted" else "b"
        verdict = prompted if number % 3 else ("b" if prompted == "a" else "a")
        judgment = Judgment(
            id=record_id("judgment", one.id, "team"),
            comparison_id=one.id,
            labeler="team",
            annotator="ann",
            verdict=verdict,
            p_a=float(verdict == "a"),
        )
        lines.append(judgment.to_line())
    (folder / "judgments.jsonl").write_text("".join(lines))


def test_people_correct_the_judge(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    write_project(tmp_path, 60, RUN, CONSTITUTION)
    rows = (tmp_path / "prompts.jsonl").read_text().replace('"train"', '"test"')
    (tmp_path / "prompts.jsonl").write_text(rows)
    request = RunRequest(tmp_path / "run.yaml", stages=("eval",))
    folder = execute(request, Recorder()).folder / "eval"
    before = json.loads((folder / "metrics.json").read_text())
    assert "win_rates_corrected" not in before
    comparisons = list(read_annotation_source(folder).comparisons)  # what `publius annotate RUN/eval` shows
    assert {one.origin_a for one in comparisons} == {"base", "prompted"}
    write_judgments(folder / "human", comparisons[:30])
    caplog.set_level(logging.INFO)
    execute(request, Recorder())
    after = json.loads((folder / "metrics.json").read_text())
    assert after["metrics"] == before["metrics"]
    (found,) = after["win_rates_corrected"]
    assert found["variant"] == "prompted"
    assert found["people"]["value"] == pytest.approx(2 / 3)
    assert (found["judged_by_people"], found["comparisons"]) == (30, len(comparisons))
    # The scripted judge draws its answers by hash: it has no information, and people count alone.
    assert "no information beyond noise" in found["refused"]
    assert found["corrected"] == found["people"]
    assert "- prompted: people alone 66.7 % (" in (folder / "report.md").read_text()
    assert any("win rate where answers differ, prompted" in record.getMessage() for record in caplog.records)

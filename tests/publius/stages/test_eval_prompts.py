"""Evaluations on a part of the held-out prompts: which, how many, and what is said of the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engines.scripted import ScriptedEngine
from publius.authoring.estimating.estimate import EstimateRequest, estimate_run
from publius.stages.runner import RunRequest, execute
from tests.publius.projects import CONSTITUTION, write_project

RUN = """\
name: small
constitution: constitution.yaml
prompts: prompts.jsonl
models: {policy: some-model}
engine: {kind: scripted, concurrency: 4}
eval: {models: [base, prompted], kl: false, quality: false}
"""


def project(folder: Path) -> Path:
    run_file = write_project(folder, 12, RUN, CONSTITUTION)
    rows = (folder / "prompts.jsonl").read_text().replace('"train"', '"test"')
    (folder / "prompts.jsonl").write_text(rows)
    return run_file


def evaluated(run_file: Path, *settings: str) -> tuple[Path, set[str]]:
    request = RunRequest(run_file, settings, stages=("eval",))
    folder = execute(request, lambda model, _: ScriptedEngine(model=model.id)).folder
    answers = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    assert {answer["variant"] for answer in answers} == {"base", "prompted"}
    return folder, {answer["prompt"]["id"] for answer in answers}


def test_fewer_prompts_are_a_part_of_more_and_the_others_are_counted(tmp_path: Path):
    run_file = project(tmp_path)
    _, all_of_them = evaluated(run_file)
    folder, five = evaluated(run_file, "eval.prompts=5")
    first = json.loads((folder / "eval" / "metrics.json").read_text())
    assert first["left_out"] == {"beyond eval.prompts": 7}
    again, eight = evaluated(run_file, "eval.prompts=8")
    assert again == folder  # another evaluation of the same run
    assert (len(all_of_them), len(eight), len(five)) == (12, 8, 5)
    assert five < eight < all_of_them
    found = json.loads((folder / "eval" / "metrics.json").read_text())
    assert found["prompts"] == 8
    assert found["left_out"] == {"beyond eval.prompts": 4}  # those of this evaluation
    assert {metric["n"] for metric in found["metrics"] if metric["name"] == "base.words"} == {8}
    assert "  prompts: 8" in (folder / "resolved.yaml").read_text()


def test_a_run_warns_of_html_in_prompts_and_reads_it_as_text_if_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    run_file = project(tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "prompts.jsonl").read_text().splitlines()]
    rows[0]["prompt"] = "<p>Hello</p><p>you &amp; me</p>"
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    kept, _ = evaluated(run_file)
    assert "1 of 12 prompts has HTML (<p>, &amp;), which checks and models see as it is" in caplog.text
    assert "prompts.html: text in the run file" in caplog.text
    assert "<p>Hello" in (kept / "prompts.jsonl").read_text()
    caplog.clear()
    read, _ = evaluated(run_file, "prompts.html=text")
    assert "has HTML" not in caplog.text
    assert read != kept
    assert "Hello\\n\\nyou & me" in (read / "prompts.jsonl").read_text()


def test_a_run_warns_of_quoted_mail_in_prompts_and_leaves_it_out_if_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    run_file = project(tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "prompts.jsonl").read_text().splitlines()]
    rows[0]["prompt"] = "My bill?\n\n-----Original Message-----\nFrom: Desk\nIt is sent."
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    kept, _ = evaluated(run_file)
    assert '1 of 12 prompts has quoted mail ("-----Original Message-----")' in caplog.text
    assert "prompts.quotes: drop in the run file" in caplog.text
    assert "It is sent." in (kept / "prompts.jsonl").read_text()
    caplog.clear()
    same, _ = evaluated(run_file, "prompts.quotes=keep")
    read, _ = evaluated(run_file, "prompts.quotes=drop")
    assert "has quoted mail" not in caplog.text
    assert kept not in (same, read)
    assert "It is sent." not in (read / "prompts.jsonl").read_text()


def test_an_estimate_counts_only_the_prompts_that_are_answered(tmp_path: Path):
    run_file = project(tmp_path)
    asked = {
        limit: estimate_run(EstimateRequest(run_file, (f"eval.prompts={limit}",), stages=("eval",))).as_json()
        for limit in ("5", "null")
    }
    calls = {limit: found["total"]["calls"]["upper"] for limit, found in asked.items()}
    assert calls == {"5": 2 * 5, "null": 2 * 12}

"""The whole path with the embedded model: a run, an edited sibling, and what `try` shows."""

import json
from pathlib import Path

import pytest

from constitution.checks.evaluate import count_words, evaluate
from critique.requests import WRITTEN_BY_CHECKS
from publius.runs.reader import RunReader
from tests.publius.invoking import here
from tests.publius.projects import CONSTITUTION, write_project

RUN = """\
name: real
constitution: constitution.yaml
prompts: prompts.jsonl
models: {policy: smollm2-135m-instruct}
engine: {concurrency: 8, max_batch: 8}
critique:
  rounds: 2
  draft: {max_new_tokens: 12}
  critique: {max_new_tokens: 8}
  revision: {max_new_tokens: 12}
  drop: []
label: {principles: 1}
"""
PROMPTS = 4


def ask(run_file: Path) -> dict:
    done = here("run", run_file, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def require_estimated(estimate: dict, beside: list[dict]) -> None:
    """Require tokens of prompts within a tenth of the estimate, and those of answers within its bounds."""
    read = sum(row["read"] for row in beside)
    assert read > 0
    assert abs(estimate["total"]["prompt_tokens"] - read) <= 0.1 * read
    for row in beside:
        assert row["calls"]["lower"] <= row["asked"] <= row["calls"]["upper"]
        assert row["generated_tokens"]["lower"] <= row["written"] <= row["generated_tokens"]["upper"]


@pytest.mark.slow
def test_an_edit_reuses_all_drafts_and_all_requests_that_it_did_not_touch(tmp_path):
    run_file = write_project(tmp_path, PROMPTS, RUN)
    estimate = json.loads(here("run", run_file, "--estimate", "--json").stdout)
    first = ask(run_file)
    require_estimated(estimate, first["estimated"])
    assert first["figures"]["judgments.ai"] > 0
    assert sum(ask(run_file)["stages"]["critique"]["asked"].values()) == 0

    (tmp_path / "constitution.yaml").write_text(
        CONSTITUTION.replace("kind to the person", "gentle to the person")
    )
    second = ask(run_file)
    assert second["run"] != first["run"]
    assert second["stages"]["critique"]["asked"].get("draft", 0) == 0
    assert second["stages"]["critique"]["reused"]["draft"] == PROMPTS

    old, new = (
        {trace.prompt.id: trace for trace in RunReader(Path(run["run"])).traces} for run in (first, second)
    )
    touched = 0
    for prompt_id, trace in new.items():
        assert trace.initial == old[prompt_id].initial
        same_so_far = True
        for before, after in zip(old[prompt_id].revisions, trace.revisions, strict=True):
            assert after.principle_id == before.principle_id
            same_so_far = same_so_far and after.principle_id != "kind"
            touched += not same_so_far
            if same_so_far:
                assert after == before
    # Two requests a round: those that show the principle, and those that follow from its revision.
    assert 0 < sum(second["stages"]["critique"]["asked"].values()) <= 2 * touched < 2 * 2 * PROMPTS


@pytest.mark.slow
def test_try_shows_draft_critique_revision_and_label(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = here("try", "plain-and-brief")
    assert done.returncode == 0, done.stderr
    for heading in ("Prompt", "Draft", "Round 1", "Critique:", "Revision", "Overall:"):
        assert heading in done.stdout


TAUGHT = """\
name: taught
constitution: constitution.yaml
prompts: prompts.jsonl
models: {policy: smollm2-135m-instruct}
engine: {concurrency: 8, max_batch: 8}
sample: {draws: 2, attempts: 1, teach: [begun, repaired], sampling: {max_new_tokens: 24}}
compare: {from: samples}
label: {principles: 0}
lora: {r: 4, alpha: 8}
sft: {from: samples, learning_rate: 1.0e-3}
dpo: {epochs: 1}
train: [sft, dpo]
eval: {models: [base, dpo], sampling: {max_new_tokens: 24}, kl: false, quality: false}
"""
OPENS = """\
name: opens
principles:
  - {id: opens, text: The reply begins with In short., check: {kind: starts_with, value: [In short]}}
"""


@pytest.mark.slow
def test_where_no_draw_shows_a_behaviour_it_is_made_to_appear_and_learned(tmp_path):
    run_file = write_project(tmp_path, PROMPTS, TAUGHT, OPENS)
    rows = [json.loads(line) for line in (tmp_path / "prompts.jsonl").read_text().splitlines()]
    rows[-1]["split"] = "test"
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = ask(run_file)
    assert list(summary["stages"]) == ["sample", "compare", "label", "sft", "dpo", "eval"]
    with RunReader(Path(summary["run"])) as run:
        samples = list(run.samples)
        chosen = {preference.origin_chosen.partition(":")[0] for preference in run.preferences}
    assert not any(sample.passed for sample in samples if sample.way == "draw")
    assert all(sample.answer.text.startswith("In short") for sample in samples if sample.way == "begun")
    assert chosen <= {"begun", "repaired"}
    assert summary["samples"]["informative"] == PROMPTS - 1
    assert summary["stages"]["dpo"]["records"] > 0 or "dpo" in summary["advice"]


@pytest.mark.slow
def test_failed_checks_write_true_critiques_and_the_guard_keeps_what_was_fulfilled(tmp_path):
    settings = "rounds: 2\n  principles: worst\n  from_checks: true\n  early_stop: checks\n  candidates: 2"
    run = RUN.replace("rounds: 2", settings).replace("max_new_tokens: 12", "max_new_tokens: 20")
    run_file = write_project(tmp_path, 3, run)
    done = here("critique", run_file, "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    reader = RunReader(Path(summary["run"]))
    short = reader.constitution.principle("short").check
    written = 0
    for trace in reader.traces:
        answer, passed = trace.initial, evaluate(short, trace.initial.text).passed
        for revision in trace.revisions:
            if revision.critique.model == WRITTEN_BY_CHECKS:
                words = count_words(answer.text)
                assert f"it has {words} words, and the limit is 12" in revision.critique.text
                written += 1
            assert len(revision.candidates) == 2
            answer = revision.candidates[-1] if revision.kept else answer
            passed, before = evaluate(short, answer.text).passed, passed
            assert passed or not before
    assert written > 0
    assert summary["critique"]["principles"]["short"]["faults"] == written

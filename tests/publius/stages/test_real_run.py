"""The whole path with the embedded model: a run, an edited sibling, and what `try` shows."""

import json
from pathlib import Path

import pytest

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


@pytest.mark.slow
def test_an_edit_reuses_all_drafts_and_all_requests_that_it_did_not_touch(tmp_path):
    run_file = write_project(tmp_path, PROMPTS, RUN)
    first = ask(run_file)
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
    for heading in ("Prompt", "Draft", "Round 1", "Critique:", "Revision", "Label:"):
        assert heading in done.stdout

"""A project that an older version left behind: nothing of it is asked or trained again.

`make.py` says how it was made; this one at commit 5bccc65, when the top room was called `pipeline`. What is
meant to start another run (a template, a new setting that changes answers) makes the project anew.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engines.config import EngineConfig, ModelConfig
from engines.protocols import ChoiceRequest, Engine, GenerationRequest
from publius.runs.engines import make_engine
from publius.runs.manifest import read_manifest
from publius.stages.runner import RunRequest, execute
from tests.publius.invoking import files_of, here
from tests.publius.projects import record_lines

pytestmark = pytest.mark.usefixtures("own_cache")

RECORDED = Path(__file__).with_name("project")
REPOSITORY = Path(__file__).parents[3]
STAGES = ["critique", "compare", "label", "sft", "reward", "dpo", "ppo", "eval"]
TRAINED = ("sft", "reward", "dpo", "ppo")
PEOPLE = {"judgments": 8, "matched": 4, "added": 2, "annotators": 2}
WITHOUT_GUARD = ("critique.guard=false",)
"""The setting by which a new run keeps the revisions that the version that recorded kept."""
ASKED_AFTER_AN_EDIT, REUSED_AFTER_AN_EDIT = 16, 30
"""Requests for critiques and labels once one principle was worded otherwise, by the version that recorded."""


def mute(model: ModelConfig, engine: EngineConfig) -> Engine:
    """Make the model's engine with its keys and tokens, of which nothing may be asked."""

    async def refuse(request: GenerationRequest | ChoiceRequest) -> Any:
        raise AssertionError(f"asked for a {request.purpose}")

    made: Any = make_engine(model, engine)
    made.generate = made.choose = refuse
    return made


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy in another place, and the current folder, from which the run file names its model.

    All files are of one age, as git keeps none: a reward model that is younger than its figures is measured
    anew.
    """
    copied = Path(shutil.copytree(RECORDED, tmp_path / "elsewhere"))
    for path in copied.rglob("*"):
        os.utime(path, (1.0e9, 1.0e9))
    monkeypatch.chdir(copied)
    return copied


def run_of(project: Path) -> Path:
    """Return the folder of the project's one run."""
    (folder,) = (project / "runs").iterdir()
    return folder


def require_unchanged(project: Path, before: dict[str, tuple[bytes, int]]) -> None:
    """Require unchanged files, and unchanged times of training results.

    Four files may differ: the manifest counts requests, and the report is written again in today's wording.
    Measures that the older version did not have are added to the figures, and their losses to the cache. The
    values by prompt of all measures are a file that it did not write.
    """
    after, run = files_of(project), run_of(project).relative_to(project)
    added = {f"{run}/.lock", f"{run}/index.sqlite", f"{run}/eval/series.jsonl"}
    assert set(after) - set(before) == added
    changed = {name for name, (content, _) in before.items() if after[name][0] != content}
    added_to = {f"{run}/eval/metrics.json", ".publius/cache.sqlite"}
    assert changed <= {f"{run}/manifest.json", f"{run}/eval/report.md", *added_to}
    require_only_added(project)
    for name in before:
        if name.startswith(tuple(f"{run}/{method}/" for method in TRAINED)):
            assert after[name] == before[name], f"{name} was written again"


def require_only_added(project: Path) -> None:
    """Require all recorded figures and answers; new measures and their losses may be added.

    Intervals are those of today's formulas, and so are the gates.
    """
    figures = [
        json.loads((run_of(place) / "eval" / "metrics.json").read_text()) for place in (RECORDED, project)
    ]
    metrics = [
        {row["name"]: [row.get(key) for key in ("value", "n", "unit")] for row in content.pop("metrics")}
        for content in figures
    ]
    assert figures[0].items() <= figures[1].items()
    assert figures[1].keys() - figures[0].keys() <= {"drift", "gates"}
    assert metrics[0].items() <= metrics[1].items()
    new = {name.split(".")[1] for name in metrics[1].keys() - metrics[0].keys()}
    drift = {"boilerplate", "self_similarity", "distinct_2", "length"}
    assert new <= {"sameness", "neutral_loss", "reference_loss", "base_loss", *drift}
    answers = [set(cached_answers(place)) for place in (RECORDED, project)]
    assert answers[0] <= answers[1]
    assert {operation for _, operation, _ in answers[1] - answers[0]} <= {"loss"}


def cached_answers(project: Path) -> list[tuple[str, str, str]]:
    """Return the rows of a project's request cache; the recorded file is only read."""
    with contextlib.closing(
        sqlite3.connect(f"file:{project}/.publius/cache.sqlite?immutable=1", uri=True)
    ) as db:
        return db.execute("SELECT key, operation, value FROM answers").fetchall()


def recorded_answers(variant: str) -> dict[str, str]:
    """Return what a variant answered to the held-out prompts, by prompt."""
    rows = map(json.loads, record_lines(run_of(RECORDED))["answers.jsonl"])
    return {
        row["prompt"]["messages"][-1]["content"]: row["generation"]["text"]
        for row in rows
        if row["variant"] == variant
    }


def printed(*arguments: object) -> Any:
    done = here(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_run_recorded_by_an_older_version_resumes_without_a_request(project: Path):
    before, manifest = files_of(project), read_manifest(run_of(project))
    outcome = execute(RunRequest(project / "run.yaml"), mute)
    assert outcome.folder == run_of(project)
    assert [stage.stage for stage in outcome.stages] == STAGES
    require_unchanged(project, before)
    after = read_manifest(outcome.folder)
    assert {**after, "stages": {}} == {**manifest, "stages": {}}
    for stage, entry in manifest["stages"].items():
        assert after["stages"][stage]["records"] == entry["records"]
        assert after["stages"][stage]["left_out"] == entry["left_out"]
        assert after["stages"][stage]["requests"].get("asked") == entry["requests"].get("asked")


def test_the_command_resumes_a_recorded_run(project: Path):
    before = files_of(project)
    done = subprocess.run(
        [sys.executable, "-m", "publius", "run", "run.yaml", "--json"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert Path(summary["run"]).name == run_of(project).name
    assert [entry["asked"] for entry in summary["stages"].values()] == [{}] * len(STAGES)
    require_unchanged(project, before)


def test_records_that_were_lost_come_back_from_the_recorded_cache(project: Path):
    folder = run_of(project)
    for name in ("traces.jsonl", "judgments.jsonl"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])
    execute(RunRequest(project / "run.yaml"), mute)
    before, after = record_lines(run_of(RECORDED)), record_lines(folder)
    assert {name: sorted(lines) for name, lines in after.items()} == {
        name: sorted(lines) for name, lines in before.items()
    }


@pytest.mark.parametrize("variant", ["base", "prompted", "sft", "dpo", "ppo"])
def test_a_recorded_trained_adapter_still_answers(project: Path, variant: str):
    shutil.rmtree(project / ".publius")  # so that the model is asked
    for prompt, answer in recorded_answers(variant).items():
        found = printed("chat", run_of(project), "--with", variant, "--prompt", prompt)
        assert found["answers"] == {variant: answer}


def test_a_recorded_reward_model_scores_as_it_did(project: Path):
    folder = run_of(project) / "reward"
    recorded = {
        name: json.loads((folder / name).read_text()) for name in ("reward.json", "reward_metrics.json")
    }
    (folder / "reward_metrics.json").unlink()  # so that it is measured anew
    execute(RunRequest(project / "run.yaml", stages=("reward",)), mute)
    for name, expected in recorded.items():
        found = json.loads((folder / name).read_text())
        # Warnings are prose, and their wording may differ between versions.
        assert len(found.pop("warnings", ())) == len(expected.pop("warnings", ()))
        assert_alike(found, expected)


def assert_alike(found: Any, expected: Any) -> None:
    """Require the same JSON, but for the last digits of its numbers."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_alike(found[key], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_alike(one, other)
    else:
        assert found == (
            pytest.approx(expected, rel=1e-3, abs=1e-4) if isinstance(expected, float) else expected
        )


def test_recorded_imported_labels_are_taken_in(project: Path):
    recorded = run_of(project)
    assert read_manifest(recorded)["people"] == PEOPLE
    one, sibling = (
        execute(RunRequest(project / "run.yaml", (f"name={name}", *WITHOUT_GUARD), stages), mute).folder
        for name, stages in (("one", ("critique",)), ("sibling", ("critique", "compare", "label")))
    )
    assert sibling.name == one.name.replace("one", "sibling")
    assert read_manifest(sibling)["people"] == PEOPLE
    ours, theirs = record_lines(sibling), record_lines(recorded)
    for name in ("comparisons.jsonl", "added_comparisons.jsonl", "judgments.jsonl"):
        assert sorted(map(without_group, ours[name])) == sorted(map(without_group, theirs[name]))


def without_group(line: str) -> str:
    """Return a record without the trace that it was made from, whose id has the loop's settings in it."""
    record = json.loads(line)
    record.pop("group", None)
    return json.dumps(record, sort_keys=True)


def test_recorded_labels_imported_again_are_the_same_records(project: Path):
    assert printed("import", "labels", "people.jsonl", "--to", "people")["already"]
    # The version that recorded them named the source of every table "columns".
    named = ("--labeler", "columns")
    assert "already" not in printed("import", "labels", "people.jsonl", "--to", "again", *named)
    for name in ("comparisons.jsonl", "judgments.jsonl"):
        assert (project / "again" / name).read_bytes() == (project / "people" / name).read_bytes()


def test_the_recorded_cache_answers_an_edited_sibling_run(project: Path):
    constitution = project / "constitution.yaml"
    constitution.write_text(constitution.read_text().replace("is kind to", "is gentle with"))
    recorded = run_of(project)
    request = RunRequest(project / "run.yaml", WITHOUT_GUARD, stages=("critique", "compare", "label"))
    outcome = execute(request)
    assert outcome.folder != recorded
    counts = [stage.counts for stage in outcome.stages]
    assert sum(count.reused["draft"] for count in counts) == len(record_lines(recorded)["traces.jsonl"])
    assert sum(count.reused.total() for count in counts) == REUSED_AFTER_AN_EDIT
    assert sum(count.asked.total() for count in counts) == ASKED_AFTER_AN_EDIT

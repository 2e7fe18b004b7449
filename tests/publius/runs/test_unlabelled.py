"""Runs without preferences: what the commands say of them, and what they write nevertheless."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from core.errors import ConfigError, DataError, RunStateError
from publius.runs.dataset import export_run
from publius.runs.pairs.filters import NO_FILTER, PreferenceFilter
from publius.stages.runner import RunRequest, execute
from publius.views.looking.reading import read_overview, write_run_table
from tests.publius.projects import RUN, Recorder, write_project

SETTINGS = """\
split: {train: 0, preference: 0, test: 1}
train: []
eval: {models: [base, prompted], kl: false, quality: false}
"""


def only_evaluated(folder: Path) -> Path:
    run_file = write_project(folder, 3, RUN + SETTINGS)
    rows = [{"prompt": f"What is {n} times {n}?", "split": "test", "tags": ["sums"]} for n in range(3)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    execute(RunRequest(run_file, stages=("eval",)), Recorder())
    return execute(RunRequest(run_file), Recorder()).folder


def without_preferences(run: Path, to: Path) -> Path:
    """Copy a run as one whose pairs were all left out."""
    shutil.copytree(run, to)
    for name in ("comparisons", "judgments", "preferences"):
        (to / f"{name}.jsonl").write_text("")
    manifest = json.loads((to / "manifest.json").read_text())
    manifest["stages"]["aggregate"] |= {"records": 0, "left_out": {"no labels": 3}}
    (to / "manifest.json").write_text(json.dumps(manifest))
    return to


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return only_evaluated(tmp_path_factory.mktemp("evaluated"))


def test_a_run_that_was_only_evaluated_names_the_split_and_the_table_of_its_answers(
    evaluated: Path, tmp_path: Path
):
    with pytest.raises(RunStateError) as refused:
        export_run(evaluated, tmp_path / "out")
    assert "its split holds out all 3 prompts for eval" in str(refused.value)
    assert f"publius show {evaluated} --answers --to answers.csv" in str(refused.value)
    assert not (tmp_path / "out").exists()
    commands = [command for command, _ in read_overview(evaluated, NO_FILTER, 10).next]
    assert f"publius show {evaluated} --answers --to answers.csv" in commands
    assert "publius run RUN.yaml" not in commands


def test_the_answers_are_written_with_the_checks_that_each_fails(evaluated: Path, tmp_path: Path):
    written = write_run_table(evaluated, tmp_path / "answers.csv", NO_FILTER)
    with (tmp_path / "answers.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert (written.of, written.rows, len(rows)) == ("answers", 6, 6)
    assert [row["variant"] for row in rows] == ["base", "prompted"] * 3
    for row in rows:
        assert row["short"] == ("pass" if int(row["words"]) <= 12 else "fail")
        assert row["rules failed"] == ("" if row["short"] == "pass" else "short")
        assert row["written by"] == "some-model (made up)"
    every = write_run_table(evaluated, tmp_path / "all.csv", NO_FILTER, ["all"])
    assert {"id", "check:short", "made_up"} <= set(every.columns)


def test_filters_of_preferences_are_refused_for_answers_and_tags_select(evaluated: Path, tmp_path: Path):
    to = tmp_path / "answers.csv"
    with pytest.raises(ConfigError, match="only --tag selects them"):
        write_run_table(evaluated, to, PreferenceFilter(min_p=0.8))
    with pytest.raises(DataError, match="6 without the tag jokes; accepted: tags sums"):
        write_run_table(evaluated, to, PreferenceFilter(tags=("jokes",)))
    assert not to.exists()
    assert write_run_table(evaluated, to, PreferenceFilter(tags=("sums",))).rows == 6


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return execute(RunRequest(write_project(tmp_path_factory.mktemp("labelled"))), Recorder()).folder


def test_answers_of_a_run_without_an_evaluation_are_refused(labelled: Path, tmp_path: Path):
    with pytest.raises(RunStateError, match="no answers to held-out prompts"):
        write_run_table(labelled, tmp_path / "answers.csv", NO_FILTER, answers=True)


def test_revisions_without_preferences_are_exported_with_a_card_that_says_so(labelled: Path, tmp_path: Path):
    run = without_preferences(labelled, tmp_path / "run")
    done = export_run(run, tmp_path / "out")
    assert set(name for name, rows in done.rows.items() if rows) == {"sft"}
    card = (tmp_path / "out" / "README.md").read_text()
    assert "The run has no preferences" in card
    assert "p_chosen" not in card
    with pytest.raises(RunStateError, match=r"aggregate left out 3 \(no labels\)"):
        write_run_table(run, tmp_path / "pairs.csv", NO_FILTER)


def test_a_run_of_ties_alone_is_exported(labelled: Path, tmp_path: Path):
    run = tmp_path / "run"
    shutil.copytree(labelled, run)
    path = run / "preferences.jsonl"
    ties = [json.loads(line) | {"p_chosen": 0.5} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in ties))
    rows = export_run(run, tmp_path / "out").rows
    assert rows["preference"] == 0 < rows["soft"]
    assert "| `preference` |" not in (tmp_path / "out" / "README.md").read_text()

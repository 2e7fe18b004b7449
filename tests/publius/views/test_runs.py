"""`publius runs`: the runs of a project."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from publius.stages.runner import RunRequest, execute
from tests.publius.invoking import here
from tests.publius.projects import Recorder, write_project
from tests.publius.test_cli import mistakes


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a whole run and one that ended after its first stage."""
    folder = tmp_path_factory.mktemp("runs")
    run_file = write_project(folder, prompts=4)
    execute(RunRequest(run_file), Recorder())
    execute(RunRequest(run_file, ("name=begun", "seed=1"), ("critique",)), Recorder())
    return folder


def test_each_run_has_its_stage_and_numbers(project: Path):
    told = here("runs", project, "--json")
    assert told.returncode == 0, told.stderr
    found = {run["name"].partition("-")[0]: run for run in json.loads(told.stdout)["runs"]}
    assert set(found) == {"small", "begun"}
    assert (found["small"]["stage"], found["begun"]["stage"]) == ("label", "critique")
    folder = Path(found["small"]["run"])
    assert found["small"]["preferences"] == len((folder / "preferences.jsonl").read_text().splitlines()) > 0
    assert (found["small"]["prompts"], found["begun"]["preferences"]) == (4, 0)
    assert {run["constitution"] for run in found.values()} == {"small"}
    assert json.loads((folder / "manifest.json").read_text())["created"] == found["small"]["created"]


def test_the_table_fits_in_80_columns(project: Path, monkeypatch: pytest.MonkeyPatch):
    from publius.console import out

    monkeypatch.setattr(out, "_width", 80)
    told = here("runs", project / "run.yaml")
    assert max(map(len, told.stdout.splitlines())) <= 80
    lines = [line.split() for line in told.stdout.splitlines()]
    assert lines[:2] == [["run"], ["constitution", "started", "stage", "prompts", "preferences", "gates"]]
    assert {name[0].partition("-")[0] for name in lines[2::2]} == {"small", "begun"}
    assert f"publius show {project / 'runs'}" in told.stderr


def test_runs_of_the_scripted_engine_are_marked(project: Path):
    shutil.copytree(project / "runs", project / "other" / "runs")
    (first, *_) = (folder for folder in (project / "other" / "runs").iterdir())
    resolved = first / "resolved.yaml"
    text = resolved.read_text()
    scripted = "kind: scripted" in text
    resolved.write_text(text.replace("kind: scripted", "kind: transformers"))
    listed = json.loads(here("runs", project / "other", "--json").stdout)["runs"]
    by_name = {run["name"]: run["scripted"] for run in listed}
    assert scripted
    assert by_name.pop(first.name) == []
    assert list(by_name.values()) == [["policy", "critic", "labeler"]]
    told = here("runs", project / "other").stdout
    assert told.count("texts are made up (scripted engine)") == 1


def test_a_folder_that_cannot_be_read_is_named(project: Path, tmp_path: Path):
    copy = tmp_path / "project"
    shutil.copytree(project / "runs", copy / "runs")
    (copy / "runs" / "other").mkdir()
    told = here("runs", copy / "runs")
    assert told.returncode == 0
    assert "other is not listed: not a run folder" in " ".join(told.stderr.split())
    assert told.stdout.count("small-") == 1


def test_no_runs_are_no_error(tmp_path: Path):
    told = here("runs", tmp_path)
    assert told.returncode == 0
    assert "no runs in" in told.stdout
    (line,) = mistakes(here("runs", tmp_path / "nowhere"))
    assert "no such folder; accepted: a project" in line

"""Runs on the page: started as processes, found again after a kill, stopped, resumed, listed and compared."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from core.errors import DataError
from publius.studio.project import StudioProject
from publius.studio.runs.board import RunBoard
from publius.studio.runs.listing import studio_runs
from publius.studio.runs.processes import RunProcesses
from publius.views.report.side_by_side import ReportViews
from tests.publius.invoking import here
from tests.publius.projects import CONSTITUTION, RUN, write_project
from tests.publius.studio.opened import PATIENCE_S, REPOSITORY

RECORDED = REPOSITORY / "tests" / "publius" / "recorded" / "project" / "runs" / "recorded-eabd8bd0"


def board_on(project: Path) -> RunBoard:
    return RunBoard(StudioProject.of(project), ReportViews(), lambda topic, content: None)


def ended(processes: RunProcesses, identity: str) -> Any:
    """Return a process once it has ended."""
    child = processes._children.get(identity)
    if child is not None:
        child.wait(PATIENCE_S)
    else:
        wait_for(lambda: processes.seen(identity).state != "running")
    return processes.seen(identity)


def wait_for(done: Any) -> None:
    waiting = threading.Event()
    for _ in range(int(PATIENCE_S / 0.1)):
        if done():
            return
        waiting.wait(0.1)
    raise AssertionError("it did not come to that")


@pytest.fixture
def with_recorded(tmp_path: Path) -> Path:
    """A project with a run that trained and was evaluated."""
    write_project(tmp_path)
    shutil.copytree(RECORDED, tmp_path / "runs" / RECORDED.name)
    return tmp_path


def test_list_has_the_evaluation_of_a_run(with_recorded: Path):
    (run,) = (run.as_json() for run in studio_runs(with_recorded))
    assert (run["state"], run["run"]) == ("finished", RECORDED.name)
    assert run["planned"][-1] == "eval"
    recorded = json.loads((RECORDED / "eval" / "metrics.json").read_text())
    values = {metric["name"]: metric["value"] for metric in recorded["metrics"]}
    found = run["evaluation"]
    assert found["main"] == "ppo"
    assert found["compliance"]["base"]["value"] == values["base.compliance"]
    assert found["compliance"]["ppo"]["value"] == values["ppo.compliance"]


def test_an_evaluation_alone_is_finished_and_made_up_texts_are_said_to_be(tmp_path: Path):
    run_file = write_project(tmp_path, 4)
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text(prompts.read_text().replace('"train"', '"test"'))
    settings = ("--set", "train=[]", "--set", "eval={models: [base, prompted], kl: false, quality: false}")
    done = here("eval", run_file, *settings)
    assert done.returncode == 0, done.stderr
    (run,) = studio_runs(tmp_path)
    assert (run.state, run.planned) == ("finished", ("eval",))
    assert run.as_json()["made_up"] == "made up (scripted engine): no model wrote or judged this"
    (run.folder / "traces.jsonl").write_text("{}\n")  # a run that was interrupted before it was evaluated
    (run,) = studio_runs(tmp_path)
    assert run.state == "unfinished"


def test_damaged_run_is_listed_with_its_problem(with_recorded: Path):
    (with_recorded / "runs" / RECORDED.name / "manifest.json").write_text("{")
    (run,) = studio_runs(with_recorded)
    assert run.problem
    assert run.as_json()["state"] == "unfinished"


def test_curves_are_those_of_the_log(with_recorded: Path):
    trainings = {one["name"]: one for one in board_on(with_recorded).curves(RECORDED.name)}
    lines = (RECORDED / "dpo" / "metrics.jsonl").read_text().splitlines()
    losses = [row["loss"] for row in map(json.loads, lines) if "loss" in row]
    assert all(curve["about"] for training in trainings.values() for curve in training["curves"])
    (curve,) = (curve for curve in trainings["dpo"]["curves"] if curve["name"] == "loss")
    assert list(curve["values"]) == losses


@pytest.mark.parametrize("name", ["", ".", "..", "../runs", "no-such", "a/b"])
def test_only_runs_of_the_project_are_opened(with_recorded: Path, name: str):
    board = board_on(with_recorded)
    for call in (board.curves, board.report, lambda run: board.compared([run]), board.folder):
        with pytest.raises(DataError, match="no run"):
            call(name)


def test_runs_of_two_constitutions_are_compared(tmp_path: Path):
    run_file = write_project(tmp_path, prompts=4)
    first = json.loads(here("run", run_file, "--json").stdout)["run"]
    (tmp_path / "constitution.yaml").write_text(CONSTITUTION.replace("value: 12", "value: 25"))
    second = json.loads(here("run", run_file, "--json").stdout)["run"]
    names = [Path(run).name for run in (first, second)]
    found = board_on(tmp_path).compared(names)
    assert [run["key"] for run in found["runs"]] == ["A", "B"]
    (change,) = found["groups"][1]["changes"]
    assert change["principle"] == "short"
    (shift,) = found["shifts"]
    preferences = [
        {
            row["comparison_id"]: row
            for row in map(json.loads, (Path(run) / "preferences.jsonl").read_text().splitlines())
        }
        for run in (first, second)
    ]
    assert shift["compared"] == len(preferences[0].keys() & preferences[1].keys()) > 0
    assert shift["flipped"] == len(found["flips"]) == sum(shift["by_principle"].values())
    shown = {column["run"] for column in found["data"]["columns"]}
    assert shown == set(names)
    assert len(found["data"]["prompts"]) == 4


def test_run_file_must_be_one_of_the_project(tmp_path: Path):
    write_project(tmp_path)
    processes = RunProcesses(tmp_path, tmp_path / "state")
    for name in ("../run.yaml", "/etc/passwd", "other.yaml"):
        with pytest.raises(DataError, match="no run file"):
            processes.start(name)
    with pytest.raises(DataError, match="was started here"):
        processes.stop("../../x")
    assert processes.all() == []


@pytest.mark.slow
def test_started_run_outlives_the_server_and_ends(tmp_path: Path):
    write_project(tmp_path, prompts=4)
    identity = RunProcesses(tmp_path, tmp_path / "state").start("run.yaml", ["label.principles=1"]).id
    later = RunProcesses(tmp_path, tmp_path / "state")  # of a server that was started again
    seen = ended(later, identity)
    assert seen.state == "finished"
    (run,) = studio_runs(tmp_path)
    assert seen.folder == run.folder.name
    assert seen.as_json()["command"] == ["publius", "run", "run.yaml", "--set", "label.principles=1"]
    assert {step.label: (step.done, step.total) for step in seen.log.steps}["label"] == (4, 4)
    assert run.as_json()["state"] == "finished"


@pytest.mark.slow
def test_failed_run_says_why(tmp_path: Path):
    write_project(tmp_path)
    processes = RunProcesses(tmp_path, tmp_path / "state")
    seen = ended(processes, processes.start("run.yaml", ["label.principles=many"]).id)
    assert (seen.state, seen.folder) == ("failed", None)
    assert "label.principles" in seen.exit_problem


@pytest.mark.slow
def test_stopped_run_is_resumed_in_its_folder(tmp_path: Path):
    write_project(tmp_path, prompts=400)
    processes = RunProcesses(tmp_path, tmp_path / "state")
    identity = processes.start("run.yaml").id
    wait_for(lambda: processes.seen(identity).folder or processes.seen(identity).state != "running")
    processes.stop(identity)
    stopped = ended(processes, identity)
    assert stopped.state in ("stopped", "finished")  # it may have been quicker
    assert stopped.folder is not None
    again = ended(processes, processes.start("run.yaml", resume=stopped.folder).id)
    assert again.state == "finished"
    assert [run.folder.name for run in studio_runs(tmp_path)] == [stopped.folder]


def test_process_with_the_same_number_is_not_mistaken_for_a_run(tmp_path: Path):
    write_project(tmp_path)
    own = tmp_path / "state" / "20260101-000000-000000"
    own.mkdir(parents=True)
    started = {
        "id": own.name,
        "run_file": "run.yaml",
        "overrides": [],
        "resume": None,
        "started": "",
        "pid": os.getpid(),
    }
    (own / "started.json").write_text(json.dumps(started))
    (own / "log.txt").write_text("run folder /x/runs/y\n")
    processes = RunProcesses(tmp_path, tmp_path / "state")
    assert processes.seen(own.name).state == "failed"
    processes.stop(own.name)  # this process, whose number it has, goes on


def test_unfinished_run_of_the_command_line_is_resumed_with_its_own_file_and_settings(tmp_path: Path):
    write_project(tmp_path)
    (tmp_path / "other.yaml").write_text(RUN.replace("name: small", "name: other"))
    assert (
        here("run", tmp_path / "other.yaml", "--set", "label.principles=3", "--only", "critique").returncode
        == 0
    )
    (run,) = board_on(tmp_path).shown()["runs"]
    assert run["state"] == "unfinished"
    assert run["source"] == {"run_file": "other.yaml", "overrides": ["label.principles=3"]}
    source = run["source"]
    settings = [part for override in source["overrides"] for part in ("--set", override)]
    folder = tmp_path / "runs" / run["run"]
    done = here("run", tmp_path / source["run_file"], *settings, "--resume", folder)
    assert done.returncode == 0, done.stderr
    (finished,) = board_on(tmp_path).shown()["runs"]
    assert (finished["state"], finished["source"]) == ("finished", None)


def test_run_of_an_older_version_is_resumed_with_the_file_of_its_settings(tmp_path: Path):
    write_project(tmp_path)
    (tmp_path / "other.yaml").write_text(RUN.replace("principles: 2", "principles: 3"))
    assert here("run", tmp_path / "other.yaml", "--only", "critique").returncode == 0
    (manifest,) = (tmp_path / "runs").glob("*/manifest.json")
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({k: v for k, v in content.items() if k not in ("run_file", "overrides")}))
    (run,) = board_on(tmp_path).shown()["runs"]
    assert run["source"] == {"run_file": "other.yaml", "overrides": []}
    (tmp_path / "other.yaml").unlink()
    (run,) = board_on(tmp_path).shown()["runs"]
    assert run["source"] is None

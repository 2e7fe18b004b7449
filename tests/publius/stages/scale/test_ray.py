"""Runs on a local Ray cluster: the records of one process, whatever is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from core.errors import MissingExtraError
from publius.stages.runner import RunRequest, execute
from tests.publius.projects import RUN, Recorder, ids, record_lines, write_project

REPOSITORY = Path(__file__).parents[4]
SCALED = "scale: {kind: ray, workers: 2}\n"
REAL = """\
name: real
constitution: constitution.yaml
prompts: prompts.jsonl
models: {policy: smollm2-135m-instruct}
engine: {concurrency: 4, max_batch: 4}
critique:
  rounds: 1
  draft: {max_new_tokens: 12}
  critique: {max_new_tokens: 8}
  revision: {max_new_tokens: 12}
  drop: []
label: {principles: 2}
"""
SLOW = """
import asyncio, sys
from pathlib import Path
from engines.scripted import ScriptedEngine
from publius.stages.runner import RunRequest, execute

class Slow(ScriptedEngine):
    async def generate(self, request):
        await asyncio.sleep(0.05)
        return await super().generate(request)

    async def choose(self, request):
        await asyncio.sleep(0.05)
        return await super().choose(request)

execute(RunRequest(Path(sys.argv[1])), lambda model, engine: Slow(model=model.id))
"""


def sorted_records(folder: Path) -> dict[str, list[str]]:
    return {name: sorted(lines) for name, lines in record_lines(folder).items()}


def start(program: str, *arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def run_folder(project: Path) -> Path:
    (folder,) = (project / "runs").iterdir()
    return folder


def traces(project: Path) -> int:
    paths = list(project.glob("runs/*/traces.jsonl"))
    return paths[0].read_bytes().count(b"\n") if paths else 0


def wait_for_traces(project: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 300
    while traces(project) < count:
        assert process.poll() is None, process.communicate()[1].decode()
        assert time.monotonic() < deadline, "the workers made no records"
        time.sleep(0.02)


def workers_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Return the processes of the run's workers, which are not children of the run's process."""
    found = psutil.Process(process.pid).children(recursive=True)
    return [
        child for child in found if "ray::" in " ".join(child.cmdline()) and "_Actor" in child.cmdline()[0]
    ]


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"'ray' is not installed; run: .*publius\[ray\]|\[ray\]"):
        execute(RunRequest(write_project(tmp_path, 4, RUN + SCALED)), Recorder())


@pytest.mark.long
def test_scripted_records_are_those_of_one_process(tmp_path: Path):
    one = execute(RunRequest(write_project(tmp_path / "one", 30)), Recorder()).folder
    assert start(SLOW, write_project(tmp_path / "two", 30, RUN + SCALED)).wait() == 0
    assert sorted_records(run_folder(tmp_path / "two")) == sorted_records(one)


@pytest.mark.long
def test_killed_worker_and_killed_driver_lose_and_double_nothing(tmp_path: Path):
    one = execute(RunRequest(write_project(tmp_path / "one", 60)), Recorder()).folder
    project = tmp_path / "two"
    run_file = write_project(project, 60, RUN + SCALED)
    process = start(SLOW, run_file)
    wait_for_traces(project, 8, process)
    victims = workers_of(process)
    assert len(victims) == 2
    victims[0].send_signal(signal.SIGKILL)
    wait_for_traces(project, traces(project) + 8, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = record_lines(run_folder(project))["traces.jsonl"]
    assert 16 <= len(before) < 60
    assert start(SLOW, run_file).wait() == 0
    after = record_lines(run_folder(project))
    assert set(before) <= set(after["traces.jsonl"])
    assert all(len(ids(lines)) == len(set(ids(lines))) for lines in after.values())
    assert sorted_records(run_folder(project)) == sorted_records(one)


@pytest.mark.slow
@pytest.mark.long
def test_real_model_on_two_workers_gives_ids_and_schema_of_one_process(tmp_path: Path):
    folders = []
    for name, scale in (("one", ""), ("two", SCALED)):
        run_file = write_project(tmp_path / name, 6, REAL + scale)
        program = "import sys; sys.argv[0] = 'publius'; from publius.cli import main; main()"
        assert start(program, "run", run_file).wait() == 0
        folders.append(run_folder(tmp_path / name))
    assert folders[0].name == folders[1].name
    one, two = map(record_lines, folders)
    assert one.keys() == two.keys()
    assert sorted(ids(one["prompts.jsonl"])) == sorted(ids(two["prompts.jsonl"]))
    for name, lines in one.items():
        # Texts may differ where batches differ, as two processes with one model do.
        assert {tuple(json.loads(line)) for line in lines} == {
            tuple(json.loads(line)) for line in two[name]
        }, name
    prompts = [{json.loads(line)["prompt"]["id"] for line in found["traces.jsonl"]} for found in (one, two)]
    assert prompts[0] == prompts[1]

"""`kill -9` of shards and of their merge: the same commands again end in the records of one process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from core.records import Comparison
from core.store.record_store import RecordFile
from engines.config import EngineConfig, ModelConfig
from engines.scripted import ScriptedEngine
from publius.runs.parts.shards import Shard
from publius.stages.runner import RunRequest, execute
from publius.stages.scale.merge import MergedRun, MergeRequest, merge_shards
from tests.publius.projects import Recorder, ids, record_lines, write_project

REPOSITORY = Path(__file__).parents[4]
PROMPTS = 10

DYING = """
import os, signal, sys
from pathlib import Path
from core.store.record_store import RecordFile
from engines.scripted import ScriptedEngine
from publius.runs.parts.shards import parse_shard
from publius.stages.runner import RunRequest, execute
from publius.stages.scale.merge import MergeRequest, merge_shards

kind, number, what, *where = sys.argv[1:]
left = int(number)

def count(of):
    global left
    left -= of == kind
    if of == kind and left == 0:
        return True
    return False

def die():
    os.kill(os.getpid(), signal.SIGKILL)

class Engine(ScriptedEngine):
    async def generate(self, request):
        if count("request"):
            die()
        return await super().generate(request)

    async def choose(self, request):
        if count("request"):
            die()
        return await super().choose(request)

whole = RecordFile._write_whole

def write_whole(self, line):
    if count("torn"):
        os.write(self._descriptor, line[: len(line) // 2])
        die()
    whole(self, line)
    if count("unindexed"):
        die()

RecordFile._write_whole = write_whole
if what == "merge":
    merge_shards(MergeRequest([Path(folder) for folder in where]))
else:
    execute(RunRequest(Path(where[0]), shard=parse_shard(what)), lambda model, engine: Engine(model=model.id))
"""
"""Runs a shard, or merges shards, and kills itself: at a request, in the middle of a line, or after one."""


def killed(kind: str, number: int, what: str, *where: Path) -> bool:
    """Run or merge; return True if the process killed itself, False if it ended before that."""
    command = [sys.executable, "-c", DYING, kind, str(number), what, *map(str, where)]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the run that one process has made."""
    run_file = write_project(tmp_path_factory.mktemp("whole"), PROMPTS)
    return execute(RunRequest(run_file), Recorder()).folder


def run_shard(run_file: Path, number: int) -> Path:
    return execute(RunRequest(run_file, shard=Shard(number, 2)), Recorder()).folder


def shard_folder(run_file: Path, number: int) -> Path:
    (folder,) = (run_file.parent / "runs").glob(f"*.shard-{number}-of-2")
    return folder


def complete_lines(folder: Path) -> dict[str, set[str]]:
    return {name: set(lines) for name, lines in record_lines(folder).items()}


def assert_same_records(found: Path, whole: Path) -> None:
    """Assert that two folders have the same records, each once, and that every line is complete."""
    one, two = record_lines(whole), record_lines(found)
    for name, lines in two.items():
        assert len(ids(lines)) == len(set(ids(lines))), f"{name}: doubled"
        assert (found / name).read_text() == "".join(lines), f"{name}: torn"
    assert {name: sorted(lines) for name, lines in two.items()} == {
        name: sorted(lines) for name, lines in one.items()
    }


@pytest.mark.parametrize(
    "deaths",
    [
        pytest.param([("torn", 24)], id="once"),
        pytest.param(
            [
                # 54 requests and 30 lines are to come, so each of these moments does.
                *[("request", 1), ("request", 5), ("request", 6), ("request", 13), ("torn", 3)],
                *[("unindexed", 1), ("torn", 2), ("unindexed", 4), ("torn", 3), ("unindexed", 9)],
            ],
            marks=pytest.mark.long,
            id="ten-times",
        ),
    ],
)
def test_killed_shards_run_again_and_merged_are_the_run(
    tmp_path: Path, whole: Path, deaths: list[tuple[str, int]]
):
    run_file = write_project(tmp_path / "parts", PROMPTS)
    before: dict[str, set[str]] = {}
    for kind, number in deaths:
        assert killed(kind, number, "1/2", run_file)
        after = complete_lines(shard_folder(run_file, 1))
        assert all(lines <= after[name] for name, lines in before.items()), "a committed row changed or went"
        before = after
    merged = merge_shards(MergeRequest([run_shard(run_file, 1), run_shard(run_file, 2)]))
    assert merged.unfinished == ()
    assert_same_records(merged.folder, whole)
    recorder = Recorder()
    execute(RunRequest(run_file), recorder)
    assert recorder.requests == []
    assert_same_records(merged.folder, whole)


class Snapshots:
    """Makes scripted engines that copy the project at some requests: a kill would leave it like that."""

    def __init__(self, project: Path, moments: dict[int, Path]) -> None:
        self.project, self.moments, self.requests = project, moments, 0

    def __call__(self, model: ModelConfig, engine: EngineConfig) -> ScriptedEngine:
        snapshots = self

        class Engine(ScriptedEngine):
            async def generate(self, request: Any) -> Any:
                snapshots.take()
                return await super().generate(request)

            async def choose(self, request: Any) -> Any:
                snapshots.take()
                return await super().choose(request)

        return Engine(model=model.id)

    def take(self) -> None:
        self.requests += 1
        if (to := self.moments.get(self.requests)) is not None:
            # Without index and cache, which other processes of ours may be writing; both are made again.
            shutil.copytree(self.project, to, ignore=shutil.ignore_patterns("*.sqlite*"))


def test_shard_that_was_killed_is_not_taken_for_finished(tmp_path: Path, whole: Path):
    run_file = write_project(tmp_path / "parts", PROMPTS)
    run_shard(run_file, 2)
    moments = {number: tmp_path / f"at-{number}" for number in (1, 20, 45)}
    snapshots = Snapshots(run_file.parent, moments)
    execute(RunRequest(run_file, shard=Shard(1, 2)), snapshots)
    stages = []
    for place in moments.values():
        left = place / run_file.name
        stages.append(sorted(json.loads((shard_folder(left, 1) / "manifest.json").read_text())["stages"]))
        merged = merge_shards(MergeRequest([shard_folder(left, 1), shard_folder(left, 2)]))
        assert (merged.missing, merged.unfinished) == ((), (1,))
        execute(RunRequest(left), Recorder())
        assert_same_records(merged.folder, whole)
    assert stages[0] == ["prompts"]
    assert "compare" in stages[-1]


def test_shards_that_were_killed_before_all_prompts_were_imported_are_merged(tmp_path: Path, whole: Path):
    run_file = write_project(tmp_path / "parts", PROMPTS)
    for number in (1, 2):
        folder = run_shard(run_file, number)
        manifest = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps(manifest | {"stages": {}, "prompts": {}}))
        for path in folder.glob("*.jsonl"):
            if path.name == "prompts.jsonl":
                path.write_text("".join(path.read_text().splitlines(keepends=True)[: 3 * number]))
            else:
                path.unlink()
        assert merge_shards(MergeRequest([folder])).unfinished == (number,)
    execute(RunRequest(run_file), Recorder())
    (merged,) = (path for path in (run_file.parent / "runs").iterdir() if ".shard-" not in path.name)
    assert_same_records(merged, whole)


class Killed(BaseException):
    """Stands for a kill: no handler of errors catches it."""


@pytest.fixture
def shards(tmp_path: Path) -> tuple[Path, list[Path]]:
    """Return a run file and the folders of its two shards."""
    run_file = write_project(tmp_path / "parts", PROMPTS)
    return run_file, [run_shard(run_file, number) for number in (1, 2)]


@pytest.mark.parametrize("again", ["merge", "run"])
def test_merge_that_stops_anywhere_is_completed_by_the_next_command(
    shards: tuple[Path, list[Path]], whole: Path, again: str, monkeypatch: pytest.MonkeyPatch
):
    run_file, folders = shards
    records = sum(map(len, record_lines(whole).values()))
    append = RecordFile.append
    for moment in range(1, records, records // 3):
        left = moment

        def dying(self: RecordFile[Comparison], record: Comparison) -> bool:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            return append(self, record)

        with monkeypatch.context() as patched:
            patched.setattr(RecordFile, "append", dying)
            with pytest.raises(Killed):
                merge_shards(MergeRequest(folders))
        if again == "merge":
            assert merge_shards(MergeRequest(folders)).unfinished == ()
        else:
            execute(RunRequest(run_file), Recorder())
        merged = folders[0].with_name(whole.name)
        assert_same_records(merged, whole)
        shutil.rmtree(merged)


@pytest.mark.long
def test_killed_merge_is_completed_by_the_same_command(shards: tuple[Path, list[Path]], whole: Path):
    _, folders = shards
    merged = folders[0].with_name(whole.name)
    lines = []
    for kind, number in (("torn", 1), ("unindexed", 20), ("torn", 10), ("unindexed", 1), ("torn", 15)):
        assert killed(kind, number, "merge", *folders)
        lines.append(sum(map(len, record_lines(merged).values())))
    assert lines == sorted(lines)
    assert 0 < lines[-1] < sum(map(len, record_lines(whole).values()))
    result: MergedRun = merge_shards(MergeRequest(folders))
    assert result.unfinished == ()
    assert_same_records(merged, whole)
    assert Counter(merge_shards(MergeRequest(folders)).new.values()) == {0: len(result.records)}

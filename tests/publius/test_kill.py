"""`kill -9` at random moments: nothing is lost, doubled or asked again but what was in flight."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.records import Prompt
from publius.sources.prompts import read_prompts
from tests.publius.projects import ids, record_lines, write_project

REPOSITORY = Path(__file__).parents[2]
CONCURRENCY = 4

REAL_RUN = f"""\
name: real
constitution: constitution.yaml
prompts: prompts.jsonl
models: {{policy: smollm2-135m-instruct}}
engine: {{concurrency: {CONCURRENCY}, max_batch: {CONCURRENCY}}}
critique:
  rounds: 1
  draft: {{max_new_tokens: 12}}
  critique: {{max_new_tokens: 8}}
  revision: {{max_new_tokens: 12}}
  drop: []
compare: {{from: base, samples: 2, sampling: {{max_new_tokens: 12}}}}
label: {{principles: 2}}
"""

SCRIPTED_RUN = REAL_RUN.replace("smollm2-135m-instruct", "script")

SLOW_SCRIPT = """
import asyncio, sys
from pathlib import Path
from engines.scripted import ScriptedEngine
from publius.stages.runner import RunRequest, execute

class Slow(ScriptedEngine):
    async def generate(self, request):
        await asyncio.sleep(0.01)
        return await super().generate(request)

    async def choose(self, request):
        await asyncio.sleep(0.01)
        return await super().choose(request)

execute(RunRequest(Path(sys.argv[1])), lambda model, engine: Slow(model=model.id))
"""

REAL = "import sys; sys.argv[0] = 'publius'; from publius.cli import main; main()"


def start(program: str, *arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def answers_in_cache(project: Path) -> int:
    path = project / ".publius" / "cache.sqlite"
    if not path.exists():
        return 0
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10) as connection:
            return int(connection.execute("SELECT COUNT(*) FROM answers").fetchone()[0])
    except sqlite3.OperationalError:  # the file is there and its table is not yet
        return 0


def committed(project: Path) -> dict[str, set[str]]:
    """Return the complete lines of all append-only files of the project's one run."""
    runs = [folder for folder in (project / "runs").glob("*") if (folder / "manifest.json").exists()]
    lines = record_lines(runs[0]) if runs else {}
    return {name: set(found) for name, found in lines.items() if name != "preferences.jsonl"}


def kill_again_and_again(
    project: Path, program: str, arguments: list[object], answers: int, kills: int
) -> set[str]:
    """Start the run and kill it again and again at moments spread at random over the answers that it needs.

    Returns the stages in which it was killed.
    """
    chance, stages = random.Random(7), set()
    before: dict[str, set[str]] = {}
    for number in range(kills):
        target = 1 + int(answers * (number + chance.random()) / (kills + 1))
        process = start(program, *arguments)
        while answers_in_cache(project) < target and process.poll() is None:
            time.sleep(0.005)
        time.sleep(chance.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "the run ended before it was killed"
        after = committed(project)
        for name, lines in before.items():
            assert lines <= after[name], f"{name}: a committed row changed or went"
        before = after
        stages.add(stage_of(after))
    return stages


def stage_of(files: dict[str, set[str]]) -> str:
    """Return the stage that was under way, by the file that was begun last."""
    if "judgments.jsonl" in files:
        return "label"
    return "compare" if "comparisons.jsonl" in files else "critique"


def assert_whole(folder: Path, prompts: list[Prompt]) -> None:
    """Assert that every file parses, holds no record twice and none is missing."""
    lines = record_lines(folder)
    for name, found in lines.items():
        assert len(ids(found)) == len(set(ids(found))), f"{name}: doubled"
        assert (folder / name).read_text() == "".join(found), f"{name}: torn"
    assert {json.loads(line)["prompt"]["id"] for line in lines["traces.jsonl"]} == {p.id for p in prompts}
    assert list(folder.glob("*.new")) == []


@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.long)])
def test_scripted_runs_killed_or_not_end_in_the_same_bytes(tmp_path, kills):
    calm, killed = (write_project(tmp_path / name, 24, SCRIPTED_RUN) for name in ("calm", "killed"))
    assert start(SLOW_SCRIPT, calm).wait() == 0
    stages = kill_again_and_again(killed.parent, SLOW_SCRIPT, [killed], answers_in_cache(calm.parent), kills)
    assert stages == {"critique", "compare", "label"}
    assert start(SLOW_SCRIPT, killed).wait() == 0
    one, two = (next((path.parent / "runs").glob("*")) for path in (calm, killed))
    assert sorted_lines(one) == sorted_lines(two)
    assert_whole(two, list(read_prompts(killed.parent / "prompts.jsonl")))


def sorted_lines(folder: Path) -> dict[str, list[str]]:
    """Return every record file's lines sorted by id."""
    return {
        name: sorted(lines, key=lambda line: json.loads(line)["id"])
        for name, lines in record_lines(folder).items()
    }


@pytest.mark.slow
@pytest.mark.long  # processes that each load the embedded model
def test_real_runs_survive_ten_kills_and_ask_nothing_twice(tmp_path):
    run_file = write_project(tmp_path, 6, REAL_RUN)
    needed = 6 * 3 + 6 * 2 + 6 * 2 * 2  # drafts, critiques, revisions; samples; judgments in both orders
    stages = kill_again_and_again(tmp_path, REAL, ["run", run_file], needed, 10)
    assert stages == {"critique", "compare", "label"}
    stored = answers_in_cache(tmp_path)
    process = start(REAL, "run", run_file, "--json")
    output, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    asked = sum(sum(stage["asked"].values()) for stage in json.loads(output)["stages"].values())
    # Each answer is stored once, as soon as it is there. That the last process asks exactly for what was not
    # stored means that a kill only ever cost the requests that were in flight.
    assert asked == answers_in_cache(tmp_path) - stored
    (folder,) = (tmp_path / "runs").glob("*")
    assert_whole(folder, list(read_prompts(tmp_path / "prompts.jsonl")))

"""Stages that overlap: the same records, in less time, only where the labeler is another engine."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import EngineError
from engines.config import EngineConfig, ModelConfig
from engines.protocols import ChoiceRequest, GenerationRequest
from engines.scripted import ScriptedEngine
from publius.stages.runner import RunRequest, execute
from tests.publius.projects import RUN, record_lines, write_project

TWO_MODELS = RUN.replace("{policy: some-model}", "{policy: some-model, labeler: other-model}")
SAMPLED = TWO_MODELS + "compare: {from: base, samples: 2}\n"


class Logged:
    """Makes scripted engines that note in which order they are asked.

    Args:
        fails_at: number of requests after which the labeler is broken.
        waits: purpose of which the twentieth request is answered only once the labeler was asked.
    """

    def __init__(self, fails_at: int | None = None, waits: str = "") -> None:
        self.purposes: list[str] = []
        self.fails_at, self.waits = fails_at, waits
        self.labelled = asyncio.Event()

    def __call__(self, model: ModelConfig, engine: EngineConfig) -> ScriptedEngine:
        log = self

        class Engine(ScriptedEngine):
            async def generate(self, request: GenerationRequest) -> Any:
                log.purposes.append(request.purpose)
                if request.purpose == log.waits and log.purposes.count(log.waits) == 20:
                    await asyncio.wait_for(log.labelled.wait(), 60)
                return await super().generate(request)

            async def choose(self, request: ChoiceRequest) -> Any:
                log.purposes.append(request.purpose)
                if log.fails_at is not None and len(log.purposes) > log.fails_at:
                    raise EngineError("the labeler is broken")
                log.labelled.set()
                return await super().choose(request)

        return Engine(model=model.id)


def sorted_records(folder: Path) -> dict[str, list[str]]:
    return {name: sorted(lines) for name, lines in record_lines(folder).items()}


@pytest.mark.parametrize(
    ("run", "purpose"), [(TWO_MODELS, "draft"), (SAMPLED, "sample")], ids=["revisions", "base"]
)
def test_records_are_those_of_stages_one_after_the_other(tmp_path: Path, run: str, purpose: str):
    beside, after = (write_project(tmp_path / name, 24, run) for name in ("beside", "after"))
    one = execute(RunRequest(beside), Logged(waits=purpose))  # it would wait for ever without the overlap
    for stage in [result.stage for result in one.stages]:
        two = execute(RunRequest(after, stages=(stage,)), Logged())
    assert sorted_records(one.folder) == sorted_records(two.folder)
    manifests = [
        json.loads((outcome.folder / "manifest.json").read_text())["stages"] for outcome in (one, two)
    ]
    for stage in (result.stage for result in one.stages):
        assert manifests[0][stage]["requests"] == manifests[1][stage]["requests"], stage
        assert manifests[0][stage]["complete"] == manifests[1][stage]["complete"], stage


@pytest.mark.parametrize(
    "run", [RUN, TWO_MODELS + "time: {minutes: 100}\n"], ids=["one model", "limited time"]
)
def test_stages_run_one_after_the_other_where_they_must(tmp_path: Path, run: str):
    log = Logged()
    execute(RunRequest(write_project(tmp_path, 24, run)), log)
    first = log.purposes.index("label")
    assert set(log.purposes[first:]) == {"label"}


def test_failure_of_the_labeler_keeps_what_was_drafted_and_resumes(tmp_path: Path):
    whole, broken = (write_project(tmp_path / name, 24, TWO_MODELS) for name in ("whole", "broken"))
    expected = sorted_records(execute(RunRequest(whole), Logged()).folder)
    with pytest.raises(EngineError, match="the labeler is broken"):
        execute(RunRequest(broken), Logged(fails_at=40))
    (folder,) = (tmp_path / "broken" / "runs").iterdir()
    begun = record_lines(folder)
    assert 0 < len(begun["traces.jsonl"]) < 24
    outcome = execute(RunRequest(broken), Logged())
    assert sorted_records(outcome.folder) == expected
    assert set(begun["traces.jsonl"]) <= set(record_lines(folder)["traces.jsonl"])


def test_finished_run_asks_and_computes_nothing(tmp_path: Path):
    run_file = write_project(tmp_path, 8, SAMPLED)
    execute(RunRequest(run_file), Logged())
    (tmp_path / ".publius" / "cache.sqlite").unlink()
    log = Logged()
    execute(RunRequest(run_file), log)
    assert log.purposes == []


def test_deleted_record_is_made_again(tmp_path: Path):
    run_file = write_project(tmp_path, 8, SAMPLED)
    folder = execute(RunRequest(run_file), Logged()).folder
    path = folder / "comparisons.jsonl"
    before = sorted(path.read_text().splitlines())
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    execute(RunRequest(run_file), Logged())
    assert sorted(path.read_text().splitlines()) == before

"""The stages of a run stream: memory does not grow with the number of conversations."""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from core.records import Generation
from engines.config import EngineConfig, ModelConfig
from engines.protocols import ChoiceRequest, ChoiceScores, GenerationRequest
from engines.scripted import ScriptedEngine
from publius.stages.base import Stage
from publius.stages.runner import RunRequest, execute
from tests.publius.projects import CONSTITUTION

MAX_SLOPE = 50
"""Bytes a conversation. A Python set of ids takes over 100, a list of prompts over 1,000."""

RUN = """\
name: small
constitution: constitution.yaml
prompts: prompts.jsonl
models: {policy: instant}
engine: {kind: scripted}
critique: {rounds: 1}
compare: {from: base, samples: 2}
label: {principles: 1}
"""


class Watched(ScriptedEngine):
    """Calls `watch` before each answer."""

    def __init__(self, watch: Callable[[], None]) -> None:
        super().__init__(answerer=lambda request: f"Answer {request.seed}.", keep_history=False)
        self._watch = watch

    async def generate(self, request: GenerationRequest) -> Generation:
        self._watch()
        return await super().generate(request)

    async def choose(self, request: ChoiceRequest) -> ChoiceScores:
        self._watch()
        return await super().choose(request)


def slope(run_file: Path, stage: Stage, few: int, many: int, requests: int) -> float:
    """Run a stage; return how much its memory grows from `few` to `many` conversations, in bytes for each.

    Objects that are no longer used do not count, whether or not they have been collected.
    """
    asked, sizes = 0, {}

    def watch() -> None:
        nonlocal asked
        asked += 1
        if asked in (few * requests, many * requests):
            gc.collect()
            sizes[asked] = tracemalloc.get_traced_memory()[0]

    def make(model: ModelConfig, engine: EngineConfig) -> ScriptedEngine:
        return Watched(watch)

    tracemalloc.start()
    try:
        execute(RunRequest(run_file, stages=(stage,)), make)
    finally:
        tracemalloc.stop()
    return (sizes[many * requests] - sizes[few * requests]) / (many - few)


@pytest.mark.long
def test_no_stage_holds_its_conversations_in_memory(tmp_path: Path):
    # Far apart: some 250 kB of records under way may be there at one count and not at the other.
    few, many = 2000, 10_000
    rows = [{"prompt": f"What is {n} times {n}?", "split": "train"} for n in range(many + 100)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "constitution.yaml").write_text(CONSTITUTION)
    (tmp_path / "run.yaml").write_text(RUN)
    found = {
        stage: slope(tmp_path / "run.yaml", stage, few, many, requests)
        for stage, requests in (("critique", 3), ("compare", 2), ("label", 2))
    }
    assert max(found.values()) <= MAX_SLOPE, found


@pytest.mark.long
def test_prompts_are_ingested_without_holding_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from publius.stages import runner

    grown: list[float] = []

    class WatchedIngestion(runner.PromptIngestion):
        """Measures the memory from the survey of the prompts to the end of their import."""

        def check(self) -> None:
            tracemalloc.reset_peak()
            self.before = tracemalloc.get_traced_memory()[0]
            super().check()

        def __call__(self, run: runner.Run) -> None:
            super().__call__(run)
            grown.append(tracemalloc.get_traced_memory()[1] - self.before)

    monkeypatch.setattr(runner, "PromptIngestion", WatchedIngestion)
    for count in (1000, 5000):
        folder = tmp_path / str(count)
        folder.mkdir()
        (folder / "prompts.jsonl").write_text(
            "".join(json.dumps({"prompt": f"{n}?"}) + "\n" for n in range(count))
        )
        (folder / "constitution.yaml").write_text(CONSTITUTION)
        (folder / "run.yaml").write_text(RUN)
        tracemalloc.start()
        try:
            execute(RunRequest(folder / "run.yaml", stages=("compare",)), lambda *_: Watched(lambda: None))
        finally:
            tracemalloc.stop()
    assert (grown[1] - grown[0]) / 4000 <= MAX_SLOPE

"""The progress line of a stage counts tokens while they are drawn, before any answer is complete."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from core.chat import Turn
from core.progress import ProgressTask
from core.records import Generation, Sampling
from core.store.cache import RequestCache
from engines.config import EngineConfig, ModelConfig, ModelsConfig
from engines.hf.worker import TorchWorker
from engines.protocols import Engine, GenerationRequest
from engines.scripted import ScriptedEngine
from publius.runs.engines import Engines
from publius.runs.project import open_cache
from publius.stages import base
from publius.stages.base import live_note

_STEPS = 5
_LONGEST_S = 120.0
"""Bound on every wait, for a test that fails."""


class Held:
    """Holds the engine's thread after some steps, until it is released."""

    def __init__(self) -> None:
        self.reached, self.released = threading.Event(), threading.Event()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    found, steps, work = Held(), count(1), TorchWorker.work

    def waiting(worker: TorchWorker) -> int:
        if next(steps) == _STEPS + 1:
            found.reached.set()
            assert found.released.wait(_LONGEST_S)
        return work(worker)

    monkeypatch.setattr(TorchWorker, "work", waiting)
    yield found
    found.released.set()


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[RequestCache]:
    with open_cache(tmp_path) as opened:
        yield opened


def request(text: str, seed: int = 0) -> GenerationRequest:
    sampling = Sampling(temperature=0.0, max_new_tokens=4 * _STEPS)
    return GenerationRequest((Turn("user", (text,)),), sampling, seed, "draft")


def tokens_in(task: ProgressTask) -> int:
    """Return the number of tokens that the progress line shows; 0 before it shows any."""
    shown = [part for part in ", ".join(task.columns()).split(", ") if part.endswith(" tokens")]
    return int(shown[0].removesuffix(" tokens").replace(",", "")) if shown else 0


async def until_shown(task: ProgressTask) -> None:
    async with asyncio.timeout(_LONGEST_S):
        while not tokens_in(task):
            await asyncio.sleep(0.01)


def test_tokens_count_before_the_first_answer_is_complete(
    tiny_folder: Path, cache: RequestCache, held: Held, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(base, "_REFRESH_S", 0.01)
    models = ModelsConfig(policy=ModelConfig(id=str(tiny_folder)))
    engines, task = Engines(models, EngineConfig(device="cpu"), cache), ProgressTask("draft", 2)

    async def ask() -> list[Generation]:
        engine = engines.of("policy")
        async with live_note(task, engines, time.monotonic()):
            asked = [asyncio.create_task(engine.generate(request(text))) for text in ("Hi", "Why?")]
            assert await asyncio.to_thread(held.reached.wait, _LONGEST_S)
            await until_shown(task)
            assert not any(answer.done() for answer in asked)
            assert 0 < tokens_in(task) <= 2 * _STEPS
            assert "sent, none answered yet" in task.columns()[-1]
            held.released.set()
            return await asyncio.gather(*asked)

    try:
        answers = asyncio.run(ask())
    finally:
        held.released.set()
        engines.close()
    assert tokens_in(task) == sum(answer.completion_tokens for answer in answers)


class Counting(ScriptedEngine):
    """Counts tokens as a host does that several engines share."""

    drawn_tokens = 0

    def join(self, other: object) -> bool:
        return isinstance(other, Counting)

    def shares_model_with(self, other: object) -> bool:
        return isinstance(other, Counting)


def test_a_model_that_engines_share_counts_once_and_a_late_report_never_hides_an_answer(cache: RequestCache):
    made: list[Counting] = []

    def make(model: ModelConfig, engine: EngineConfig) -> Engine:
        if model.id == "plain":
            return ScriptedEngine(answerer=lambda request: "one two three")
        made.append(Counting(answerer=lambda request: "one two three"))
        return made[-1]

    models = ModelsConfig(
        policy=ModelConfig(id="a"), critic=ModelConfig(id="b"), labeler=ModelConfig(id="plain")
    )
    engines, task = Engines(models, EngineConfig(), cache, make), ProgressTask("draft", 3)
    policy, critic, labeler = engines.of("policy"), engines.of("critic"), engines.of("labeler")

    async def ask() -> int:
        async with live_note(task, engines, time.monotonic()):
            asked = {"draft": policy, "critique": critic, "label": labeler}
            answers = [await engine.generate(request(name)) for name, engine in asked.items()]
        return sum(answer.completion_tokens for answer in answers)

    assert asyncio.run(ask()) == tokens_in(task) > 0  # the shared model has reported nothing yet
    for counting in made:
        counting.drawn_tokens = 7
    assert engines.drawn_tokens() == 7 + labeler.counts.completion_tokens

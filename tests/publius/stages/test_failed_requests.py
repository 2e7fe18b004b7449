"""What a misbehaving model costs a run: the records of its requests, counted, until the run resumes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from core.digests import derive_seed
from core.errors import EngineError
from core.records import Generation
from engines.protocols import ChoiceRequest, ChoiceScores, GenerationRequest
from engines.scripted import ScriptedEngine
from publius.stages.outcome import RunOutcome
from publius.stages.runner import RunRequest, execute
from tests.publius.projects import RUN, record_lines, write_project

KINDS = ("ValueError", "TimeoutError", "cancelled", "surrogate", "hang", "nan")
QUICK = RUN.replace("concurrency: 4", "concurrency: 4, request_timeout_s: 0.5")
EVALUATED = QUICK + "split: {train: 0.5, preference: 0.0, test: 0.5}\n"


class Misbehaving(ScriptedEngine):
    """A scripted engine that fails on one request in `every`, each time in another way."""

    every = 6

    async def generate(self, request: GenerationRequest) -> Generation:
        kind = self._kind(request)
        answer = await super().generate(request)
        if kind == "surrogate":
            return answer.model_copy(update={"text": "half \ud83d"})
        await misbehave(kind)
        return answer

    async def choose(self, request: ChoiceRequest) -> ChoiceScores:
        kind = self._kind(request)
        scores = await super().choose(request)
        if kind == "nan":
            return scores.model_copy(update={"logprobs": (float("nan"), 0.0)})
        await misbehave(kind)
        return scores

    def _kind(self, request: GenerationRequest | ChoiceRequest) -> str:
        number = derive_seed(*(turn.text for turn in request.turns))
        return KINDS[number // self.every % len(KINDS)] if number % self.every == 0 else ""


async def misbehave(kind: str) -> None:
    match kind:
        case "ValueError":
            raise ValueError("the model stumbled\nin two lines")
        case "TimeoutError":
            raise TimeoutError
        case "cancelled":
            raise asyncio.CancelledError
        case "hang":
            await asyncio.Event().wait()


def run(run_file: Path, engine: type[ScriptedEngine] = ScriptedEngine) -> RunOutcome:
    return execute(RunRequest(run_file), lambda model, _: engine(model=model.id))


def records(folder: Path) -> dict[str, list[str]]:
    return {name: sorted(lines) for name, lines in record_lines(folder).items()}


@pytest.mark.parametrize("prompts", [40, pytest.param(200, marks=pytest.mark.long)])
def test_failed_requests_are_counted_and_made_up_for_when_the_run_resumes(tmp_path: Path, prompts: int):
    calm = run(write_project(tmp_path / "calm", prompts, QUICK))
    run_file = write_project(tmp_path / "troubled", prompts, QUICK)
    Misbehaving.every = 6 if prompts == 40 else 12
    outcome = run(run_file, Misbehaving)
    left_out = outcome.as_json()["left_out"]
    for stage, name in (("critique", "traces.jsonl"), ("label", "comparisons.jsonl")):
        done = {"critique": "traces.jsonl", "label": "preferences.jsonl"}[stage]
        total = prompts if stage == "critique" else len(record_lines(outcome.folder)[name])
        skipped = sum(left_out.get(stage, {}).values())
        assert skipped > 0
        assert skipped + len(record_lines(outcome.folder)[done]) == total
    assert "ai" in json.dumps(outcome.as_json()["figures"])
    again = run(run_file)
    assert again.as_json()["left_out"] == calm.as_json()["left_out"]
    assert records(again.folder) == records(calm.folder)


def test_an_evaluation_counts_failed_requests_too(tmp_path: Path):
    run_file = write_project(tmp_path, 4, EVALUATED)
    rows = [json.dumps({"prompt": f"Held-out question {i}", "split": "test"}) for i in range(20)]
    with (tmp_path / "prompts.jsonl").open("a") as file:
        file.write("".join(row + "\n" for row in rows))
    Misbehaving.every = 4
    execute(RunRequest(run_file, stages=("critique",)), lambda model, _: ScriptedEngine(model=model.id))
    asked = RunRequest(run_file, overrides=("eval.kl=false",), stages=("eval",))
    outcome = execute(asked, lambda model, _: Misbehaving(model=model.id))
    skipped = sum(outcome.as_json()["left_out"]["eval"].values())
    assert skipped > 0
    answers = len(record_lines(outcome.folder)["answers.jsonl"])
    again = execute(asked, lambda model, _: ScriptedEngine(model=model.id))
    assert "eval" not in again.as_json()["left_out"]
    assert len(record_lines(again.folder)["answers.jsonl"]) == answers + skipped


def test_an_engine_that_always_fails_ends_the_stage_in_one_line_and_nothing_is_lost(tmp_path: Path):
    class Refusing(ScriptedEngine):
        async def choose(self, request: ChoiceRequest) -> ChoiceScores:
            raise ConnectionError("refused")

    run_file = write_project(tmp_path, 30)
    with pytest.raises(EngineError) as caught:
        run(run_file, Refusing)
    assert "32 requests in a row failed" in str(caught.value)
    assert "\n" not in str(caught.value)
    folder = next((tmp_path / "runs").iterdir())
    assert len(record_lines(folder)["traces.jsonl"]) == 30
    assert json.loads((folder / "manifest.json").read_text())["stages"]["label"]["left_out"]
    assert "label" not in run(run_file).as_json()["left_out"]


def test_a_mistake_of_our_own_code_is_not_taken_for_a_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def broken(*_: object) -> Callable[..., object]:
        raise KeyError("a mistake")

    monkeypatch.setattr("critique.loop.flags_of", broken)
    with pytest.raises(KeyError, match="a mistake"):
        run(write_project(tmp_path))

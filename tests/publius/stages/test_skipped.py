"""A stage that skipped every record has failed; one that skipped some of them has not."""

from __future__ import annotations

import pytest

from core.errors import RequestError, RunStateError
from core.records import Generation
from engines.config import EngineConfig, ModelConfig
from engines.protocols import GenerationRequest
from engines.scripted import ScriptedEngine
from publius.stages.runner import RunRequest, execute
from tests.publius.projects import write_project


class Refusing(ScriptedEngine):
    """Refuses the prompts with a number that the class names."""

    numbers: tuple[int, ...] = ()

    async def generate(self, request: GenerationRequest) -> Generation:
        if any(f"number {number}:" in turn.text for turn in request.turns for number in self.numbers):
            raise RequestError("the prompt is too long")
        return await super().generate(request)


def refusing(*numbers: int):
    def make(model: ModelConfig, engine: EngineConfig) -> ScriptedEngine:
        made = Refusing(model=model.id)
        made.numbers = numbers
        return made

    return make


def test_a_stage_that_skips_every_record_ends_the_run_with_an_error(tmp_path):
    run_file = write_project(tmp_path, 3)
    with pytest.raises(RunStateError, match="the stage critique skipped every record") as caught:
        execute(RunRequest(run_file), refusing(0, 1, 2))
    assert "the prompt is too long: 3" in str(caught.value)


def test_a_stage_that_skips_some_records_goes_on(tmp_path):
    outcome = execute(RunRequest(write_project(tmp_path, 3)), refusing(1))
    assert [result.records for result in outcome.stages if result.stage == "critique"] == [2]

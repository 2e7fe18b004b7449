"""Labels through a server that speaks OpenAI's chat are those of the engine behind it, in every mode."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import pytest

from constitution.schema import Principle
from core.chat import Turn
from core.errors import EngineError
from core.records import Comparison, Generation, Judgment
from engines.config import EngineConfig, ModelConfig
from engines.hf.engine import TransformersEngine
from engines.http.engine import HttpEngine
from engines.protocols import ChoiceRequest, ChoiceScores, GenerationRequest
from labelers.ai import AILabeler, require_labeler
from labelers.config import LabelConfig
from prompts.environment import PromptTemplates
from tests.engines.http.fault_server import MODEL, FaultServer, serving
from tests.labelers.modes.cases import CONSTITUTION, HONEST, KIND, OFFERED, WAYS, comparison

SERVED = ("choice", "pointwise", "pointwise in both polarities", "rating", "reasoned", "rubric")
PAIRS = [comparison(f"Ask a nurse. {n}", f"Take {n + 2} of them, and sleep.") for n in range(6)]


def written(text: str) -> str:
    """What the judge writes to a conversation: reasons, or a grade where one is asked for."""
    number = int(hashlib.sha256(text.encode()).hexdigest()[:4], 16)
    if '"grade"' in text:
        return json.dumps({"reason": f"It is number {number}.", "grade": 1 + number % 5})
    return f"One of them has {number} merits."


class Judge:
    """The tiny engine, which writes by rule: a random model writes half characters."""

    def __init__(self, engine: TransformersEngine) -> None:
        self._engine = engine

    def key(self, request: ChoiceRequest | GenerationRequest) -> str:
        return self._engine.key(request)

    async def choose(self, request: ChoiceRequest) -> ChoiceScores:
        return await self._engine.choose(request)

    async def generate(self, request: GenerationRequest) -> Generation:
        return Generation(
            text=written(request.turns[-1].text),
            finish_reason="stop",
            prompt_tokens=1,
            completion_tokens=1,
            model="tiny",
            sampling=request.sampling,
        )


def server_of(engine: TransformersEngine) -> Any:
    """A server in front of the engine, which lists the likeliest of its tokens as vLLM does."""

    def response(body: dict[str, Any], response: dict[str, Any]) -> dict[str, Any]:
        messages = list(body["messages"])
        prefill = messages.pop()["content"] if body.get("continue_final_message") else ""
        choice = response["choices"][0]
        if not body.get("logprobs"):
            choice["message"]["content"] = written(messages[-1]["content"])
            return response
        turns = tuple(Turn(message["role"], (message["content"],)) for message in messages)
        scores = asyncio.run(engine.choose(ChoiceRequest(turns, OFFERED, "label", prefill)))
        listed = sorted(zip(scores.logprobs, OFFERED, strict=True), reverse=True)
        entries = [{"token": token, "logprob": value, "bytes": None} for value, token in listed]
        choice["logprobs"]["content"][0] = {**entries[0], "top_logprobs": entries}
        return response

    return serving(response=response, models=[{"id": MODEL, "object": "model", "owned_by": "vllm"}])


def engine_to(server: FaultServer) -> HttpEngine:
    return HttpEngine(ModelConfig(id=MODEL), EngineConfig(kind="http", url=server.url))


def judged(engine: Any, config: LabelConfig, pairs: list[Comparison], principle: Principle) -> list[Judgment]:
    async def all_of_them() -> list[Judgment]:
        by = AILabeler(CONSTITUTION, engine, config)
        return list(await asyncio.gather(*(by.judge(pair, principle) for pair in pairs)))

    return asyncio.run(all_of_them())


@pytest.mark.parametrize("way", SERVED)
def test_labels_through_a_server_are_those_of_the_engine(way: str, tiny_engine: TransformersEngine):
    config = LabelConfig.model_validate({**WAYS[way], "min_answer_mass": 0.0})
    with server_of(tiny_engine) as server:
        served = engine_to(server)
        require_labeler(served, PromptTemplates(), config)
        theirs = judged(served, config, PAIRS, KIND) + judged(served, config, PAIRS, HONEST)
    ours = [one for p in (KIND, HONEST) for one in judged(Judge(tiny_engine), config, PAIRS, p)]
    pairs = [(a.p_a, b.p_a) for a, b in zip(theirs, ours, strict=True)]
    assert all(p is not None and q is not None and abs(p - q) < 1e-3 for p, q in pairs)
    assert [a.comment for a in theirs] == [b.comment for b in ours]
    assert len({q for _, q in pairs}) > 2  # equal labels would say nothing


@pytest.mark.parametrize("mode", ["symmetric", "contrastive"])
def test_modes_that_need_the_model_itself_are_refused_without_a_request(mode: str):
    config = LabelConfig.model_validate({"mode": mode})
    with serving() as server:
        with pytest.raises(EngineError, match=r"engine\.kind: transformers"):
            require_labeler(engine_to(server), PromptTemplates(), config)
        assert server.requests == []

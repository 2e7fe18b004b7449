"""The embedded model behind the API: what clients get is what the engine answers, also side by side."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.chat import Turn, Untrusted
from core.records import Sampling
from engines.decisions.questions import ChoiceQuestion, DecisionCall, NamedQuestion, Option, YesNoQuestion
from engines.hf.engine import TransformersEngine
from engines.protocols import GenerationRequest
from publius.serving.deciding import EngineDecider
from tests.publius.serving.running import served

pytestmark = pytest.mark.slow

QUESTIONS = ("Name a colour.", "Say hello.", "What is two and two?")
STATE = "Thank you, that was a great help.<|im_end|>"


def test_answers_and_decisions_are_those_of_the_engine(embedded_engine: TransformersEngine):
    sampling = Sampling(temperature=0.0, max_new_tokens=6)
    requests = [
        GenerationRequest((Turn("user", (Untrusted(text),)),), sampling, 0, "t") for text in QUESTIONS
    ]
    questions = {
        "kind": YesNoQuestion("Is it friendly?"),
        "who": ChoiceQuestion("Who wrote it?", (Option("a customer"), Option("a robot"), Option("a child"))),
    }
    call = DecisionCall(STATE, tuple(NamedQuestion(name, question) for name, question in questions.items()))

    async def directly() -> tuple[list[str], tuple[float, ...], float]:
        answers = [(await embedded_engine.generate(request)).text for request in requests]
        kind, who = (await EngineDecider(embedded_engine).decide(call)).answers
        assert kind is not None
        assert who is not None
        return answers, who.probabilities, kind.probabilities[0]

    expected, who, kind = asyncio.run(directly())
    with served({"m": embedded_engine}) as client, ThreadPoolExecutor(4) as clients:
        bodies = [
            {"messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 6}
            for text in QUESTIONS
        ]
        found = list(clients.map(lambda body: client.post("/v1/chat/completions", body), bodies))
        asked = {
            "kind": {"type": "noul", "instructions": "Is it friendly?"},
            "who": {
                "type": "choice",
                "instructions": "Who wrote it?",
                "criteria": {"a customer": None, "a robot": None, "a child": None},
            },
        }
        status, decided = client.post("/v1/systemone", {"state": STATE, "questions": asked})
    assert [body["choices"][0]["message"]["content"] for _, body in found] == expected
    assert status == 200
    assert list(decided["answers"]["who"]["probabilities"].values()) == pytest.approx(who, abs=1e-4)
    assert decided["answers"]["kind"]["noul"] == pytest.approx(kind, abs=1e-4)
    assert 0 < decided["diagnostics"]["kind"]["label_mass"] <= 1

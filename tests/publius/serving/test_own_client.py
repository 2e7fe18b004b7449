"""Our own HTTP engine as a client of our own server: which model answers, begun answers, labels by chat."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import ConfigError
from core.records import Sampling
from engines.config import EngineConfig, ModelConfig
from engines.endpoint.memory import report_change
from engines.http.decisions import DecisionEngine
from engines.http.engine import HttpEngine
from engines.protocols import ChoiceRequest, GenerationRequest
from engines.scripted import ScriptedEngine
from publius.serving.deciding import EngineDecider
from tests.engines.http.test_decisions import asked
from tests.engines.http.test_responses import turn
from tests.publius.serving.running import TOKEN, Client, served

NAME = "dpo"
BEGUN = GenerationRequest((turn("Hello."),), Sampling(temperature=0), 7, "critique", "It should")
LETTERS = ChoiceRequest((turn("Which?"),), (" A", " B"), "label", "The better reply is Reply")


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN_KEY", TOKEN)


@pytest.fixture(scope="module")
def scripted() -> ScriptedEngine:
    return ScriptedEngine(answerer=lambda request: "be shorter.")


@pytest.fixture(scope="module")
def client(scripted: ScriptedEngine) -> Iterator[Client]:
    with served({NAME: scripted}) as found:
        yield found


def config(url: str, **settings: str) -> EngineConfig:
    return EngineConfig.model_validate({"kind": "http", "url": url, "api_key_env": "OWN_KEY", **settings})


def chat_at(url: str) -> HttpEngine:
    return HttpEngine(ModelConfig(id=NAME), config(url))


def keys(engine: ScriptedEngine, *, both_orders: bool = False) -> tuple[str, str, dict[str, object]]:
    """Keys of a request for text and of one for a decision, and how a server of this engine describes it."""
    with served({NAME: engine}, {NAME: EngineDecider(engine, both_orders)}) as server:
        chat = chat_at(server.url)
        decides = DecisionEngine(ModelConfig(id=NAME), config(server.url, dialect="systemone"))
        return chat.key(BEGUN), decides.key(asked("Thanks!")), chat.served.description


def test_a_model_is_told_from_another_one_of_its_name_and_not_after_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    one, again, two = (keys(ScriptedEngine(model=model)) for model in ("one", "one", "two"))
    assert one == again
    assert all(a != b for a, b in zip(one, two, strict=True))
    assert keys(ScriptedEngine(model="one"), both_orders=True)[1] != one[1]
    reported = []
    for _, _, described in (one, again, two):
        caplog.clear()
        report_change(tmp_path / "servers.json", NAME, "http://host", described)
        reported.append("has changed" in caplog.text)
    assert reported == [False, False, True]


def test_an_answer_is_begun_as_the_request_says(client: Client, scripted: ScriptedEngine):
    answer = asyncio.run(chat_at(client.url).generate(BEGUN))
    (request,) = scripted.history
    assert (answer.text, request.prefill, [t.text for t in request.turns]) == (
        "be shorter.",
        "It should",
        ["Hello."],
    )


def test_a_labeler_asked_by_chat_is_refused_with_the_reason_and_the_way(client: Client):
    with pytest.raises(
        ConfigError, match=r"lists no log-probabilities for dpo, .*engine.dialect: systemone"
    ) as caught:
        chat_at(client.url).require_choices(LETTERS.prefill, LETTERS.choices)
    assert "\n" not in str(caught.value)

"""The engine as a run uses it: how it finds out what a server can do, and its keys."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from core.errors import ConfigError, EngineError, FailedRequestError
from core.records import Sampling
from engines.config import EngineConfig, ModelConfig
from engines.http.engine import HttpEngine
from engines.protocols import ChoiceRequest, GenerationRequest
from tests.engines.http.fault_server import MODEL, FaultServer, serving, words
from tests.engines.http.test_responses import turn

BEGUN = GenerationRequest((turn("Hello."),), Sampling(), 7, "critique", "It should")
CHOICE = ChoiceRequest((turn("Which?"),), (" A", " B"), "label", "The better reply is Reply")


def engine_to(server: FaultServer, kwargs: dict[str, Any] | None = None, **settings: Any) -> HttpEngine:
    model = ModelConfig(id=MODEL, chat_template_kwargs=kwargs or {})
    return HttpEngine(model, EngineConfig(kind="http", url=server.url, **settings))


def generate(engine: HttpEngine, request: GenerationRequest = BEGUN) -> Any:
    return asyncio.run(engine.generate(request))


def counts_on(body: dict[str, Any]) -> str:
    """Continue a begun answer, as llama.cpp and others do."""
    return "four, five, six" if body["messages"][-1]["role"] == "assistant" else words(body)


@pytest.mark.parametrize(
    ("owner", "sent"),
    [
        ("vllm", {"continue_final_message": True, "add_generation_prompt": False}),
        ("sglang", {"continue_final_message": True, "add_generation_prompt": False}),
        ("llamacpp", {}),
    ],
)
def test_servers_that_name_their_software_are_not_asked_how_they_continue(owner: str, sent: dict[str, bool]):
    with serving(models=[{"id": MODEL, "owned_by": owner}]) as server:
        generate(engine_to(server))
        (request,) = server.chats
    assert request.body["messages"][-1] == {"role": "assistant", "content": "It should"}
    assert {name: request.body[name] for name in sent} == sent
    assert ("continue_final_message" in request.body) == bool(sent)


def test_another_server_is_asked_once_to_count_on():
    async def both(engine: HttpEngine) -> None:
        await asyncio.gather(engine.generate(BEGUN), engine.generate(replace(BEGUN, seed=8)))

    with serving(answer=counts_on) as server:
        asyncio.run(both(engine_to(server)))
        probe, *requests = server.chats
    assert probe.body["messages"][-1] == {"role": "assistant", "content": "one, two, three,"}
    assert [request.body["messages"][-1]["content"] for request in requests] == ["It should"] * 2


def test_a_server_that_answers_anew_is_asked_in_words(caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", "publius")
    with serving() as server:
        generate(engine_to(server))
        _, request = server.chats
    assert request.body["messages"][-1]["content"].endswith("exactly these words: It should")
    assert "the server does not continue a begun answer" in caplog.text


def test_a_server_that_refuses_a_begun_answer_is_asked_in_words():
    def reply(body: dict[str, Any]) -> tuple[int, dict[str, str], bytes] | None:
        begun = "messages" in body and body["messages"][-1]["role"] == "assistant"
        return (
            (400, {}, b'{"error": {"message": "The last message must be from the user"}}') if begun else None
        )

    with serving(reply=reply) as server:
        assert generate(engine_to(server)).text.startswith("Answer ")


def test_the_setting_decides_without_a_question():
    with serving() as server:
        generate(engine_to(server, prefill="continue"))
        (request,) = server.chats
    assert request.body["continue_final_message"] is True


@pytest.mark.parametrize("form", ["reasoning", "tag"])
def test_a_labeler_that_thinks_is_refused_with_the_switch(form: str):
    def thinking(body: dict[str, Any], response: dict[str, Any]) -> dict[str, Any]:
        choice = response["choices"][0]
        if form == "reasoning":
            choice["message"] |= {"content": None, "reasoning": "Let me"}
        elif choice.get("logprobs"):
            choice["logprobs"]["content"][0]["top_logprobs"] = [{"token": "<think>", "logprob": 0.0}]
        return response

    with serving(response=thinking) as server:
        engine = engine_to(server, prefill="none")
        with pytest.raises(ConfigError, match=r"thinks before it answers.*enable_thinking: false"):
            engine.require_choices("The better reply is Reply", (" A", " B"))


def test_a_labeler_is_scored_by_exact_tokens_and_says_what_is_missing():
    with serving() as server:
        engine = engine_to(server, prefill="none")
        assert engine.require_choices(CHOICE.prefill, CHOICE.choices) == (0, 1)
        scores = asyncio.run(engine.choose(CHOICE))
    assert scores.answer_mass == pytest.approx(0.9)
    assert scores.missing_mass == pytest.approx(0.069)
    assert scores.bounded is None
    assert scores.model == MODEL


@pytest.mark.parametrize("status", [404, 405, 501, 200])
def test_a_server_without_a_list_of_models_is_believed(status: int):
    def reply(body: dict[str, Any]) -> tuple[int, dict[str, str], bytes] | None:
        return (status, {}, b'{"message": "what?"}') if body.get("path") == "/v1/models" else None

    with serving(reply=reply) as server:
        assert engine_to(server).served.facts == {}


def test_the_key_of_a_request_does_not_depend_on_the_address():
    with serving() as one, serving() as other:
        keys = {engine_to(server).key(BEGUN) for server in (one, other)}
        assert len(keys) == 1
        assert engine_to(one).identity == engine_to(other).identity


def test_what_changes_answers_changes_the_key():
    with serving() as server:
        engine = engine_to(server)
        greedy = replace(BEGUN, sampling=Sampling(temperature=0.0))
        keys = [
            engine.key(BEGUN),
            engine.key(replace(BEGUN, seed=8)),
            engine.key(replace(BEGUN, prefill="")),
            engine.key(greedy),
            engine.key(CHOICE),
            engine_to(server, extra_body={"reasoning_effort": "low"}).key(BEGUN),
            engine_to(server, {"enable_thinking": False}).key(BEGUN),
        ]
        assert len(set(keys)) == len(keys)
        assert engine.key(replace(BEGUN, purpose="other")) == keys[0]
        assert engine.key(replace(greedy, seed=8)) == keys[3]


def test_further_fields_are_in_every_request():
    with serving() as server:
        engine = engine_to(
            server, {"enable_thinking": False}, extra_body={"service_tier": "flex"}, prefill="none"
        )
        generate(engine)
        asyncio.run(engine.choose(CHOICE))
    for request in server.chats:
        assert request.body["service_tier"] == "flex"
        assert request.body["chat_template_kwargs"] == {"enable_thinking": False}


def test_a_field_that_the_server_does_not_know_is_learned_once(caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", "publius")

    def reply(body: dict[str, Any]) -> tuple[int, dict[str, str], bytes] | None:
        unknown = [name for name in ("min_p", "top_k") if name in body]
        text = json.dumps({"error": {"message": f"Unrecognized request argument supplied: {unknown}"}})
        return (400, {}, text.encode()) if unknown else None

    with serving(reply=reply) as server:
        engine = engine_to(server, prefill="none")
        generate(engine)
        generate(engine)
        assert len(server.chats) == 3
    assert caplog.text.count("the server does not know top_k, min_p, which would do nothing") == 1
    assert engine.take_record().traffic.changes == {"top_k, min_p left out": 1}


def test_a_server_that_refuses_everything_is_not_asked_forever():
    text = b'{"error": {"message": "use \'max_tokens\' and not \'max_completion_tokens\', or the other way"}}'
    with serving(reply=lambda body: (400, {}, text) if "messages" in body else None) as server:
        with pytest.raises((EngineError, FailedRequestError), match="refuses every form of a request"):
            generate(engine_to(server, prefill="none"))
        assert len(server.chats) == 8

"""Addresses, prices and budgets of servers."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from engines.config import EngineConfig, ModelConfig, ModelEngineConfig
from engines.endpoint.settings import Budget, Prices, ServerUrl, base_url


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("http://localhost:8000", "http://localhost:8000/v1"),
        ("http://localhost:8000/", "http://localhost:8000/v1"),
        ("http://localhost:8000/v1", "http://localhost:8000/v1"),
        ("http://localhost:8000/v1/", "http://localhost:8000/v1"),
        ("http://LOCALHOST:8000//v1//", "http://localhost:8000/v1"),
        ("http://[::1]:8000", "http://[::1]:8000/v1"),
        ("https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("https://api.openai.com/v1/chat/completions", "https://api.openai.com/v1"),
        ("https://host/proxy/llm", "https://host/proxy/llm/v1"),
        ("https://host/v1beta/openai/", "https://host/v1beta/openai"),
        ("https://host/api/v1/models", "https://host/api/v1"),
        ("https://host/@cf/v1", "https://host/@cf/v1"),
    ],
)
def test_an_address_is_that_of_the_routes_with_or_without_its_version(given: str, base: str):
    assert base_url(given) == base


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("localhost:8000", "begins with neither http:// nor https://|is not the address of a server"),
        ("api.openai.com/v1", "begins with neither"),
        ("ftp://host/v1", "is not the address of a server"),
        ("http://", "is not the address of a server"),
        ("", "is not the address of a server"),
        ("http://user:hunter2@host/v1", "contains credentials"),
        ("user:hunter2@host:8000/v1", "contains credentials"),
        ("hunter2@host/v1", "contains credentials"),
        ("http:/user:hunter2@host", "contains credentials"),
        ("ftp://user:hunter2@host", "contains credentials"),
        ("sk-hunter2", "is not the address of a server"),
        ("http://host/v1?key=hunter2", "has a query or a fragment"),
        ("http://host/v1#hunter2", "has a query or a fragment"),
        ("http://host:port/v1", "is not valid"),
        ("http://[::1/v1", "is not valid"),
        ("http://host:99999/v1", "is not valid"),
        ("http://host/v1 x", "is not valid"),
        ("http://host\n/v1", "is not valid"),
    ],
)
def test_what_is_no_address_is_refused_without_repeating_a_secret(given: str, reason: str):
    with pytest.raises(ValueError, match=reason) as caught:
        base_url(given)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ValidationError):
        TypeAdapter(ServerUrl).validate_python(given)


def test_prices_are_per_million_tokens():
    assert Prices(input=2.0, output=8.0).usd(1_000_000, 500_000) == 6.0


def test_an_empty_budget_is_refused():
    with pytest.raises(ValidationError, match="the budget is empty"):
        Budget()


SERVER = "http://localhost:1"


def settings(engine: dict[str, object], own: dict[str, object] | None = None) -> EngineConfig:
    model = ModelConfig(id="m", engine=None if own is None else ModelEngineConfig.model_validate(own))
    return EngineConfig.model_validate(engine).for_model(model, "labeler")


def test_a_role_has_an_engine_of_its_own():
    found = settings({"kind": "vllm", "arguments": {"max_num_seqs": 8}}, {"kind": "http", "url": SERVER})
    assert (found.kind, found.url, found.arguments) == ("http", SERVER, {})
    back = settings({"kind": "http", "url": SERVER, "extra_body": {"a": 1}}, {"kind": "transformers"})
    assert (back.kind, back.url, back.extra_body) == ("transformers", None, {})


def test_only_a_server_needs_prices_for_a_budget():
    prices = {"input": 1, "output": 2}
    engine = {"budget": {"usd": 1}}
    assert settings(engine).budget == Budget(usd=1)
    assert settings(engine, {"kind": "http", "url": SERVER, "prices": prices}).prices == Prices(**prices)


def test_a_server_of_its_own_does_not_get_the_key_and_the_fields_of_another():
    engine = {"kind": "http", "url": SERVER, "api_key_env": "KEY", "extra_body": {"a": 1, "b": 1}}
    same = settings(engine, {"extra_body": {"b": 2}})
    assert (same.api_key_env, same.extra_body) == ("KEY", {"a": 1, "b": 2})
    assert settings(engine, {"url": SERVER, "dialect": "chat"}).extra_body == {"a": 1, "b": 1}
    found = settings(engine, {"url": "http://other", "extra_body": {"b": 2}})
    assert (found.api_key_env, found.extra_body) == (None, {"b": 2})


def test_another_route_does_not_get_the_fields_of_chat():
    engine = {"kind": "http", "url": SERVER, "extra_body": {"reasoning_effort": "low"}}
    model = ModelConfig.model_validate({"id": "m", "engine": {"dialect": "systemone"}})
    found = EngineConfig.model_validate(engine).for_model(model, "labeler")
    assert (found.url, found.dialect, found.extra_body) == (SERVER, "systemone", {})


@pytest.mark.parametrize(
    ("engine", "own", "line"),
    [
        ({"kind": "http"}, None, "engine.url: engine.kind is http, but no url is set"),
        ({}, {"kind": "http"}, "models.labeler.engine.url: engine.kind is http, but no url"),
        ({}, {"url": SERVER}, "models.labeler.engine.url: url is that of a server, but engine.kind is trans"),
        ({"url": SERVER}, None, "url is that of a server, but kind is transformers"),
        ({"api_key_env": "K"}, None, "api_key_env is that of a server"),
        (
            {"kind": "http", "url": SERVER, "budget": {"usd": 1}},
            None,
            "engine.prices: the budget is in dollars",
        ),
        (
            {"budget": {"usd": 1}},
            {"kind": "http", "url": SERVER},
            "models.labeler.engine.prices: the budget is in dollars, but no prices are set",
        ),
        ({"kind": "http", "url": SERVER, "api_key_env": "sk-1"}, None, "api_key_env"),
        ({}, {"dialect": "systemone"}, "models.labeler.engine.dialect: dialect is that of a server, but eng"),
        ({}, {"api_key_env": "K"}, "api_key_env is that of a server, but engine.kind is transformers"),
        ({}, {"extra_body": {"a": 1}}, "extra_body is that of a server"),
        ({}, {"prefill": "none"}, "prefill is that of a server"),
        ({"kind": "vllm"}, {"budget": {"tokens": 9}}, "budget is that of a server, but engine.kind is vllm"),
        ({"kind": "http", "url": SERVER, "extra_body": {"stream": True}}, None, "extra_body sets stream"),
        *(
            ({"kind": "http", "url": SERVER, "extra_body": {name: {}}}, None, f"extra_body sets {name}")
            for name in ("state", "questions", "input", "instructions")
        ),
        (
            {"kind": "http", "url": SERVER, "arguments": {"max_num_seqs": 8}},
            None,
            "arguments are those of vL",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused_in_a_line(
    engine: dict[str, object], own: dict[str, object] | None, line: str
):
    with pytest.raises(ValueError, match=line):
        settings(engine, own)


def test_a_key_in_place_of_the_name_of_its_variable_is_not_repeated():
    with pytest.raises(ValidationError, match="this is not the name of an environment variable") as caught:
        EngineConfig.model_validate({"kind": "http", "url": SERVER, "api_key_env": "sk-hunter2"})
    assert "hunter2" not in caught.value.errors()[0]["msg"]


@pytest.mark.parametrize("field", ["revision", "adapter"])
def test_what_only_a_loader_of_weights_can_do_is_refused(field: str):
    engine = EngineConfig(kind="http", url=SERVER)
    with pytest.raises(ValueError, match=rf"models.policy.{field}: {field} is set, but a server runs"):
        engine.for_model(ModelConfig.model_validate({"id": "m", field: "x"}), "policy")

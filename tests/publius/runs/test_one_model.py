"""Commands that ask a single model, which may be behind a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ConfigError
from publius.authoring.trial import Trial, run_trial
from publius.runs.one_model import engine_overrides, engine_settings, one_model
from tests.engines.http.fault_server import MODEL, serving
from tests.publius.invoking import here
from tests.publius.projects import CONSTITUTION

KEY = "sk-planted-7f3a9c51e0"


def test_an_engine_is_given_by_its_kind_or_by_an_address(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("PUBLIUS_API_KEY", raising=False)
    assert engine_settings("vllm").kind == "vllm"
    found = engine_settings("http://localhost:11434")
    assert (found.kind, found.url, found.api_key_env) == ("http", "http://localhost:11434", None)
    monkeypatch.setenv("PUBLIUS_API_KEY", KEY)
    assert engine_settings("http://localhost:11434").api_key_env == "PUBLIUS_API_KEY"


@pytest.mark.parametrize("engine", ["llama", "", "localhost:8000", "ftp://host", "http://me:hunter2@host"])
def test_what_is_no_engine_is_refused_in_a_line(engine: str):
    with pytest.raises(
        ConfigError, match=r"--engine: not an engine.*accepted: transformers, vllm, scripted, or"
    ) as caught:
        engine_settings(engine)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_constitution_is_tried_and_tested_on_a_model_behind_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PUBLIUS_API_KEY", KEY)
    constitution = tmp_path / "constitution.yaml"
    constitution.write_text(CONSTITUTION)
    with serving(key=KEY) as server:
        tried = here("try", constitution, "--model", MODEL, "--engine", server.url)
        assert tried.returncode == 0, tried.stderr
        assert "Answer " in tried.stdout
        judged = here("check", constitution, "--judged", "--model", MODEL, "--engine", server.url)
        assert judged.returncode == 0, judged.stderr


def test_a_served_model_is_never_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def looked_up(*args: object, **kwargs: object) -> None:
        pytest.fail("the model is looked for on this machine or on the Hub")

    monkeypatch.setattr("engines.loading.locate", looked_up)
    monkeypatch.setattr("engines.loading._fetch", looked_up)
    constitution = tmp_path / "constitution.yaml"
    constitution.write_text(CONSTITUTION)
    models = [{"id": "some-org/served", "object": "model", "owned_by": "test"}]
    with serving(models=models) as server:
        ((tried,),) = run_trial(
            Trial(str(constitution), ("Why?",), "some-org/served", engine=server.url)
        ).prompts
        asked = [str(chat.body["messages"]) for chat in server.chats]
    # Its size is unknown, so no critique is begun for it.
    assert tried.trace.revisions
    assert not any("To follow this principle, my reply should" in text for text in asked)


def test_thinking_is_turned_off_where_the_server_can_do_that(tmp_path: Path):
    with (
        serving() as server,
        one_model(MODEL, tmp_path, engine=server.url) as engine,
    ):
        engine.require_choices("", (" A", " B"))
        assert server.chats[0].body["chat_template_kwargs"] == {"enable_thinking": False}


def test_a_server_that_does_not_know_the_switch_is_asked_without_it(tmp_path: Path):
    def reply(body: dict[str, object]) -> tuple[int, dict[str, str], bytes] | None:
        text = b'{"error": {"message": "Unrecognized request argument supplied: chat_template_kwargs"}}'
        return (400, {}, text) if "chat_template_kwargs" in body else None

    with serving(reply=reply) as server, one_model(MODEL, tmp_path, engine=server.url) as engine:
        engine.require_choices("", (" A", " B"))
        assert len(server.chats) == 2


def test_an_engine_is_given_as_overrides():
    assert engine_overrides(None) == ()
    assert engine_overrides("scripted") == ("engine.kind=scripted",)
    assert engine_overrides("http://localhost:8000") == (
        "engine.kind=http",
        "engine.url=http://localhost:8000",
    )

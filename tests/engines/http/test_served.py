"""Which model a server has under a name."""

from __future__ import annotations

import time
from typing import Any

import pytest

from core.errors import ConfigError
from engines.http.faults import TryFailedError
from engines.http.served import Responders, served_in


def served(*entries: dict[str, Any], name: str = "m") -> Any:
    return served_in({"data": list(entries)}, name, "http://host")


def test_the_identity_is_the_name_and_what_stays_the_same_with_the_model():
    one = served({"id": "m", "root": "org/one", "owned_by": "vllm", "created": 1, "max_model_len": 9})
    later = served({"id": "m", "root": "org/one", "owned_by": "vllm", "created": 2})
    assert one.identity == later.identity
    assert served({"id": "m", "root": "org/two", "owned_by": "vllm"}).identity != one.identity
    assert served({"id": "n", "root": "org/one", "owned_by": "vllm"}, name="n").identity != one.identity


def test_a_time_of_creation_tells_a_change_unless_it_is_that_of_the_request():
    assert served({"id": "m", "created": 1_700_000_000}).description == {"created": 1_700_000_000}
    assert served({"id": "m", "created": int(time.time())}).description == {}


def test_a_folder_of_one_machine_is_that_of_another():
    here, there = (served({"id": "m", "root": root}) for root in ("/home/me/models/one", "/data/one/"))
    assert here.identity == there.identity != served({"id": "m", "root": "/data/two"}).identity


def test_llama_cpp_describes_the_model_in_numbers():
    meta = {"n_params": 135, "size": 90, "n_ctx": 4096}
    one = served({"id": "m", "meta": meta})
    assert one.facts == {"meta": {"n_params": 135, "size": 90}}


def test_names_that_servers_complete_are_found():
    assert served({"id": "m:latest"}).name == "m"
    assert served({"id": "openai/*"}, name="openai/gpt-x").name == "openai/gpt-x"
    with pytest.raises(ConfigError, match="has no model"):
        served({"id": "[a-z]*?"}, {"id": "*a" * 60 + "!"}, name="a" * 120)  # for ever, if it backtracks


def test_a_name_that_is_not_listed_is_refused_with_a_bounded_list():
    with pytest.raises(ConfigError, match=r"http://host has no model 'm'; accepted: a0, a1.*a11 and 88 more"):
        served(*({"id": f"a{i}"} for i in range(100)))
    with pytest.raises(ConfigError, match="it lists none"):
        served()


@pytest.mark.parametrize("value", [{}, {"data": None}, {"data": {"m": 1}}, {"models": ["m"]}])
def test_a_response_that_is_no_list_is_tried_again(value: dict[str, Any]):
    with pytest.raises(TryFailedError, match="no list of models"):
        served_in(value, "m", "")


@pytest.mark.parametrize(
    ("name", "root", "model"),
    [
        ("m", "", "m"),
        ("m", "", "M"),
        ("openai/m", "", "m"),
        ("m", "", "m:latest"),
        ("gpt-x", "", "gpt-x-2026-08-06"),
        ("m", "org/base-7b", "base-7b"),
        ("m", "", ""),
    ],
)
def test_a_model_answers_under_forms_of_its_name(name: str, root: str, model: str):
    Responders(name, root).check({"model": model})


def test_a_response_of_another_model_is_tried_again():
    responders = Responders("gpt-x")
    responders.check({"model": "gpt-x"})
    for _ in range(10):
        with pytest.raises(TryFailedError, match="another model answered"):
            responders.check({"model": "gpt-x-mini"})


def test_a_name_that_stands_for_another_model_from_the_start_is_an_alias(caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", "publius")
    responders = Responders("judge", where="http://host")
    for _ in range(2):
        with pytest.raises(TryFailedError):
            responders.check({"model": "gpt-x"})
    responders.check({"model": "gpt-x"})
    responders.check({"model": "gpt-x"})
    assert [record.getMessage() for record in caplog.records] == ["http://host: judge is answered by gpt-x"]


def test_a_change_under_the_same_name_is_reported_once(caplog: pytest.LogCaptureFixture):
    responders = Responders("gpt-x", where="http://host")
    for model in ("gpt-x-2026-08-06", "gpt-x-2026-08-06", "gpt-x-2026-11-20", "gpt-x-2026-08-06"):
        responders.check({"model": model, "system_fingerprint": f"fp-{model[-2:]}"})
    (line,) = (record.getMessage() for record in caplog.records)
    assert "it answers as gpt-x-2026-11-20, before gpt-x-2026-08-06" in line
    assert responders.as_json()["fingerprints"] == ["fp-06", "fp-20"]


def test_what_earlier_commands_saw_counts(caplog: pytest.LogCaptureFixture):
    responders = Responders("m")
    responders.remember({"fingerprints": ["fp-1"]})
    responders.check({"model": "m", "system_fingerprint": "fp-1"})
    assert not caplog.records
    responders.check({"model": "m", "system_fingerprint": "fp-2"})
    assert len(caplog.records) == 1


def test_another_alias_than_in_an_earlier_command_is_accepted_with_a_warning(
    caplog: pytest.LogCaptureFixture,
):
    responders = Responders("judge", where="http://host")
    responders.remember({"models": ["gpt-x"]})
    for _ in range(2):
        with pytest.raises(TryFailedError):
            responders.check({"model": "gpt-y"})
    responders.check({"model": "gpt-y"})
    responders.check({"model": "gpt-y"})
    (line,) = (record.getMessage() for record in caplog.records)
    assert "it answers as gpt-y, before gpt-x" in line
    with pytest.raises(TryFailedError):  # within a command it stays that one
        responders.check({"model": "gpt-z"})


def test_an_alias_is_found_beside_another_model():
    responders = Responders("judge")
    for model in ("a", "b", "a", "b", "b"):
        with pytest.raises(TryFailedError):
            responders.check({"model": model})
    responders.check({"model": "b"})
    assert responders.as_json() == {"models": ["b"]}


def test_names_with_half_a_character_can_be_stored():
    found = served({"id": "m", "root": "org/\ud83done", "owned_by": "v\udc00", "meta": {"\ud83dx": "\ud83d"}})
    assert found.facts == {"root": "org/one", "owned_by": "v", "meta": {"x": ""}}
    assert len(found.identity) == 32


def test_what_several_records_say_counts_once():
    responders = Responders("m")
    for _ in range(2):
        responders.remember({"models": ["m"], "fingerprints": ["fp-1"]})
    assert responders.as_json() == {"models": ["m"], "fingerprints": ["fp-1"]}

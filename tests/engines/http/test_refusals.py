"""What real servers write when they refuse a request, and what is done about it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.errors import ConfigError, EngineError, RequestError
from core.records import Sampling
from engines.http.faults import RefusedError, message_in
from engines.http.refusals import ChangedError, change_for
from engines.http.requests import Accepted, choice_body, generation_body
from engines.protocols import ChoiceRequest, GenerationRequest
from tests.engines.http.test_responses import asked, turn


def refused(message: str | dict[str, Any], status: int = 400) -> RefusedError:
    error = {"message": message} if isinstance(message, str) else message
    return RefusedError(status, message_in(json.dumps({"error": error})))


def body_of(accepted: Accepted, **sampling: Any) -> dict[str, Any]:
    return generation_body("m", asked(**sampling), accepted, {})


def sent_after(error: RefusedError, **sampling: Any) -> dict[str, Any]:
    """The body that is sent after a refusal."""
    accepted = Accepted()
    outcome = change_for(error, body_of(accepted, **sampling), accepted, "http://host")
    assert isinstance(outcome, ChangedError), outcome
    return body_of(accepted, **sampling)


def graded() -> GenerationRequest:
    return GenerationRequest((turn("Grade."),), Sampling(), 0, "verdict", json_schema='{"type": "object"}')


def test_a_schema_is_sent_and_left_out_if_the_server_does_not_know_it():
    accepted = Accepted()
    body = generation_body("m", graded(), accepted, {})
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "strict": True, "schema": {"type": "object"}},
    }
    error = refused("'response_format.type' must be 'text' or 'json_object'")
    outcome = change_for(error, body, accepted, "http://host")
    assert isinstance(outcome, ChangedError)
    assert "words alone" in outcome.note
    after = generation_body("m", graded(), accepted, {})
    assert body.keys() - after.keys() == {"response_format"}
    assert "response_format" not in generation_body("m", asked(), Accepted(), {})


@pytest.mark.parametrize(
    ("error", "gone"),
    [
        # OpenAI, Groq, Mistral (pydantic), Go's decoder; their wording, shortened.
        (refused("Unrecognized request arguments supplied: min_p, top_k"), {"min_p", "top_k"}),
        (refused({"message": "Unrecognized request argument supplied: top_k", "param": "top_k"}), {"top_k"}),
        (refused("property 'min_p' is unsupported"), {"min_p"}),
        (refused('json: unknown field "repetition_penalty"'), {"repetition_penalty"}),
        (
            RefusedError(
                422,
                message_in(
                    '{"detail": [{"loc": ["body", "top_k"], "msg": "Extra inputs are not permitted"}]}'
                ),
            ),
            {"top_k"},
        ),
    ],
)
def test_a_field_that_does_nothing_is_left_out_if_the_server_does_not_know_it(
    error: RefusedError, gone: set[str]
):
    before, after = body_of(Accepted()), sent_after(error)
    assert before.keys() - after.keys() == gone


def test_a_field_that_does_something_is_never_dropped_but_its_setting_named():
    accepted = Accepted()
    error = refused("Unrecognized request argument supplied: top_k")
    outcome = change_for(error, body_of(accepted, top_k=40), accepted, "http://host")
    assert isinstance(outcome, EngineError)
    assert "refuses top_k: 40" in str(outcome)
    assert "another top_k, such as 0, which turns it off" in str(outcome)
    accepted.without.add("top_k")  # learned from a request that did not use it
    assert body_of(accepted, top_k=40)["top_k"] == 40


def test_the_limit_has_the_name_that_the_server_takes():
    error = refused(
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens'."
    )
    after = sent_after(error, max_new_tokens=9)
    assert after["max_completion_tokens"] == 9
    assert "max_tokens" not in after


def test_several_requests_may_be_refused_for_the_same_reason_at_once():
    accepted = Accepted()
    sent = body_of(accepted)
    error = refused("'max_tokens' is not supported. Use 'max_completion_tokens' instead.")
    for _ in range(2):
        assert isinstance(change_for(error, sent, accepted, ""), ChangedError)
    assert accepted.max_tokens == "max_completion_tokens"


def test_a_server_without_seeds_is_asked_without():
    assert "seed" not in sent_after(refused({"message": "Extra inputs are not permitted", "param": "seed"}))


def test_fewer_probabilities_are_asked_for_where_fewer_are_listed():
    accepted = Accepted()
    request = ChoiceRequest((turn("q"),), (" A", " B"), "label")
    for expected in (10, 5):
        body = choice_body("m", request, accepted, {})
        error = refused("Invalid value for 'top_logprobs': must be at most 5")
        assert isinstance(change_for(error, body, accepted, ""), ChangedError)
        assert choice_body("m", request, accepted, {})["top_logprobs"] == expected


@pytest.mark.parametrize(
    "message",
    ["System role not supported", "This model does not support system messages", "Role 'system' ..."],
)
def test_a_system_message_becomes_the_beginning_of_the_first_user_message(message: str):
    accepted = Accepted()
    request = GenerationRequest((turn("Be brief.", "system"), turn("Hello.")), Sampling(), 0, "draft")
    body = generation_body("m", request, accepted, {})
    assert isinstance(change_for(refused(message), body, accepted, ""), ChangedError)
    (only,) = generation_body("m", request, accepted, {})["messages"]
    assert only["role"] == "user"
    assert only["content"].startswith("Be brief.")
    assert only["content"].endswith("Hello.")


@pytest.mark.parametrize(
    ("message", "status"),
    [
        # vLLM, OpenAI, llama.cpp.
        ("This model's maximum context length is 2048 tokens. However, you requested 4000 max_tokens", 400),
        ({"message": "too long", "code": "context_length_exceeded"}, 400),
        (
            {
                "message": "the request exceeds the available context size",
                "type": "exceed_context_size_error",
            },
            400,
        ),
        ("The decoder prompt (length 3000) is longer than the maximum model length of 2048.", 400),
        ("max_tokens must be at least 1, got -20.", 400),
        # TGI, Gemini, a proxy.
        ("Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096", 422),
        ("The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).", 400),
        ("Request Entity Too Large", 413),
    ],
)
def test_a_request_that_is_too_long_is_excluded_under_one_reason(message: str, status: int):
    outcome = change_for(refused(message, status), body_of(Accepted()), Accepted(), "")
    assert type(outcome) is RequestError
    assert outcome.reason == "prompt and answer are too long for the server's model"


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ({"message": "filtered", "code": "content_filter"}, 400),
        (
            {
                "message": "The response was filtered",
                "innererror": {},
                "type": "ResponsibleAIPolicyViolation",
            },
            400,
        ),
        ("Input was flagged by moderation", 403),
    ],
)
def test_a_filtered_prompt_is_excluded_and_costs_the_run_nothing_else(message: str, status: int):
    outcome = change_for(refused(message, status), body_of(Accepted()), Accepted(), "")
    assert type(outcome) is RequestError
    assert outcome.reason == "the server's content filter refused the prompt"


def test_a_limit_of_answers_that_the_server_refuses_is_no_long_prompt():
    error = refused("max_tokens: 768 exceeds the maximum of 512 output tokens")
    outcome = change_for(error, body_of(Accepted()), Accepted(), "")
    assert isinstance(outcome, EngineError)
    assert "another max_new_tokens" in str(outcome)


def test_a_request_that_is_repeated_in_an_error_names_no_field():
    accepted = Accepted()
    text = "1 validation error: messages: too short [input_value={'top_k': 0, 'min_p': 0.0, 'seed': 7}]"
    assert change_for(refused(text), body_of(accepted), accepted, "") is None
    assert accepted == Accepted()


@pytest.mark.parametrize(
    ("message", "status"),
    [("Please stop sending this", 400), ("no", 401), ("top_k", 404), ("The seed of doubt", 400)],
)
def test_a_word_in_a_message_is_no_field(message: str, status: int):
    accepted = Accepted()
    assert change_for(refused(message, status), body_of(accepted), accepted, "") is None
    assert accepted == Accepted()


@pytest.mark.parametrize(
    "error",
    [
        {"message": "logprobs is true; accepted: one of: False", "param": "logprobs"},
        "Unsupported parameter: 'logprobs' is not supported with this model.",
        "logprobs and top_logprobs are not supported",
    ],
)
def test_a_server_that_refuses_log_probabilities_has_none(error: str | dict[str, Any]):
    accepted = Accepted()
    request = ChoiceRequest((turn("q"),), (" A", " B"), "label")
    for _ in range(3):
        outcome = change_for(refused(error), choice_body("m", request, accepted, {}), accepted, "http://host")
        if not isinstance(outcome, ChangedError):
            break
    assert isinstance(outcome, ConfigError)
    assert "http://host lists no log-probabilities for m" in str(outcome)

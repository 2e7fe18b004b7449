"""What is sent to a server and what is read from its responses."""

from __future__ import annotations

import math
from typing import Any

import pytest

from core.chat import Turn, Untrusted
from core.errors import RequestError
from core.records import Sampling
from engines.http.faults import TryFailedError
from engines.http.requests import Accepted, choice_body, generation_body, without_special_tokens
from engines.http.responses import choice_scores, first_token_in, generation_in
from engines.protocols import ChoiceRequest, ChoiceScores, GenerationRequest

LETTERS = (" A", " B")


def turn(text: str, role: Any = "user") -> Turn:
    return Turn(role, (text,))


def asked(prefill: str = "", **sampling: Any) -> GenerationRequest:
    return GenerationRequest((turn("Hello."),), Sampling(**sampling), 7, "draft", prefill)


def response(content: object = "Hi.", finish: object = "stop", **message: Any) -> dict[str, Any]:
    choice = {"message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
    return {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}


def listing(*tokens: tuple[str, float]) -> dict[str, Any]:
    """A response whose first token has these probabilities."""
    entries = [{"token": token, "logprob": math.log(p) if p else -9999.0} for token, p in tokens]
    value = response()
    value["choices"][0]["logprobs"] = {"content": [{**entries[0], "top_logprobs": entries}]}
    return value


def scores_of(value: dict[str, Any], choices: tuple[str, ...] = LETTERS) -> ChoiceScores:
    first = first_token_in(value)
    assert first is not None
    return choice_scores(first, value, ChoiceRequest((turn("q"),), choices, "label"), "m")


def test_every_field_of_the_sampling_is_sent():
    sampling = {"temperature": 0.7, "top_p": 0.9, "top_k": 40, "max_new_tokens": 50, "stop": ("END",)}
    body = generation_body("m", asked(**sampling), Accepted(), {"reasoning_effort": "low"})
    assert set(sampling) == set(Sampling.model_fields)  # a new field has to be sent too
    assert {name: body[name] for name in ("temperature", "top_p", "top_k", "max_tokens", "stop", "seed")} == {
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 40,
        "max_tokens": 50,
        "stop": ["END"],
        "seed": 7,
    }
    assert body["reasoning_effort"] == "low"
    # What a server would fill in from defaults of its own.
    assert (body["min_p"], body["repetition_penalty"], body["presence_penalty"]) == (0.0, 1.0, 0.0)


def test_a_greedy_request_has_no_seed():
    assert "seed" not in generation_body("m", asked(temperature=0.0), Accepted(), {})


def test_a_begun_answer_is_continued_as_the_server_can():
    def messages(begin: Any) -> tuple[list[Any], dict[str, Any]]:
        body = generation_body("m", asked("It should"), Accepted(begin=begin), {})
        return body["messages"], body  # type: ignore[return-value]

    begun, body = messages("continue")
    assert begun[-1] == {"role": "assistant", "content": "It should"}
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)
    begun, body = messages("assistant")
    assert begun[-1] == {"role": "assistant", "content": "It should"}
    assert "continue_final_message" not in body
    begun, body = messages("none")
    assert begun == [
        {"role": "user", "content": "Hello.\n\nBegin your answer with exactly these words: It should"}
    ]


def test_a_server_that_repeats_the_beginning_gives_the_same_answer():
    for text in ("be shorter.", "It should be shorter."):
        assert generation_in(response(text), asked("It should"), "m").text == "be shorter."


@pytest.mark.parametrize(
    "text",
    [
        "<|im_end|>",
        "<|im_start|>system",
        "</s>",
        "[INST]",
        "<<SYS>>",
        "<end_of_turn>",
        "<｜User｜>",
        "</think>",
        "<|turn>model",
        "<channel|>",
        "[|endofturn|]",
        "<tool_call>",
        "<seed:think>",
        "<extra_id_0>",
        "<unused12>",
        "[gMASK]<sop>",
        "[TOOL_CALLS]",
        "]<]end_of_document[>[",
        "]~b]user",
    ],
)
def test_text_of_others_spells_no_special_token_and_stays_readable(text: str):
    body = generation_body(
        "m",
        GenerationRequest((Turn("user", ("Say: ", Untrusted(text))),), Sampling(), 0, "draft"),
        Accepted(),
        {},
    )
    sent = body["messages"][0]["content"]  # type: ignore[index,call-overload]
    assert text not in sent
    assert sent.replace("\u200b", "") == f"Say: {text}"


@pytest.mark.parametrize(
    "text",
    [
        "a < b and c > d",
        "<b>bold</b>",
        "[link](x)",
        "x <- y | z",
        "List<String>",
        "[1] [NAME]",
        "<br/>",
        "a[i|j]",
    ],
)
def test_ordinary_text_is_sent_as_it_is(text: str):
    assert without_special_tokens(text) == text


def test_no_special_token_stays_whole_inside_another():
    for text in ("<|a<|im_end|>b|>", "[|<|im_end|>|]", "<|[|user|]|>", "<</SYS>></s>", "<[INST]|>"):
        for token in ("<|im_end|>", "[|user|]", "</s>", "[INST]", "<</SYS>>"):
            assert token not in without_special_tokens(text)


def test_an_answer_is_read_with_its_tokens_and_without_its_thoughts():
    found = generation_in(response("<think>Hm.</think> Hi. "), asked(), "m")
    assert (found.text, found.reasoning, found.finish_reason) == ("Hi.", "Hm.", "stop")
    assert (found.prompt_tokens, found.completion_tokens, found.seed) == (3, 2, 7)
    for name in ("reasoning", "reasoning_content"):
        other = generation_in(response("Hi.", **{name: "Hm."}), asked(), "m")
        assert (other.text, other.reasoning) == ("Hi.", "Hm.")


def test_an_answer_that_ended_in_its_thoughts_is_cut_off_and_empty():
    found = generation_in(response(None, "length", reasoning="I think that"), asked(), "m")
    assert (found.text, found.reasoning, found.finish_reason) == ("", "I think that", "length")


@pytest.mark.parametrize(
    ("finish", "expected"),
    [("stop", "stop"), ("length", "length"), ("MAX_TOKENS", "length"), ("end_turn", "stop"), (None, "stop")],
)
def test_reasons_to_finish_are_those_of_all_servers(finish: str | None, expected: str):
    assert generation_in(response("Hi.", finish), asked(), "m").finish_reason == expected


def test_a_refusal_of_the_model_is_its_answer():
    assert generation_in(response(None, refusal="I can't help."), asked(), "m").text == "I can't help."


def test_an_answer_that_a_filter_removed_is_excluded():
    with pytest.raises(RequestError, match="content filter removed the answer"):
        generation_in(response("", "content_filter"), asked(), "m")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({}, "response without choices"),
        ({"choices": None}, "response without choices"),
        ({"choices": []}, "empty choices"),
        ({"choices": [{}]}, "choice without a message"),
        ({"choices": ["Hi."]}, "choice without a message"),
        (response(None), "answer without content"),
        (response(7), "content is not text"),
        (response({"text": "Hi."}), "content is not text"),
        (response("half \ud83d"), "answer is not valid Unicode"),
        (response("Hi.", "error"), "answer broken off"),
    ],
)
def test_a_response_without_an_answer_is_tried_again(value: dict[str, Any], reason: str):
    with pytest.raises(TryFailedError) as caught:
        generation_in(value, asked(), "m")
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "usage", [None, [], {"prompt_tokens": "3"}, {"prompt_tokens": -1}, {"prompt_tokens": True}]
)
def test_a_count_of_tokens_that_is_none_is_0(usage: object):
    value = {**response(), "usage": usage}
    assert generation_in(value, asked(), "m").prompt_tokens == 0


def test_scores_are_those_of_the_exact_tokens():
    scores = scores_of(listing((" A", 0.6), (" B", 0.3), ("A", 0.05), ("The", 0.05)))
    assert [math.exp(value) for value in scores.logprobs] == pytest.approx([0.6, 0.3])
    assert scores.answer_mass == pytest.approx(0.9)
    assert scores.missing_mass == pytest.approx(0.0, abs=1e-12)
    assert scores.bounded is None


def test_without_a_beginning_the_bare_letters_count():
    scores = scores_of(listing(("B", 0.7), ("A", 0.2), (" A", 0.01)))
    assert [math.exp(value) for value in scores.logprobs] == pytest.approx([0.2, 0.7])
    assert scores.missing_mass == pytest.approx(0.09)


def test_a_choice_that_is_not_listed_has_its_upper_bound_which_is_said():
    scores = scores_of(listing((" A", 0.9), ("The", 0.03), ("It", 0.02)))
    assert scores.bounded == (False, True)
    assert math.exp(scores.logprobs[1]) == pytest.approx(0.02)  # the least likely listed token
    assert scores.missing_mass == pytest.approx(0.05)
    tight = scores_of(listing((" A", 0.949), ("The", 0.03), ("It", 0.02)))
    assert math.exp(tight.logprobs[1]) == pytest.approx(0.001)  # all that is not listed
    assert tight.answer_mass == pytest.approx(0.949)


def test_the_true_odds_are_at_least_those_of_the_bound():
    for hidden in (0.0, 0.004, 0.02):
        scores = scores_of(listing((" A", 0.9), ("The", 0.03), ("It", 0.02)))
        assert math.exp(scores.logprobs[1]) >= hidden


def test_answers_of_which_none_is_listed_have_no_mass():
    scores = scores_of(listing(("The", 0.9), ("It", 0.02)))
    assert scores.answer_mass == 0.0
    assert scores.bounded == (True, True)
    assert scores.top_token == "The"


def test_an_impossible_token_is_listed_by_some_servers():
    scores = scores_of(listing((" A", 1.0), (" B", 0.0)))
    assert all(map(math.isfinite, scores.logprobs))
    assert scores.bounded is None


def test_an_impossible_token_may_have_any_negative_number():
    value = listing((" A", 0.7), (" B", 0.0))
    value["choices"][0]["logprobs"]["content"][0]["top_logprobs"][1]["logprob"] = -(10**400)
    assert scores_of(value).bounded is None


def test_half_a_character_is_a_token_that_can_be_stored():
    scores = scores_of(listing(("\ud83d", 0.7), (" A", 0.2), (" B", 0.1)))
    assert scores.top_token == "\N{REPLACEMENT CHARACTER}"
    scores.model_dump_json()


@pytest.mark.parametrize("logprob", [float("nan"), "low", None, True, 0.5, 10**400])
def test_a_log_probability_that_is_none_is_tried_again(logprob: object):
    value = listing((" A", 0.6))
    value["choices"][0]["logprobs"]["content"][0]["top_logprobs"][0]["logprob"] = logprob
    with pytest.raises(TryFailedError, match="log-probability"):
        scores_of(value)


@pytest.mark.parametrize("logprobs", [None, {}, {"content": []}, {"content": [{"token": "A"}]}])
def test_a_response_may_list_no_probabilities(logprobs: object):
    value = response()
    value["choices"][0]["logprobs"] = logprobs
    assert first_token_in(value) is None


def test_probabilities_are_asked_for_at_temperature_1():
    body = choice_body("m", ChoiceRequest((turn("q"),), LETTERS, "label", "It is"), Accepted(), {})
    assert (body["temperature"], body["max_tokens"], body["logprobs"], body["top_logprobs"]) == (
        1.0,
        1,
        True,
        20,
    )
    assert body["messages"] == [{"role": "user", "content": "q"}]  # the question names the answers


def test_an_answer_that_quotes_an_escaped_text_has_it_as_it_was():
    quoted = without_special_tokens("<|im_end|> ends a turn, [INST] begins one")
    assert generation_in(response(quoted), asked(), "m").text == "<|im_end|> ends a turn, [INST] begins one"


def test_the_first_answer_is_read_where_there_are_more_in_any_order():
    other = {"index": 1, "message": {"role": "assistant", "content": "Second."}, "finish_reason": "stop"}
    value = response("First.")
    value["choices"] = [other, {**value["choices"][0], "index": 0}]
    assert generation_in(value, asked(), "m").text == "First."
    value["choices"] = [other]  # some servers count from 1
    assert generation_in(value, asked(), "m").text == "Second."

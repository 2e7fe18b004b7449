"""Both dialects: what is written can be read, and what does not fit is refused in one line."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from core.errors import DataError
from engines.decisions.openai_form import OpenAIDecisions
from engines.decisions.questions import (
    ChoiceQuestion,
    DecisionAnswer,
    DecisionCall,
    Decisions,
    NamedQuestion,
    Option,
    ScoreQuestion,
    YesNoQuestion,
)
from engines.decisions.systemone import SystemOne
from engines.decisions.wire import DecisionDialect

DIALECTS: list[DecisionDialect] = [SystemOne(), OpenAIDecisions()]
CHOICE = ChoiceQuestion("Which is kinder?", (Option("A", "the first"), Option("B")))
SCORE = ScoreQuestion("How kind?", (Option("rude"), Option("plain"), Option("kind")))
CALL = DecisionCall(
    'A state with "quotes", a \u2028 and an emoji 🙂',
    (
        NamedQuestion("kind", YesNoQuestion("Is it kind?")),
        NamedQuestion("which", CHOICE),
        NamedQuestion("how", SCORE),
    ),
    model="some-model",
    instructions="Read first.",
)
ANSWERS = Decisions(
    "served",
    (
        DecisionAnswer((0.75, 0.25), 0.5, top_is_label=True),
        DecisionAnswer((0.25, 0.75), 0.25, top_is_label=False),
        DecisionAnswer((0.5, 0.25, 0.25), 1.0, top_is_label=True),
    ),
    prompt_tokens=120,
    completion_tokens=3,
)


def sent(body: object) -> Any:
    """A body as it arrives: JSON has no tuples and no numbers as keys."""
    return json.loads(json.dumps(body, allow_nan=True))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_request_is_read_as_it_was_written(dialect: DecisionDialect):
    assert dialect.read_request(sent(dialect.write_request(CALL))) == CALL


def test_systemone_keeps_probabilities_and_diagnostics():
    body = sent(SystemOne().write_response(CALL, ANSWERS, "id"))
    assert SystemOne().read_response(body, CALL) == ANSWERS


def test_decisions_keeps_probabilities_and_reports_no_label_mass():
    body = sent(OpenAIDecisions().write_response(CALL, ANSWERS, "id"))
    found = OpenAIDecisions().read_response(body, CALL)
    assert [answer and answer.probabilities for answer in found.answers] == [
        answer and answer.probabilities for answer in ANSWERS.answers
    ]
    assert [answer and answer.label_mass for answer in found.answers] == [None] * 3
    assert (found.prompt_tokens, found.completion_tokens) == (120, 3)


def test_systemone_writes_what_vllm_documents():
    criteria = ChoiceQuestion("Pick one.", (Option("billing", "about money"), Option("other")))
    call = DecisionCall("Text.", (NamedQuestion("topic", criteria),), model="m")
    assert SystemOne().write_request(call) == {
        "state": "Text.",
        "questions": {
            "topic": {
                "type": "choice",
                "instructions": "Pick one.",
                "criteria": {"billing": "about money", "other": None},
            }
        },
        "model": "m",
    }


def test_confidence_is_the_best_probability_times_the_label_mass():
    body = SystemOne().write_response(CALL, ANSWERS, "id")
    assert body["answers"]["kind"]["confidence"] == 0.75 * 0.5
    assert body["answers"]["how"]["score"] == 0.75


def test_a_state_that_is_json_is_read_as_its_text():
    body = {"state": {"a": [1, "ü"]}, "questions": {"q": {"type": "noul", "instructions": "Is it?"}}}
    assert SystemOne().read_request(body).state == '{"a": [1, "ü"]}'


def test_a_refused_question_has_no_answer():
    body = sent(OpenAIDecisions().write_response(CALL, ANSWERS, "id"))
    body["answers"][1] = {"type": "refusal", "name": "which"}
    assert OpenAIDecisions().read_response(body, CALL).answers[1] is None


def test_messages_become_one_state_and_their_rules_the_instructions():
    body = {
        "input": [
            {"role": "developer", "content": "Be strict."},
            {"role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
            {"role": "assistant", "content": "Hi."},
        ],
        "questions": [{"type": "predicate", "instructions": "Polite?"}],
    }
    call = OpenAIDecisions().read_request(body)
    assert (call.state, call.instructions) == ("User: Hello\n\nAssistant: Hi.", "Be strict.")
    assert call.questions == (NamedQuestion(None, YesNoQuestion("Polite?")),)


def test_boolean_choices_stay_boolean():
    choices = [{"value": True, "description": "it is"}, {"value": False}]
    question = {"type": "choice", "instructions": "Is it?", "choices": choices}
    call = OpenAIDecisions().read_request({"input": "x", "questions": [question]})
    body = OpenAIDecisions().write_response(call, Decisions("m", (DecisionAnswer((0.2, 0.8)),)), "id")
    assert body["answers"][0]["choice"] is False
    assert OpenAIDecisions().read_response(sent(body), call).answers == (DecisionAnswer((0.2, 0.8)),)


def test_rounded_probabilities_are_divided_by_their_sum():
    body = sent(SystemOne().write_response(CALL, ANSWERS, "id"))
    body["answers"]["how"]["probabilities"] = {"0": 0.333, "1": 0.333, "2": 0.333}
    answer = SystemOne().read_response(body, CALL).answers[2]
    assert answer is not None
    assert answer.probabilities == pytest.approx((1 / 3, 1 / 3, 1 / 3))


def edited(dialect: DecisionDialect, *path: str | int, value: object = ..., delete: bool = False) -> Any:
    """A response whose value at a path is replaced."""
    body = copy.deepcopy(sent(dialect.write_response(CALL, ANSWERS, "id")))
    inner = body
    for part in path[:-1]:
        inner = inner[part]
    if delete:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return body


NAN = float("nan")
HOSTILE = [
    ("answers: no answer to 'how'", edited(DIALECTS[0], "answers", "how", delete=True)),
    (
        "'new', which was not asked",
        edited(DIALECTS[0], "answers", "new", value={"type": "noul", "noul": 0.5}),
    ),
    ("answers.kind.noul", edited(DIALECTS[0], "answers", "kind", "noul", value=NAN)),
    ("answers.kind.noul", edited(DIALECTS[0], "answers", "kind", "noul", value=1.5)),
    ("answers.kind.noul", edited(DIALECTS[0], "answers", "kind", "noul", value=True)),
    ("answers.kind.noul", edited(DIALECTS[0], "answers", "kind", "noul", value="0.5")),
    ("answers.kind.noul", edited(DIALECTS[0], "answers", "kind", "noul", value=-0.1)),
    ("add up to 1.25", edited(DIALECTS[0], "answers", "which", "probabilities", "A", value=0.5)),
    ("no probability of 'B'", edited(DIALECTS[0], "answers", "which", "probabilities", "B", delete=True)),
    ("'C' is not an option", edited(DIALECTS[0], "answers", "which", "probabilities", "C", value=0.0)),
    ("'C' is not an option", edited(DIALECTS[0], "answers", "which", "choice", value="C")),
    (
        "accepted: noul",
        edited(DIALECTS[0], "answers", "kind", value={"type": "score", "score": 1.0, "probabilities": {}}),
    ),
    ("diagnostics.kind.label_mass", edited(DIALECTS[0], "diagnostics", "kind", "label_mass", value=7.0)),
    ("answers", edited(DIALECTS[0], "answers", value=None)),
    ("answers", edited(DIALECTS[0], "answers", value=[])),
    ("answers.kind", edited(DIALECTS[0], "answers", "kind", value={"type": "poem"})),
]
HOSTILE_LISTS = [
    ("2 answers to 3 questions", edited(DIALECTS[1], "answers", 0, delete=True)),
    ("the answer is to 'x'", edited(DIALECTS[1], "answers", 0, "name", value="x")),
    ("the answer is to None", edited(DIALECTS[1], "answers", 0, "name", value=None)),
    ("answers.0.probability", edited(DIALECTS[1], "answers", 0, "probability", value=NAN)),
    ("'A' is given twice", edited(DIALECTS[1], "answers", 1, "probabilities", 1, "value", value="A")),
    ("no probability of 'B'", edited(DIALECTS[1], "answers", 1, "probabilities", 1, delete=True)),
    ("add up to 1.25", edited(DIALECTS[1], "answers", 1, "probabilities", 0, "probability", value=0.5)),
    ("'7' is not an option", edited(DIALECTS[1], "answers", 1, "choice", value="7")),
    ("no probability of '0'", edited(DIALECTS[1], "answers", 2, "probabilities", 0, "value", value=9)),
    (
        "accepted: predicate",
        edited(DIALECTS[1], "answers", 0, value={"type": "score", "name": "kind", "probabilities": []}),
    ),
    ("answers", edited(DIALECTS[1], "answers", delete=True)),
]


@pytest.mark.parametrize(
    ("dialect", "what", "body"),
    [(DIALECTS[0], *case) for case in HOSTILE] + [(DIALECTS[1], *case) for case in HOSTILE_LISTS],
)
def test_an_answer_that_does_not_fit_is_refused_in_one_line(dialect: DecisionDialect, what: str, body: Any):
    with pytest.raises(DataError) as caught:
        dialect.read_response(body, CALL)
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


NOUL = {"type": "noul", "instructions": "Is it?"}
INVALID_REQUESTS = [
    (0, "state", {"questions": {"q": NOUL}}),
    (0, "questions", {"state": "x", "questions": {}}),
    (0, "empty name", {"state": "x", "questions": {"": NOUL}}),
    (0, "questions.q.type", {"state": "x", "questions": {"q": {"type": "box"}}}),
    (0, "questions.q.criterion", {"state": "x", "questions": {"q": {**NOUL, "criterion": {}}}}),
    (
        0,
        "questions.q.criteria: not the criteria",
        {"state": "x", "questions": {"q": {**NOUL, "criteria": {"maybe": ""}}}},
    ),
    (
        0,
        "questions.q.criteria: no options",
        {"state": "x", "questions": {"q": {"type": "choice", "criteria": {}}}},
    ),
    (
        0,
        "questions.q.criteria: no levels",
        {"state": "x", "questions": {"q": {"type": "score", "criteria": ["one"]}}},
    ),
    (
        0,
        "'one' is given twice",
        {"state": "x", "questions": {"q": {"type": "score", "criteria": ["one", "one"]}}},
    ),
    (0, "images", {"state": "x", "questions": {"q": NOUL}, "images": ["data:"]}),
    (1, "input", {"questions": [{"type": "predicate", "instructions": "?"}]}),
    (1, "questions", {"input": "x", "questions": []}),
    (1, "instructions", {"input": "x", "questions": [{"type": "predicate"}]}),
    (
        1,
        "given twice",
        {"input": "x", "questions": [{"type": "predicate", "name": "a", "instructions": "?"}] * 2},
    ),
    (
        1,
        "choices",
        {"input": "x", "questions": [{"type": "choice", "instructions": "?", "choices": [{"value": "a"}]}]},
    ),
    (
        1,
        "'true' is given twice",
        {
            "input": "x",
            "questions": [
                {"type": "choice", "instructions": "?", "choices": [{"value": "true"}, {"value": True}]}
            ],
        },
    ),
    (
        1,
        "input",
        {
            "input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}],
            "questions": [{"type": "predicate", "instructions": "?"}],
        },
    ),
]


@pytest.mark.parametrize(("number", "what", "body"), INVALID_REQUESTS)
def test_an_invalid_request_is_refused_in_one_line(number: int, what: str, body: Any):
    with pytest.raises(DataError) as caught:
        DIALECTS[number].read_request(body)
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "usage", [None, {}, [], {"input_tokens": None}, {"input_tokens": "many", "output_tokens": -1}, "none"]
)
def test_an_answer_whose_usage_is_no_count_is_used(usage: object):
    call = DecisionCall("x", (NamedQuestion("q1", YesNoQuestion("Is it kind?")),))
    named = {"answers": {"q1": {"type": "noul", "noul": 0.75}}, "usage": usage}
    listed = {"answers": [{"type": "predicate", "name": "q1", "probability": 0.75}], "usage": usage}
    for dialect, body in ((SystemOne(), named), (OpenAIDecisions(), listed)):
        found = dialect.read_response(body, call)
        assert (found.prompt_tokens, found.completion_tokens) == (0, 0)
    counted = {**named, "usage": {"input_tokens": 12.0, "output_tokens": 3}, "diagnostics": {"q1": None}}
    found = SystemOne().read_response(counted, call)
    assert (found.prompt_tokens, found.completion_tokens) == (12, 3)

"""The dialect of `POST /v1/decisions`: questions in a list, answers in the same order.

As in OpenAI's API (`openai.resources.decisions` of openai-python 3.54, types `Decision` and
`DecisionCreateParams`) and LiteLLM's proxy. Any question may be refused. Responses have no label mass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue

from core.errors import DataError
from core.records import Message
from engines.decisions.questions import (
    ChoiceQuestion,
    DecisionAnswer,
    DecisionCall,
    Decisions,
    NamedQuestion,
    Option,
    ScoreQuestion,
    TypedQuestion,
    YesNoQuestion,
)
from engines.decisions.wire import (
    StrictModel,
    WireCount,
    WireModel,
    WireProbability,
    WireRequest,
    WireText,
    answer_from,
    answer_place,
    as_text,
    ordered,
    parsed,
    quoted,
    require_distinct,
    tokens_in,
    what_is_missing,
)

Value = Annotated[str, Field(strict=True)] | Annotated[bool, Field(strict=True)]


class _TextPart(StrictModel):
    type: Literal["input_text", "output_text"]
    text: WireText
    prompt_cache_breakpoint: JsonValue = None
    annotations: JsonValue = None
    logprobs: JsonValue = None


class _JsonPart(StrictModel):
    type: Literal["input_json"]
    data: JsonValue
    prompt_cache_breakpoint: JsonValue = None


_QuestionParts = list[Annotated[_TextPart | _JsonPart, Field(discriminator="type")]]


class _Message(StrictModel):
    type: Literal["message"] = "message"
    id: JsonValue = None
    status: JsonValue = None
    phase: JsonValue = None
    role: Literal["user", "developer", "system", "assistant"]
    content: WireText | _QuestionParts


class _Predicate(StrictModel):
    type: Literal["predicate"]
    name: WireText | None = None
    instructions: WireText | _QuestionParts


class _OptionOf(StrictModel):
    value: Value
    description: WireText | None = None


class _ChoiceOf(StrictModel):
    type: Literal["choice"]
    name: WireText | None = None
    instructions: WireText | _QuestionParts
    choices: list[_OptionOf] = Field(min_length=2)


class _LevelOf(StrictModel):
    label: WireText
    description: WireText | None = None


class _ScoreOf(StrictModel):
    type: Literal["score"]
    name: WireText | None = None
    instructions: WireText | _QuestionParts
    levels: list[_LevelOf] = Field(min_length=2)


_AnyQuestion = Annotated[_Predicate | _ChoiceOf | _ScoreOf, Field(discriminator="type")]


class _DecisionsRequest(WireRequest):
    model: WireText | None = None
    input: WireText | list[_Message]
    questions: list[_AnyQuestion] = Field(min_length=1)


class _PredicateAnswer(WireModel):
    type: Literal["predicate"]
    name: WireText | None = None
    probability: WireProbability


class _OptionProbability(WireModel):
    value: Value
    probability: WireProbability


class _ChoiceAnswer(WireModel):
    type: Literal["choice"]
    name: WireText | None = None
    choice: Value
    probabilities: list[_OptionProbability]


class _LevelProbability(WireModel):
    value: WireCount
    probability: WireProbability


class _ScoreAnswer(WireModel):
    type: Literal["score"]
    name: WireText | None = None
    probabilities: list[_LevelProbability]


class _Refusal(WireModel):
    type: Literal["refusal"]
    name: WireText | None = None


_AnyAnswer = _PredicateAnswer | _ChoiceAnswer | _ScoreAnswer | _Refusal


class _DecisionsResponse(WireModel):
    model: WireText | None = None
    answers: list[Annotated[_AnyAnswer, Field(discriminator="type")]]
    usage: JsonValue = None


class OpenAIDecisions:
    """`POST /v1/decisions`. TypedQuestion types are called `predicate` (yes/no), `choice` and `score`."""

    path = "/v1/decisions"

    def write_request(self, call: DecisionCall) -> dict[str, JsonValue]:
        """Return the body of a request; instructions become a message of the developer."""
        given: JsonValue = call.state
        if call.instructions:
            given = [
                {"role": "developer", "content": call.instructions},
                {"role": "user", "content": call.state},
            ]
        questions: list[JsonValue] = [_question_body(named) for named in call.questions]
        body: dict[str, JsonValue] = {"input": given, "questions": questions}
        return body if call.model is None else {"model": call.model, **body}

    def read_response(self, body: Mapping[str, Any], call: DecisionCall) -> Decisions:
        """Return the answers; None for a refused question.

        Raises:
            DataError: if there are more or fewer answers than questions, or one does not fit its question.
        """
        response = parsed(_DecisionsResponse, body)
        found, wanted = len(response.answers), len(call.questions)
        if found != wanted:
            raise DataError(f"{found} answers to {wanted} questions", where="answers")
        answers = tuple(
            _answer_to(str(number), named, answer)
            for number, (named, answer) in enumerate(zip(call.questions, response.answers, strict=True))
        )
        return Decisions(response.model or call.model or "", answers, *tokens_in(response.usage))

    def read_request(self, body: Mapping[str, Any]) -> DecisionCall:
        """Return the questions of a request. Raises DataError if it is invalid or is not all text."""
        request = parsed(_DecisionsRequest, body)
        questions = tuple(
            NamedQuestion(question.name, _question_of(f"questions.{number}", question))
            for number, question in enumerate(request.questions)
        )
        names = [named.name for named in questions if named.name is not None]
        if names:
            require_distinct(names, "questions")
        if isinstance(request.input, str):
            return DecisionCall(request.input, questions, request.model)
        rules = [_text_of(m.content) for m in request.input if m.role in ("system", "developer")]
        spoken = tuple(
            Message(role=m.role, content=_text_of(m.content))
            for m in request.input
            if m.role in ("user", "assistant")
        )
        if [message.role for message in spoken] == ["user"]:
            return DecisionCall(spoken[0].content, questions, request.model, "\n\n".join(rules))
        roles = len({message.role for message in spoken}) > 1
        state = "\n\n".join(f"{m.role.capitalize()}: {m.content}" if roles else m.content for m in spoken)
        return DecisionCall(state, questions, request.model, "\n\n".join(rules), spoken)

    def write_response(self, call: DecisionCall, decisions: Decisions, request_id: str) -> dict[str, Any]:
        """Return the body of a response, with all fields that OpenAI's client requires."""
        prompt, completion = decisions.prompt_tokens, decisions.completion_tokens
        return {
            "id": request_id,
            "object": "decision",
            "model": decisions.model,
            "answers": [
                _answer_body(named, answer)
                for named, answer in zip(call.questions, decisions.answers, strict=True)
            ],
            "usage": {
                "input_tokens": prompt,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": completion,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": prompt + completion,
            },
        }


def _question_body(named: NamedQuestion) -> dict[str, JsonValue]:
    question = named.question
    name: dict[str, JsonValue] = {} if named.name is None else {"name": named.name}
    instructions = question.instructions
    match question:
        case YesNoQuestion():
            rules = [f"Answer {o.name} if: {o.description}" for o in question.options if o.description]
            return {"type": "predicate", **name, "instructions": "\n\n".join([instructions, *rules])}
        case ChoiceQuestion():
            choices: list[JsonValue] = [_described("value", option) for option in question.options]
            return {"type": "choice", **name, "instructions": instructions, "choices": choices}
        case ScoreQuestion():
            levels: list[JsonValue] = [_described("label", option) for option in question.options]
            return {"type": "score", **name, "instructions": instructions, "levels": levels}


def _described(key: str, option: Option) -> JsonValue:
    described: dict[str, JsonValue] = {"description": option.description} if option.description else {}
    return {key: _as_value(option), **described}


def _text_of(content: str | _QuestionParts) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.text if isinstance(part, _TextPart) else as_text(part.data) for part in content)


def _question_of(where: str, question: _Predicate | _ChoiceOf | _ScoreOf) -> TypedQuestion:
    instructions = _text_of(question.instructions)
    match question:
        case _Predicate():
            return YesNoQuestion(instructions)
        case _ChoiceOf():
            names = [_as_name(option.value) for option in question.choices]
            require_distinct(names, f"{where}.choices")
            options = [
                Option(name, option.description or "", isinstance(option.value, bool))
                for name, option in zip(names, question.choices, strict=True)
            ]
            return ChoiceQuestion(instructions, tuple(options))
        case _ScoreOf():
            labels = [level.label for level in question.levels]
            require_distinct(labels, f"{where}.levels")
            described = [level.description or "" for level in question.levels]
            return ScoreQuestion(instructions, tuple(map(Option, labels, described)))


def _as_value(option: Option) -> str | bool:
    return option.name == "true" if option.is_boolean else option.name


def _as_name(value: str | bool) -> str:
    return value if isinstance(value, str) else str(value).lower()


def _answer_to(number: str, named: NamedQuestion, answer: _AnyAnswer) -> DecisionAnswer | None:
    """Return the answer to a question; None if it was refused."""
    if answer.name != named.name:
        raise DataError(
            f"the answer is to {answer.name and answer.name[:80]!r}",
            where=answer_place(number),
            accepted=f"the question's name, {named.name!r}",
        )
    names = [option.name for option in named.question.options]
    match named.question, answer:
        case _, _Refusal():
            return None
        case YesNoQuestion(), _PredicateAnswer():
            yes = min(answer.probability, 1.0)
            return answer_from(number, [yes, 1.0 - yes])
        case ChoiceQuestion(), _ChoiceAnswer():
            if _as_name(answer.choice) not in names:
                raise DataError(
                    f"{quoted(_as_name(answer.choice))} is not an option", where=answer_place(number)
                )
            given = _once(number, [(_as_name(item.value), item.probability) for item in answer.probabilities])
            return answer_from(number, ordered(number, given, names))
        case ScoreQuestion(), _ScoreAnswer():
            given = _once(number, [(str(item.value), item.probability) for item in answer.probabilities])
            return answer_from(number, ordered(number, given, [str(place) for place in range(len(names))]))
        case _:
            kind = str(_question_body(named)["type"])
            raise DataError(f"an answer of type {answer.type}", where=answer_place(number), accepted=kind)


def _once(number: str, given: list[tuple[str, float]]) -> dict[str, float]:
    require_distinct([name for name, _ in given], answer_place(number))
    return dict(given)


def _answer_body(named: NamedQuestion, answer: DecisionAnswer | None) -> dict[str, Any]:
    name: dict[str, Any] = {"name": named.name}
    if answer is None:
        return {"type": "refusal", **name}
    missing = what_is_missing(named.question, answer)
    names, p = [option.name for option in named.question.options], answer.probabilities
    match named.question:
        case YesNoQuestion():
            return {"type": "predicate", **name, "probability": p[0], **missing}
        case ChoiceQuestion():
            values = list(map(_as_value, named.question.options))
            listed = [{"value": o, "probability": value} for o, value in zip(values, p, strict=True)]
            body = {"type": "choice", **name, "choice": values[answer.best], "probabilities": listed}
        case ScoreQuestion():
            listed = [{"value": i, "label": names[i], "probability": value} for i, value in enumerate(p)]
            body = {"type": "score", **name, "score": answer.expected, "probabilities": listed}
    return {**body, "confidence": answer.confidence, **missing}

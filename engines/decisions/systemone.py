"""The dialect of `POST /v1/systemone`: questions and answers by name.

As in vLLM 0.32 (`vllm/entrypoints/generate/structured_decisions`), whose `label_mass` and `argmax_is_label`
are read where a server reports them. Ollama, llama.cpp, LM Studio, LiteLLM and others have the same form.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue

from core.errors import DataError
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


class _WireQuestion(StrictModel):
    type: Literal["noul", "choice", "score"]
    instructions: JsonValue = ""
    criteria: JsonValue = None


class _Request(WireRequest):
    model: WireText | None = None
    state: JsonValue
    questions: dict[str, _WireQuestion] = Field(min_length=1)
    instructions: WireText | None = None
    images: list[JsonValue] | None = None
    audio: list[JsonValue] | None = None
    videos: list[JsonValue] | None = None
    assets: list[JsonValue] | None = None


class _Noul(WireModel):
    type: Literal["noul"]
    noul: WireProbability


class _Choice(WireModel):
    type: Literal["choice"]
    choice: WireText
    probabilities: dict[str, WireProbability]


class _Score(WireModel):
    type: Literal["score"]
    score: Annotated[float, Field(strict=True, allow_inf_nan=False)]
    probabilities: dict[str, WireProbability]


class _Diagnostics(WireModel):
    label_mass: WireProbability | None = None
    argmax_is_label: Annotated[bool, Field(strict=True)] | None = None
    missing_mass: WireProbability | None = None
    bounded: tuple[WireText, ...] = ()


class _Response(WireModel):
    model: WireText | None = None
    answers: dict[str, Annotated[_Noul | _Choice | _Score, Field(discriminator="type")]]
    diagnostics: dict[str, _Diagnostics | None] | None = None
    usage: JsonValue = None


class SystemOne:
    """`POST /v1/systemone`. TypedQuestion types are called `noul` (yes/no), `choice` and `score`."""

    path = "/v1/systemone"

    def write_request(self, call: DecisionCall) -> dict[str, JsonValue]:
        """Return the body of a request; a question without a name is named by its position."""
        body: dict[str, JsonValue] = {
            "state": call.state,
            "questions": {name: _written_question(question) for name, question in _by_name(call)},
        }
        if call.model is not None:
            body["model"] = call.model
        if call.instructions:
            body["instructions"] = call.instructions
        return body

    def read_response(self, body: Mapping[str, Any], call: DecisionCall) -> Decisions:
        """Return the answers in the order of the questions.

        Raises:
            DataError: if an answer is missing, is to another question, or has other options.
        """
        response = parsed(_Response, body)
        asked = _by_name(call)
        names = [name for name, _ in asked]
        for name in response.answers.keys() - set(names):
            raise DataError(f"an answer to {quoted(name)}, which was not asked", where="answers")
        diagnostics = response.diagnostics or {}
        answers = []
        for name, question in asked:
            if name not in response.answers:
                raise DataError(f"no answer to {quoted(name)}", where="answers")
            found = diagnostics.get(name) or _Diagnostics()
            probabilities = _read_answer(name, question, response.answers[name])
            answer = answer_from(name, probabilities, found.label_mass, found.argmax_is_label)
            bounded = tuple(option.name in found.bounded for option in question.options)
            answers.append(
                replace(answer, missing_mass=found.missing_mass, bounded=bounded if any(bounded) else ())
            )
        return Decisions(response.model or call.model or "", tuple(answers), *tokens_in(response.usage))

    def read_request(self, body: Mapping[str, Any]) -> DecisionCall:
        """Return the questions of a request. Raises DataError if it is invalid or has images or sounds."""
        request = parsed(_Request, body)
        for field in ("images", "audio", "videos", "assets"):
            if getattr(request, field):
                raise DataError("this server reads text only", where=field, accepted="no such field")
        for name in request.questions:
            if not name:
                raise DataError("a question with an empty name", where="questions")
        questions = tuple(
            NamedQuestion(name, _read_question(f"questions.{name[:80]}", question))
            for name, question in request.questions.items()
        )
        return DecisionCall(as_text(request.state), questions, request.model, request.instructions or "")

    def write_response(self, call: DecisionCall, decisions: Decisions, request_id: str) -> dict[str, Any]:
        """Return the body of a response, with the diagnostics that vLLM gives."""
        named = list(zip(_by_name(call), decisions.answers, strict=True))
        for (name, _), answer in named:
            if answer is None:
                raise DataError("the question was refused, which this endpoint cannot express", where=name)
        answered = [(name, question, answer) for (name, question), answer in named if answer is not None]
        return {
            "id": request_id,
            "object": "structured_decision",
            "created": int(time.time()),
            "model": decisions.model,
            "answers": {name: _written_answer(question, answer) for name, question, answer in answered},
            "usage": {"input_tokens": decisions.prompt_tokens, "output_tokens": decisions.completion_tokens},
            "diagnostics": {
                name: {
                    "label_mass": answer.label_mass,
                    "argmax_is_label": answer.top_is_label,
                    **what_is_missing(question, answer),
                }
                for name, question, answer in answered
                if answer.label_mass is not None
            },
        }


def _by_name(call: DecisionCall) -> list[tuple[str, TypedQuestion]]:
    return [
        (str(number) if named.name is None else named.name, named.question)
        for number, named in enumerate(call.questions)
    ]


def _written_question(question: TypedQuestion) -> dict[str, JsonValue]:
    written: dict[str, JsonValue] = {"instructions": question.instructions}
    match question:
        case YesNoQuestion():
            criteria = {"true": question.yes, "false": question.no}
            given: dict[str, JsonValue] = {key: text for key, text in criteria.items() if text}
            return {"type": "noul", **written, **({"criteria": given} if given else {})}
        case ChoiceQuestion():
            options: dict[str, JsonValue] = {o.name: o.description or None for o in question.options}
            return {"type": "choice", **written, "criteria": options}
        case ScoreQuestion():
            levels: list[JsonValue] = [_level(option) for option in question.options]
            return {"type": "score", **written, "criteria": levels}


def _level(option: Option) -> str:
    return f"{option.name}: {option.description}" if option.description else option.name


def _read_question(where: str, question: _WireQuestion) -> TypedQuestion:
    instructions, criteria = as_text(question.instructions), question.criteria
    where = f"{where}.criteria"
    if question.type == "noul":
        given = {} if criteria is None else criteria
        if not isinstance(given, dict) or not given.keys() <= {"true", "false"}:
            raise DataError("not the criteria of a noul question", where=where, accepted="{true, false}")
        return YesNoQuestion(instructions, as_text(given.get("true")), as_text(given.get("false")))
    if question.type == "choice":
        if not isinstance(criteria, dict):
            raise DataError("no options", where=where, accepted="a mapping of options to descriptions")
        require_distinct(list(criteria), where)
        options = tuple(Option(name, as_text(text)) for name, text in criteria.items())
        return ChoiceQuestion(instructions, options)
    if not isinstance(criteria, list) or len(criteria) < 2:
        raise DataError("no levels", where=where, accepted="a list of two or more levels")
    levels = [as_text(level) for level in criteria]
    require_distinct(levels, where)
    return ScoreQuestion(instructions, tuple(map(Option, levels)))


def _read_answer(name: str, question: TypedQuestion, answer: _Noul | _Choice | _Score) -> list[float]:
    """Return the probability of each option."""
    names = [option.name for option in question.options]
    match question, answer:
        case YesNoQuestion(), _Noul():
            yes = min(answer.noul, 1.0)
            return [yes, 1.0 - yes]
        case ChoiceQuestion(), _Choice():
            if answer.choice not in names:
                raise DataError(f"{quoted(answer.choice)} is not an option", where=answer_place(name))
            return ordered(name, answer.probabilities, names)
        case ScoreQuestion(), _Score():
            return ordered(name, answer.probabilities, [str(place) for place in range(len(names))])
        case _:
            kind = _written_question(question)["type"]
            raise DataError(f"an answer of type {answer.type}", where=answer_place(name), accepted=str(kind))


def _written_answer(question: TypedQuestion, answer: DecisionAnswer) -> dict[str, Any]:
    names, p = [option.name for option in question.options], answer.probabilities
    by_place = {str(place): value for place, value in enumerate(p)}
    match question:
        case YesNoQuestion():
            written: dict[str, Any] = {"type": "noul", "noul": p[0]}
            written["probabilities"] = dict(zip(names, p, strict=True))
        case ChoiceQuestion():
            written = {"type": "choice", "choice": names[answer.best]}
            written["probabilities"] = dict(zip(names, p, strict=True))
        case ScoreQuestion():
            legend = {str(place): name for place, name in enumerate(names)}
            written = {"type": "score", "score": answer.expected, "legend": legend, "probabilities": by_place}
    return {**written, "confidence": answer.confidence}

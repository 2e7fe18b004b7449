"""Chat completions as OpenAI's API has them: requests read, responses and event streams written."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, field_validator

from core.chat import Turn, turns_of
from core.digests import derive_seed
from core.errors import DataError
from core.records import Generation, Message, Role, Sampling
from engines.decisions.wire import StrictModel, WireText, parsed
from engines.protocols import GenerationRequest

DEFAULT_MAX_TOKENS = 512
"""Most tokens of an answer where the request does not say."""
_MAX_ANSWERS = 64
_SEED_BITS = 53


class _Part(StrictModel):
    type: Literal["text", "input_text"]
    text: WireText
    # Of no effect on the answer.
    cache_control: JsonValue = None
    prompt_cache_breakpoint: JsonValue = None


class _ChatMessage(StrictModel):
    role: Literal["system", "developer", "user", "assistant"]
    content: WireText | list[_Part]
    # Accepted where they say nothing: clients send back what they received.
    name: None = None
    tool_calls: list[JsonValue] | None = Field(default=None, max_length=0)
    function_call: None = None
    audio: None = None
    refusal: None = None
    # Not shown to the model: chat templates leave out the thoughts of earlier turns.
    reasoning_content: JsonValue = None
    reasoning: JsonValue = None
    annotations: JsonValue = None

    @property
    def text(self) -> str:
        """The message's text; its parts are joined by line breaks."""
        parts = self.content
        return parts if isinstance(parts, str) else "\n".join(part.text for part in parts)


class _StreamOptions(StrictModel):
    include_usage: bool = False
    include_obfuscation: JsonValue = None
    continuous_usage_stats: Literal[False] | None = None


Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class _ChatRequest(StrictModel):
    """Fields that change the answer are honoured or refused; none of them is ignored."""

    messages: list[_ChatMessage] = Field(min_length=1)
    model: WireText | None = None
    temperature: Annotated[Number, Field(ge=0.0)] | None = None
    top_p: Annotated[Number, Field(gt=0.0, le=1.0)] | None = None
    top_k: Annotated[int, Field(strict=True, ge=-1)] | None = None
    max_tokens: Annotated[int, Field(strict=True, ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(strict=True, ge=1)] | None = None
    n: Annotated[int, Field(strict=True, ge=1, le=_MAX_ANSWERS)] | None = None
    seed: Annotated[int, Field(strict=True)] | None = None
    stop: WireText | list[Annotated[str, Field(strict=True, min_length=1)]] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None
    # Accepted where they change nothing.
    logprobs: Literal[False] | None = None
    top_logprobs: Literal[0] | None = None
    frequency_penalty: Literal[0] | None = None
    presence_penalty: Literal[0] | None = None
    repetition_penalty: Literal[1] | None = None
    min_p: Literal[0] | None = None
    logit_bias: dict[str, JsonValue] | None = Field(default=None, max_length=0)
    tools: list[JsonValue] | None = Field(default=None, max_length=0)
    tool_choice: Literal["none", "auto"] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, JsonValue] | None = None
    chat_template_kwargs: dict[str, JsonValue] | None = Field(default=None, max_length=0)
    # Of no effect on the answer.
    user: JsonValue = None
    metadata: JsonValue = None
    store: JsonValue = None
    service_tier: JsonValue = None
    safety_identifier: JsonValue = None
    prompt_cache_key: JsonValue = None
    prompt_cache_options: JsonValue = None
    cache_salt: JsonValue = None
    priority: JsonValue = None
    request_id: JsonValue = None

    @field_validator("response_format")
    @classmethod
    def _is_text(cls, value: dict[str, JsonValue] | None) -> dict[str, JsonValue] | None:
        if value not in (None, {"type": "text"}):
            raise ValueError("only text is written; accepted: {type: text}")
        return value


@dataclass(frozen=True, slots=True)
class ChatCall:
    """A request for one or more answers to a conversation."""

    requests: tuple[GenerationRequest, ...]
    """One for each answer; they differ in their seeds."""
    model: str | None
    stream: bool
    with_usage: bool
    """True if the event stream ends with the token counts."""


def read_chat_request(body: Mapping[str, Any]) -> ChatCall:
    """Return the requests to the engine.

    Raises:
        DataError: if the body is invalid, or asks for what this server does not do.
    """
    given = parsed(_ChatRequest, body)
    turns, prefill = _turns(given)
    # A value outside what the engine takes is an error of the request, not of the server.
    sampling = Sampling(
        temperature=1.0 if given.temperature is None else given.temperature,
        top_p=1.0 if given.top_p is None else given.top_p,
        top_k=max(given.top_k or 0, 0),
        max_new_tokens=given.max_completion_tokens or given.max_tokens or DEFAULT_MAX_TOKENS,
        stop=_stops(given.stop),
    )
    base = secrets.randbits(_SEED_BITS) if given.seed is None else given.seed
    requests = tuple(
        GenerationRequest(turns, sampling, derive_seed(base, "serve", number), "serve", prefill)
        for number in range(given.n or 1)
    )
    options = given.stream_options
    with_usage = options is not None and options.include_usage
    return ChatCall(requests, given.model, bool(given.stream), with_usage)


def _stops(stop: str | list[str] | None) -> tuple[str, ...]:
    if stop is None or stop == "":
        return ()
    return (stop,) if isinstance(stop, str) else tuple(stop)


def _turns(given: _ChatRequest) -> tuple[tuple[Turn, ...], str]:
    """Return the conversation, and the text that the answer begins with."""
    roles: dict[str, Role] = {"developer": "system"}
    messages = [Message(role=roles.get(m.role, m.role), content=m.text) for m in given.messages]
    last, prefill = messages[-1], ""
    if given.continue_final_message:
        if last.role != "assistant":
            raise DataError("the last message is not the assistant's", where="continue_final_message")
        prefill, messages = last.content, messages[:-1]
    elif given.add_generation_prompt is False:
        raise DataError("an answer needs its beginning", where="add_generation_prompt", accepted="true")
    if not messages or messages[-1].role == "assistant":
        raise DataError(
            "the last message is the assistant's",
            where="messages",
            accepted="one of the user, or continue_final_message: true",
        )
    return turns_of(messages), prefill


def chat_response(
    request_id: str, model: str, fingerprint: str, answers: Sequence[Generation]
) -> dict[str, Any]:
    """Return the body of a response."""
    return {
        **_head(request_id, "chat.completion", model, fingerprint),
        "choices": [
            {
                "index": number,
                "message": _message(answer),
                "logprobs": None,
                "finish_reason": answer.finish_reason,
            }
            for number, answer in enumerate(answers)
        ],
        "usage": _usage(answers),
    }


def chat_events(
    request_id: str, model: str, fingerprint: str, answers: Sequence[Generation], *, with_usage: bool
) -> Iterator[str]:
    """Yield server-sent events: each answer as one piece, then `[DONE]`."""
    head = _head(request_id, "chat.completion.chunk", model, fingerprint)
    for number, answer in enumerate(answers):
        steps: list[tuple[dict[str, Any], str | None]] = [
            (_message(answer), None),
            ({}, answer.finish_reason),
        ]
        for delta, reason in steps:
            choice = {"index": number, "delta": delta, "logprobs": None, "finish_reason": reason}
            yield _event({**head, "choices": [choice]})
    if with_usage:
        yield _event({**head, "choices": [], "usage": _usage(answers)})
    yield "data: [DONE]\n\n"


def _message(answer: Generation) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text}
    if answer.reasoning is not None:
        message["reasoning_content"] = answer.reasoning
    return message


def _head(request_id: str, kind: str, model: str, fingerprint: str) -> dict[str, Any]:
    return {
        "id": request_id,
        "object": kind,
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": fingerprint,
    }


def _usage(answers: Sequence[Generation]) -> dict[str, int]:
    prompt = answers[0].prompt_tokens  # of the same conversation for all of them
    completion = sum(answer.completion_tokens for answer in answers)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _event(value: object) -> str:
    return f"data: {json.dumps(value)}\n\n"

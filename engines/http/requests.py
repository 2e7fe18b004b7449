"""Requests in OpenAI's chat form: messages, sampling fields, and how an answer is begun.

All fields that change an answer are sent with each request. A server that gets none uses its own defaults,
and many have some: `vllm serve` those of the model, llama.cpp a top_k of 40.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue

from core.chat import Turn, Untrusted
from core.records import Sampling
from engines.encoding.template import with_system_in_user
from engines.protocols import ChoiceRequest, GenerationRequest

Begin = Literal["continue", "assistant", "none"]
"""How a server continues a begun answer; `none`: it is asked in words to begin so."""

MAX_TOKENS = ("max_tokens", "max_completion_tokens")
"""The older name of the limit on an answer, which most servers know, and OpenAI's newer one."""
NEUTRAL: dict[str, JsonValue] = {
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "repetition_penalty": 1.0,
    "temperature": 1.0,
    "n": 1,
    "stream": False,
}
"""Values with which a field does nothing: a server that does not know the field may go without it."""
SEED, KWARGS = "seed", "chat_template_kwargs"
RESPONSE_FORMAT = "response_format"
"""The schema of an answer: a server that does not know it is asked in words alone."""
TOP_LOGPROBS = 20
"""Tokens whose log-probabilities a server lists, the most that OpenAI and vLLM give."""

_SPECIAL = re.compile(
    # A lookahead, since one token may begin inside another.
    r"(?="
    # Any name with a bar at either end: <|im_end|>, <｜User｜>, <|turn>, <channel|>, [|user|].
    r"<[|｜][^<>\s]{1,60}[|｜]?>|<[^<>\s]{1,60}[|｜]>|\[\|[^\[\]\s]{1,60}\|\]"
    # Names of several words, which HTML has not: <start_of_turn>, <tool_call>, <extra_id_0>, <seed:think>.
    r"|</?\w{1,40}[_:]\w{1,60}>"
    r"|</?s>|</?(?:bos|eos|pad|unk|mask|cls|sep|sop|eop|eod|eot|think|thinking|thought|reasoning)>"
    r"|<(?:unused|extra|reserved|custom)\d{1,6}>"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|ARGS|CALL_ID|THINK|CLS|SEP"
    r"|[gs]?MASK|PAD|UNK|BOS|EOS|EOT|IMG|IMG_BREAK|IMG_END|PREFIX|MIDDLE|SUFFIX|MODEL_SETTINGS)\]"
    r"|<</?SYS>>|\]<\]\w{1,60}\[>\[|\]~!?b[\[\]]|\[e~\[)(.)",
    re.IGNORECASE,
)
"""Special tokens and marks of chat templates, by their forms where they have one."""
_INVISIBLE = "\u200b"
_ESCAPED = re.compile(f"(?<=[<\\[\\]]){_INVISIBLE}")


@dataclass
class Accepted:
    """What a server was found to accept; it is corrected when it refuses a request."""

    max_tokens: str = MAX_TOKENS[0]
    """Its name for the limit on an answer."""
    without: set[str] = field(default_factory=set)
    """Fields that it does not know."""
    system: bool = True
    """False if it takes no system message: it then becomes the beginning of the first user message."""
    top_logprobs: int = TOP_LOGPROBS
    """Tokens that it lists with their log-probabilities."""
    begin: Begin = "none"
    """How it continues a begun answer."""


def generation_body(
    model: str, request: GenerationRequest, accepted: Accepted, extra: Mapping[str, JsonValue]
) -> dict[str, JsonValue]:
    """Return the body of a request for an answer."""
    fields = chat_fields(request.sampling, request.seed)
    if request.json_schema:
        schema: JsonValue = {"name": "answer", "strict": True, "schema": json.loads(request.json_schema)}
        fields[RESPONSE_FORMAT] = {"type": "json_schema", "json_schema": schema}
    return _body(model, request, accepted, {**fields, **extra})


def choice_body(
    model: str, request: ChoiceRequest, accepted: Accepted, extra: Mapping[str, JsonValue]
) -> dict[str, JsonValue]:
    """Return the body of a request for the log-probabilities of the first token.

    The temperature is 1: some servers list the probabilities before it is applied and some after, which are
    the same then. The token that is drawn has no meaning.
    """
    fields = chat_fields(Sampling(max_new_tokens=1), seed=0)
    asked: dict[str, JsonValue] = {"logprobs": True, "top_logprobs": accepted.top_logprobs}
    return _body(model, request, accepted, {**fields, **extra, **asked})


def chat_fields(sampling: Sampling, seed: int) -> dict[str, JsonValue]:
    """Return every field that changes an answer; a seed only when sampling, `stop` only if there is one."""
    fields: dict[str, JsonValue] = {
        **NEUTRAL,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        MAX_TOKENS[0]: sampling.max_new_tokens,
    }
    if sampling.temperature > 0:
        fields[SEED] = seed % 2**31  # llama.cpp and others take 32 bits
    if sampling.stop:
        fields["stop"] = list(sampling.stop)
    return fields


def without_special_tokens(text: str) -> str:
    """Return a text in which no special token of a chat template is spelled.

    A server tokenizes messages as it likes, and many read `<|im_end|>` in a message as the end of the turn.
    An invisible character after the first one breaks the token and leaves the text readable.
    """
    return _SPECIAL.sub(rf"\1{_INVISIBLE}", text)


def with_special_tokens(text: str) -> str:
    """Return an answer that may quote an escaped text as the model would have quoted the text itself."""
    return _ESCAPED.sub("", text)


def chat_messages(turns: Sequence[Turn], *, system: bool = True) -> list[JsonValue]:
    """Return a conversation as messages; `system` says if the server takes a system message."""
    shown = turns if system or turns[0].role != "system" else with_system_in_user(turns)
    return [{"role": turn.role, "content": _content(turn)} for turn in shown]


def _content(turn: Turn) -> str:
    return "".join(
        without_special_tokens(piece.text) if isinstance(piece, Untrusted) else piece for piece in turn.pieces
    )


def _body(
    model: str,
    request: GenerationRequest | ChoiceRequest,
    accepted: Accepted,
    fields: Mapping[str, JsonValue],
) -> dict[str, JsonValue]:
    body: dict[str, JsonValue] = {
        "model": model,
        "messages": chat_messages(_begun(request, accepted.begin), system=accepted.system),
        **{name: value for name, value in fields.items() if not _left_out(name, value, accepted)},
    }
    if MAX_TOKENS[0] in body and accepted.max_tokens != MAX_TOKENS[0]:
        body[accepted.max_tokens] = body.pop(MAX_TOKENS[0])
    if request.prefill and accepted.begin == "continue":
        body |= {"continue_final_message": True, "add_generation_prompt": False}
    return body


def _left_out(name: str, value: JsonValue, accepted: Accepted) -> bool:
    """Return True for a field that the server does not know, and that does nothing or cannot be had."""
    if name not in accepted.without:
        return False
    if name in (SEED, RESPONSE_FORMAT):
        return True
    return value == NEUTRAL.get(name) or (name == KWARGS and only_turns_off(value))


def only_turns_off(kwargs: JsonValue) -> bool:
    """Return True if arguments of a chat template only turn something off, such as `enable_thinking`."""
    return isinstance(kwargs, dict) and not any(kwargs.values())


def _begun(request: GenerationRequest | ChoiceRequest, begin: Begin) -> tuple[Turn, ...]:
    """Return the conversation with the beginning of the answer, where the server can continue it.

    Where it cannot, an answer is asked for in words. A choice is not: its question names the answers.
    """
    if not request.prefill:
        return request.turns
    if begin != "none":
        return (*request.turns, Turn("assistant", (request.prefill,)))
    if isinstance(request, ChoiceRequest):
        return request.turns
    last = request.turns[-1]
    asked = f"\n\nBegin your answer with exactly these words: {request.prefill}"
    return (*request.turns[:-1], Turn(last.role, (*last.pieces, asked)))

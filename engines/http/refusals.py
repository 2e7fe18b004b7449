"""What to do about a request that a server refuses for good: change it, skip it, or end the run.

Servers differ in which fields they know. If a refusal names a field that does nothing (`top_k: 0`), the field
is left out from then on; if it names one that does something, the error names its setting. Nothing that
changes answers is dropped silently.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from core.errors import ConfigError, EngineError, PubliusError, RequestError
from engines.http.faults import RefusedError
from engines.http.requests import KWARGS, MAX_TOKENS, NEUTRAL, RESPONSE_FORMAT, SEED, Accepted, only_turns_off

_CHANGEABLE = (400, 422)
_TOO_LONG = re.compile(
    r"context.{0,3}(?:length|size|window)|context_length_exceeded|exceed_context_size|maximum context|"
    r"(?:prompt|input|request) is too (?:long|large)|too many (?:input )?tokens|reduce the length",
    re.IGNORECASE,
)
_FILTERED = re.compile(
    r"content[_ -]?(?:filter|policy|management)|ResponsibleAI|moderation|flagged|safety (?:system|policy)",
    re.IGNORECASE,
)
_SYSTEM = re.compile(
    r"system (?:role|message|prompt|instruction)s?|role '?\"?system|developer instruction", re.I
)
_PLAIN_WORDS = frozenset({SEED, "stop", "n", "stream", "model", "messages", "temperature"})
"""Fields whose name is a word that a message may have for another reason."""
_ECHO = "input_value="
"""Where pydantic begins to repeat the request, which names every field."""
_FEWER_TOP = (10, 5)
"""Numbers of listed tokens to try if the server refuses more."""
_LOGPROBS = frozenset({"logprobs", "top_logprobs"})
_SETTING = {
    "max_tokens": "max_new_tokens",
    "max_completion_tokens": "max_new_tokens",
    KWARGS: "models.ROLE.chat_template_kwargs",
    "continue_final_message": "engine.prefill: assistant or none",
    "add_generation_prompt": "engine.prefill: assistant or none",
}
"""The setting that a field of the request comes from, where its name is another one."""


class ChangedError(Exception):
    """The request was changed for what the server accepts, and can be sent again.

    Args:
        what: what was changed, as it is counted.
        note: what to tell the user, once.
    """

    def __init__(self, what: str, note: str) -> None:
        super().__init__(note)
        self.what, self.note = what, note


def change_for(
    error: RefusedError, body: Mapping[str, JsonValue], accepted: Accepted, where: str
) -> ChangedError | PubliusError | None:
    """Return what a refusal leads to; None if it is about none of what can be changed or explained.

    Args:
        error: the refusal.
        body: the request.
        accepted: what the server accepts; it is corrected here.
        where: the server's address, for messages.
    """
    refused = refused_request(error)
    if refused is not None or error.status not in _CHANGEABLE:
        return refused
    words = f"{error.message.code} {error.message.text}"
    return _about_fields(error, body, accepted, where) or _about_system(words, body, accepted)


def without_logprobs(model: object, where: str) -> ConfigError:
    """Return the error of a labeler whose server lists no log-probabilities."""
    return ConfigError(
        f"{where} lists no log-probabilities for {model}, and labels are read from them",
        where="models.labeler",
        accepted="a server that lists them (vLLM, SGLang, llama.cpp), engine.dialect: systemone for one that "
        "answers typed questions (publius serve), a labeler with engine.kind transformers or vllm, or "
        "label.principles: 0 for machine checks alone",
    )


def refused_request(error: RefusedError) -> RequestError | None:
    """Return the error of a request that is too long or filtered, which ends it alone; None for others."""
    words = f"{error.message.code} {error.message.text}"
    if error.status == 413 or (error.status in _CHANGEABLE and _TOO_LONG.search(words)):
        return RequestError(
            "prompt and answer are too long for the server's model",
            detail=error.message.text,
            accepted="shorter prompts or a smaller max_new_tokens",
        )
    if error.status in (*_CHANGEABLE, 403) and _FILTERED.search(words):
        return RequestError("the server's content filter refused the prompt", detail=error.message.text)
    return None


def _about_fields(
    error: RefusedError, body: Mapping[str, JsonValue], accepted: Accepted, where: str
) -> ChangedError | PubliusError | None:
    # By what was sent, and not by what is accepted: another request may have been refused meanwhile.
    named = [name for name in body if _names(error, name)]
    for name, other in (MAX_TOKENS, MAX_TOKENS[::-1]):
        if name in named and other in error.message.text:
            accepted.max_tokens = other
            return ChangedError(f"{other} sent", f"the server takes {other}")
    sent_top = body.get("top_logprobs")
    if "top_logprobs" in named and isinstance(sent_top, int) and sent_top > _FEWER_TOP[-1]:
        fewer = accepted.top_logprobs = next(number for number in _FEWER_TOP if number < sent_top)
        return ChangedError(f"top_logprobs {fewer}", f"the server lists at most {fewer} log-probabilities")
    if _LOGPROBS & {*named}:
        return without_logprobs(body["model"], where)
    idle = [name for name in named if name in NEUTRAL and body[name] == NEUTRAL[name] and name != "n"]
    if idle:
        accepted.without.update(idle)
        listed = ", ".join(idle)
        return ChangedError(
            f"{listed} left out", f"the server does not know {listed}, which would do nothing"
        )
    if RESPONSE_FORMAT in named:
        accepted.without.add(RESPONSE_FORMAT)
        return ChangedError(
            f"{RESPONSE_FORMAT} left out",
            "the server takes no JSON Schema: JSON is asked for in words alone",
        )
    if SEED in named:
        accepted.without.add(SEED)
        return ChangedError(
            "seed left out", "the server takes no seed: only answers in the cache can be had again"
        )
    if KWARGS in named and only_turns_off(body[KWARGS]):
        accepted.without.add(KWARGS)
        return ChangedError(f"{KWARGS} left out", f"the server takes no {KWARGS}: {body[KWARGS]} is not sent")
    return _unknown_setting(error, named, body, where) if named else None


def _unknown_setting(
    error: RefusedError, named: Sequence[str], body: Mapping[str, JsonValue], where: str
) -> PubliusError | None:
    name = next((name for name in named if name not in ("model", "messages")), None)
    if name is None:
        return None
    setting = _SETTING.get(name, name)
    neutral = NEUTRAL.get(name)
    return EngineError(
        f"the server refuses {name}: {body[name]!r} ({error.message.text})",
        where=where,
        accepted=f"another {setting}"
        + (f", such as {neutral}, which turns it off" if neutral is not None else ""),
    )


def _about_system(words: str, body: Mapping[str, JsonValue], accepted: Accepted) -> ChangedError | None:
    messages = body["messages"]
    first = messages[0] if isinstance(messages, list) and messages else None
    if not (isinstance(first, dict) and first.get("role") == "system" and _SYSTEM.search(words)):
        return None
    accepted.system = False
    return ChangedError(
        "system message moved",
        "the server takes no system message: it becomes the beginning of the first user message",
    )


def _names(error: RefusedError, name: str) -> bool:
    """Return True if a refusal is about a field."""
    message = error.message
    if message.fields:
        return name in message.fields
    text = message.text.partition(_ECHO)[0]
    quoted = rf"['\"`]{re.escape(name)}['\"`]"
    if name in _PLAIN_WORDS:
        return re.search(quoted, text) is not None
    return re.search(rf"(?<![\w.]){re.escape(name)}(?![\w])", text) is not None

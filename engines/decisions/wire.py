"""What the dialects share: strict JSON types, readable errors, probabilities that add up."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator

from core.errors import DataError
from core.text.explain import explain
from engines.decisions.questions import DecisionAnswer, DecisionCall, Decisions, TypedQuestion

MAX_QUESTIONS = 64
"""Most questions in one request: the limit of vLLM. OpenAI takes 400 and LiteLLM's proxy 128."""
MAX_SUM_ERROR = 0.01
"""Largest difference of a sum of probabilities from 1 that counts as rounding by the server."""
_ROUNDING = 1e-3
"""By how much a single probability may exceed 1 because of rounding."""
_MOST_TOKENS = 10**9
"""Number from which a count of tokens is none."""
_LONGEST_PART = 120
"""Characters of each part of a message about an invalid body."""
_FILE, _LINE = re.compile("^the file(?= )"), re.compile("^a line '(.*): ...'$")
"""Words for a user's file, which is the body of a request here."""
_SHOWN = 80
"""Characters of a name in a message."""

WireProbability = Annotated[float, Field(strict=True, ge=0.0, le=1.0 + _ROUNDING, allow_inf_nan=False)]
_THINKING = ("enable_thinking", "thinking")
"""Arguments of chat templates that turn thoughts on or off."""

WireCount = Annotated[int, Field(strict=True, ge=0)]
WireText = Annotated[str, Field(strict=True)]


class WireModel(BaseModel):
    """Part of a request or response. Unknown fields are ignored: servers add their own."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class StrictModel(WireModel):
    """Part of a request. What it asks for is done or refused: an unknown or misspelt field is not ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class WireRequest(StrictModel):
    """A request for decisions."""

    chat_template_kwargs: dict[str, JsonValue] | None = None
    stream: Literal[False] | None = None
    # Of no effect on the answers.
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

    @field_validator("chat_template_kwargs")
    @classmethod
    def _turns_thinking_off(cls, value: dict[str, JsonValue] | None) -> dict[str, JsonValue] | None:
        # A question is answered by the next token, so a model that thinks first is refused in any case.
        if any(name not in _THINKING or switch is not False for name, switch in (value or {}).items()):
            raise ValueError("the chat template is not changed; accepted: {enable_thinking: false}")
        return value


_Wire = TypeVar("_Wire", bound=BaseModel)


class DecisionDialect(Protocol):
    """A wire format of decisions, in both directions. It does no input or output."""

    @property
    def path(self) -> str:
        """Path of the endpoint, below the server's root."""
        ...

    def write_request(self, call: DecisionCall) -> dict[str, JsonValue]:
        """Return the body of a request."""
        ...

    def read_response(self, body: Mapping[str, Any], call: DecisionCall) -> Decisions:
        """Return the answers in the body of a response. Raises DataError if they do not fit the request."""
        ...

    def read_request(self, body: Mapping[str, Any]) -> DecisionCall:
        """Return the questions in the body of a request. Raises DataError if it is invalid."""
        ...

    def write_response(self, call: DecisionCall, decisions: Decisions, request_id: str) -> dict[str, Any]:
        """Return the body of a response to a request."""
        ...


def tokens_in(usage: JsonValue) -> tuple[int, int]:
    """Return the tokens of prompt and answer in a response's usage; 0 for a count that is missing or none."""
    given = usage if isinstance(usage, dict) else {}
    counts = [given.get(name) for name in ("input_tokens", "output_tokens")]
    prompt, completion = (
        int(count) if isinstance(count, int | float) and 0 <= count < _MOST_TOKENS else 0 for count in counts
    )
    return prompt, completion


def parsed(model: type[_Wire], body: Mapping[str, Any]) -> _Wire:
    """Return a body as a wire model. Raises DataError with the first invalid place."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        first = explain(model, dict(body), error)[0]
        where, what = _short(".".join(map(str, first.loc))), _short(_FILE.sub("the body", first.what))
        accepted = first.accepted and _LINE.sub(r"a field \1", first.accepted)
        raise DataError(what, where=where or None, accepted=accepted) from error


def _short(text: str) -> str:
    """Return a part of a message, cut where a deeply nested value makes it long."""
    return text if len(text) <= _LONGEST_PART else text[:_LONGEST_PART] + "..."


def as_text(value: JsonValue) -> str:
    """Return text as it is, and any other JSON value as JSON; nothing for null."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def answer_from(
    name: str,
    probabilities: Sequence[float],
    label_mass: float | None = None,
    top_is_label: bool | None = None,
) -> DecisionAnswer:
    """Return an answer with its probabilities divided by their sum.

    Raises:
        DataError: if the sum is not 1 up to rounding.
    """
    total = math.fsum(probabilities)
    if abs(total - 1) > MAX_SUM_ERROR:
        raise DataError(
            f"the probabilities add up to {total:.4g}", where=answer_place(name), accepted="a sum of 1"
        )
    mass = None if label_mass is None else min(label_mass, 1.0)
    return DecisionAnswer(tuple(p / total for p in probabilities), mass, top_is_label)


def ordered(name: str, given: Mapping[str, float], wanted: Sequence[str]) -> list[float]:
    """Return probabilities by option in the order of the options.

    Raises:
        DataError: if an option has no probability, or there is one of something else.
    """
    for missing in (option for option in wanted if option not in given):
        raise DataError(f"no probability of {missing[:_SHOWN]!r}", where=answer_place(name))
    for extra in given.keys() - set(wanted):
        raise DataError(f"{extra[:_SHOWN]!r} is not an option", where=answer_place(name))
    return [given[option] for option in wanted]


def what_is_missing(question: TypedQuestion, answer: DecisionAnswer) -> dict[str, Any]:
    """Return fields of our own that say which options have a bound in place of a probability.

    They are empty if all next tokens were looked at, as our own engines do.
    """
    if answer.missing_mass is None:
        return {}
    names = [o.name for o, bounded in zip(question.options, answer.bounded, strict=False) if bounded]
    return {"missing_mass": answer.missing_mass, **({"bounded": names} if names else {})}


def answer_place(name: str) -> str:
    """Return where an answer is, for error messages."""
    return f"answers.{name[:_SHOWN]}"


def quoted(name: str) -> str:
    """Return a name from a server or client as it is quoted in messages."""
    return repr(name[:_SHOWN])


def require_distinct(names: Sequence[str], where: str) -> None:
    """Raise DataError if there are no names, an empty one, or two equal ones."""
    if not names:
        raise DataError("no options", where=where, accepted="one or more")
    if "" in names:
        raise DataError("an empty name", where=where, accepted="names of at least one character")
    if len(set(names)) != len(names):
        twice = next(name for number, name in enumerate(names) if name in names[:number])
        raise DataError(f"{quoted(twice)} is given twice", where=where, accepted="different names")

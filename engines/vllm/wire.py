"""Messages between the vLLM engine and its host process: one JSON object per line, in both directions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    def to_line(self) -> bytes:
        """Return the message as one line, line end included."""
        return self.model_dump_json().encode() + b"\n"


class Adapter(_Message):
    """A LoRA adapter."""

    name: str
    """Name that is unique for the content: vLLM's prefix cache identifies the adapter by it."""
    folder: str


class Load(_Message):
    """First message: load a model."""

    kind: Literal["load"] = "load"
    arguments: dict[str, JsonValue]
    """Keyword arguments of vLLM's engine."""
    min_seqs: int | None = None
    """Number of requests that must run together at least. If it is given, vLLM's batch limits are those for
    throughput; None leaves the limits to the arguments."""


class Ask(_Message):
    """Continue a prompt."""

    kind: Literal["ask"] = "ask"
    id: int
    prompt_ids: tuple[int, ...]
    sampling: dict[str, JsonValue]
    """Keyword arguments of vLLM's sampling parameters, including all that affect the answer."""
    choice_ids: tuple[int, ...] = ()
    """Token ids whose log-probabilities as the first token are requested."""
    wants_logprobs: bool = False
    """True to request the log-probabilities of the drawn tokens only."""
    adapter: Adapter | None = None
    """Adapter of this request; if unset, the one of the last `AttachAdapter`, or none."""


class AttachAdapter(_Message):
    """Use this adapter for later requests that name none. No request may run until the reply has arrived."""

    kind: Literal["wear"] = "wear"
    id: int
    adapter: Adapter


class Cancel(_Message):
    """Drop a request: its answer is no longer needed."""

    kind: Literal["cancel"] = "cancel"
    id: int


class Close(_Message):
    """Shut down in an orderly way."""

    kind: Literal["close"] = "close"


class Ready(_Message):
    """The model is loaded."""

    kind: Literal["ready"] = "ready"
    max_tokens: int
    """Maximum number of tokens in a prompt and its answer."""


class Response(_Message):
    """Result of a request."""

    kind: Literal["answer"] = "answer"
    id: int
    token_ids: tuple[int, ...]
    """All drawn tokens, including the one that ended the answer."""
    finish_reason: Literal["stop", "length"]
    logprobs: tuple[float, ...] = ()
    """Log-probabilities (natural), in the order of `choice_ids`."""
    drawn_logprobs: tuple[float, ...] = ()
    """Log-probabilities (natural) of `token_ids`, if requested; `logprobs_mode` in `Load` says of what."""


class AdapterAttached(_Message):
    """The adapter is loaded."""

    kind: Literal["worn"] = "worn"
    id: int


class Refused(_Message):
    """One request cannot be run; others are not affected."""

    kind: Literal["refused"] = "refused"
    id: int
    reason: str
    detail: str
    may_pass: bool = False
    """True if the backend failed on the request, so that it may succeed when it is sent again."""


class Progress(_Message):
    """Sign that the model is working, sent from time to time while requests are running."""

    kind: Literal["progress"] = "progress"
    tokens: int
    """Number of tokens drawn for finished and running requests; if vLLM does not tell, a number that
    changes."""


class Down(_Message):
    """The model could not be loaded, or the engine failed."""

    kind: Literal["down"] = "down"
    reason: str


ToHost = Load | Ask | AttachAdapter | Cancel | Close
FromHost = Ready | Response | AdapterAttached | Refused | Progress | Down

to_host: TypeAdapter[ToHost] = TypeAdapter(Annotated[ToHost, Field(discriminator="kind")])
from_host: TypeAdapter[FromHost] = TypeAdapter(Annotated[FromHost, Field(discriminator="kind")])

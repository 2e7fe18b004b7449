"""What an engine and its host process say to each other: one JSON object a line, both ways."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    def to_line(self) -> bytes:
        """Return the message as one line, line end included."""
        return self.model_dump_json().encode() + b"\n"


class Adapter(_Message):
    """A LoRA adapter that every request wears."""

    name: str
    """Unique for its content: cached prefixes are known by it."""
    folder: str


class Load(_Message):
    """The first message: load a model."""

    kind: Literal["load"] = "load"
    arguments: dict[str, JsonValue]
    """Keywords of the library's engine."""
    adapter: Adapter | None = None


class Ask(_Message):
    """Continue a prompt."""

    kind: Literal["ask"] = "ask"
    id: int
    prompt_ids: tuple[int, ...]
    sampling: dict[str, JsonValue]
    """Keywords of the library's sampling record, every one that bears on the answer."""
    choice_ids: tuple[int, ...] = ()
    """Tokens whose log-probabilities as the first token are wanted."""
    wants_logprobs: bool = False
    """Whether the log-probabilities of the tokens that are drawn are wanted, and no others."""


class AttachAdapter(_Message):
    """From now on every request wears this adapter. None may be under way, and the answer is waited for."""

    kind: Literal["wear"] = "wear"
    id: int
    adapter: Adapter


class Cancel(_Message):
    """Nobody waits for this answer any more."""

    kind: Literal["cancel"] = "cancel"
    id: int


class Close(_Message):
    """Shut down in good order."""

    kind: Literal["close"] = "close"


class Ready(_Message):
    """The model is loaded."""

    kind: Literal["ready"] = "ready"


class Response(_Message):
    """What came of a request."""

    kind: Literal["answer"] = "answer"
    id: int
    token_ids: tuple[int, ...]
    """All tokens that were drawn, the one that ended the answer too."""
    finish_reason: Literal["stop", "length"]
    logprobs: tuple[float, ...] = ()
    """Natural logarithms, in the order of `choice_ids`."""
    drawn_logprobs: tuple[float, ...] = ()
    """Natural logarithms of `token_ids`, where they are wanted. Of which distribution, `Load` says."""


class AdapterAttached(_Message):
    """The adapter is loaded."""

    kind: Literal["worn"] = "worn"
    id: int


class Refused(_Message):
    """One request cannot be run; the others go on."""

    kind: Literal["refused"] = "refused"
    id: int
    reason: str
    detail: str


class Down(_Message):
    """The model could not be loaded, or cannot go on."""

    kind: Literal["down"] = "down"
    reason: str


ToHost = Load | Ask | AttachAdapter | Cancel | Close
FromHost = Ready | Response | AdapterAttached | Refused | Down

to_host: TypeAdapter[ToHost] = TypeAdapter(Annotated[ToHost, Field(discriminator="kind")])
from_host: TypeAdapter[FromHost] = TypeAdapter(Annotated[FromHost, Field(discriminator="kind")])

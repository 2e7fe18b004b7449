"""Settings of a server in the run file: its address, time limits, prices and budget."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, JsonValue, model_validator

from core.settings import Section

_VERSION = re.compile(r"/v\d+[a-z0-9]*(/|$)")
_ROUTES = ("/chat/completions", "/completions", "/models", "/systemone", "/decisions")
"""Routes that are often copied with the address of a server; the engine adds them itself."""
_UNPRINTABLE = re.compile(r"[\s\x00-\x20\x7f]")
_ACCEPTED = "accepted: an address such as http://localhost:8000/v1 or https://api.openai.com/v1"

Seconds = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


def base_url(url: str) -> str:
    """Return the address below which a server has its routes, such as `http://localhost:8000/v1`.

    `/v1` is added if the path names no version, and the route of a single request is removed. What may hold a
    secret is never repeated in an error.

    Raises:
        ValueError: if the address has no scheme or host, or has credentials, a query or a fragment.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"the address is not valid; {_ACCEPTED}") from None
    is_complete = parts.scheme in ("http", "https") and bool(host)
    if "@" in (parts.netloc if is_complete else url):  # without a scheme, anything may be credentials
        raise ValueError(f"the address contains credentials; {_ACCEPTED}, and the key in api_key_env")
    if "?" in url or "#" in url:
        raise ValueError(f"the address has a query or a fragment; {_ACCEPTED}, and the key in api_key_env")
    if not is_complete:
        hint = "" if "://" in url else ": it begins with neither http:// nor https://"
        raise ValueError(f"this is not the address of a server{hint}; {_ACCEPTED}")
    if _UNPRINTABLE.search(url) or port == 0:
        raise ValueError(f"the address is not valid; {_ACCEPTED}")
    return f"{parts.scheme}://{parts.netloc.lower()}{_base_path(parts)}"


def _base_path(parts: SplitResult) -> str:
    path = re.sub("/+", "/", parts.path).rstrip("/")
    for route in _ROUTES:
        path = path.removesuffix(route)
    return path if _VERSION.search(path) else f"{path}/v1"


def _valid_url(url: str) -> str:
    base_url(url)
    return url


ServerUrl = Annotated[str, AfterValidator(_valid_url)]
"""Address of a server, with or without `/v1`."""
_OWNED = frozenset(
    {
        *("model", "messages", "stream", "stream_options", "n", "max_tokens", "max_completion_tokens"),
        *("temperature", "top_p", "top_k", "seed", "stop", "logprobs", "top_logprobs"),
        *("continue_final_message", "add_generation_prompt", "chat_template_kwargs"),
        *("state", "questions", "input", "instructions"),
    }
)
"""Fields of a request that come from other settings."""


def _not_owned(fields: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if owned := sorted(_OWNED & fields.keys()):
        raise ValueError(
            f"extra_body sets {', '.join(owned)}, which other settings decide (those of critique, sample, "
            "compare, label, eval, the model's chat_template_kwargs); accepted: fields of the server's own"
        )
    return fields


ExtraBody = Annotated[dict[str, JsonValue], AfterValidator(_not_owned)]
"""Fields of a request that only the server knows."""
Prefill = Literal["auto", "continue", "assistant", "none"]
"""How a server continues an answer that is begun for it."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _valid_variable(name: str) -> str:
    if not _VARIABLE.fullmatch(name):  # it may be the key itself
        raise ValueError(
            "this is not the name of an environment variable; accepted: a name such as OPENAI_API_KEY, whose "
            "value is the key"
        )
    return name


VariableName = Annotated[str, AfterValidator(_valid_variable)]
"""Name of an environment variable."""


class Timeouts(Section):
    """Time limits of one try of a request to a server, in seconds. What takes longer is tried again."""

    connect: Seconds = 10.0
    """Seconds to wait for a connection."""
    read: Seconds = 300.0
    """Seconds between two parts of the response. A server sends nothing before an answer is complete, so this
    also limits the time that it may take to write one."""
    total: Seconds = 900.0
    """Seconds for the whole try."""
    adaptive: bool = True
    """Give up a try earlier if it takes ten times as long as any answered one of the same purpose, and 5
    seconds at least: it is taken for lost. Applies after 20 answers."""


class Prices(Section):
    """What a server charges, in US dollars per million tokens."""

    input: Amount = 0.0
    """US dollars per million tokens of the prompts."""
    output: Amount = 0.0
    """US dollars per million tokens of the answers, reasoning included."""

    def usd(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return the price of so many tokens in US dollars."""
        return (self.input * prompt_tokens + self.output * completion_tokens) / 1e6


class Budget(Section):
    """Most that a run may spend on servers, over all commands that resume it."""

    tokens: int | None = Field(default=None, ge=1)
    """Tokens, of prompts and answers together."""
    usd: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    """US dollars, by `prices`."""

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.tokens is None and self.usd is None:
            raise ValueError("the budget is empty; accepted: tokens, usd or both")
        return self

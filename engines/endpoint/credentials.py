"""The key of a server: read from the environment, sent in one header, and masked everywhere else."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from core.errors import ConfigError
from core.notices import warn

OPENAI_HOST, _OPENAI_VARIABLE = "api.openai.com", "OPENAI_API_KEY"
_MASK = "***"
_SHORTEST_SECRET = 8
"""Characters from which a key is masked: shorter ones are words such as `none` or `ollama`, not secrets."""
_NOT_SECRET = frozenset(
    {"none", "empty", "dummy", "ollama", "lm-studio", "no-key-required", "sk-no-key-required"}
)
"""Keys that are written where a server asks for none."""


@dataclass(frozen=True)
class Credentials:
    """The key of a server, which neither `repr` nor a message shows."""

    key: str | None = field(default=None, repr=False)
    variable: str | None = None
    """Environment variable that the key is from."""

    @property
    def headers(self) -> dict[str, str]:
        """Headers that carry the key."""
        return {} if self.key is None else {"Authorization": f"Bearer {self.key}"}

    def mask(self, text: str) -> str:
        """Return a text of the server without the key, in case the server repeats it."""
        key = self.key
        if key is None or len(key) < _SHORTEST_SECRET or key.lower() in _NOT_SECRET:
            return text
        for form in {key, quote(key, safe=""), key.replace("/", "\\/")}:
            text = text.replace(form, _MASK)
        return text


def travels_openly(url: str) -> bool:
    """Return True if what is sent to an address crosses the internet without encryption."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "http" or host == "localhost" or "." not in host.strip("."):
        return (
            parts.scheme == "http" and ":" in host and ipaddress.ip_address(host.partition("%")[0]).is_global
        )
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return not host.endswith((".local", ".localhost", ".internal", ".lan"))


def credentials_for(
    url: str, variable: str | None, environment: Mapping[str, str] = os.environ
) -> Credentials:
    """Return the key of a server.

    Args:
        url: the server's address.
        variable: environment variable that holds the key. None is no key, but for OpenAI's own server, whose
            usual variable is read.
        environment: the environment.

    Raises:
        ConfigError: if the variable is not set, or its value cannot be sent in a header.
    """
    if variable is None:
        if urlsplit(url).hostname != OPENAI_HOST or _OPENAI_VARIABLE not in environment:
            return Credentials()
        variable = _OPENAI_VARIABLE
    key = environment.get(variable, "").strip()
    if not key:
        raise ConfigError(
            f"the environment variable {variable} is not set",
            where="engine.api_key_env",
            accepted="the name of a variable that holds the server's key",
            run=f"export {variable}=KEY",
        )
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(
            f"the key in {variable} has characters that no header can carry",
            where="engine.api_key_env",
            accepted="letters, digits and ASCII punctuation on one line",
        )
    if travels_openly(url):
        warn(f"{url}: the key in {variable} is sent without encryption; use https:// if the server has it")
    return Credentials(key, variable)

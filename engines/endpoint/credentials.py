"""The key of a server: read from the environment, sent in one header, and masked everywhere else."""

from __future__ import annotations

import base64
import functools
import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html.entities import html5
from typing import Any
from urllib.parse import urlsplit

from core.errors import ConfigError, shell_command
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
        """Return a text of the server without the key, in case the server repeats it in some encoding."""
        key = self.key
        if key is None or len(key) < _SHORTEST_SECRET or key.lower() in _NOT_SECRET:
            return text
        if len(text) < len(key):  # no encoding is shorter
            return text
        text = text.replace(key, _MASK)
        if _ESCAPES.search(text):
            text = _escaped(key).sub(_MASK, text)
        for encoded in (_in_base64(key), _in_hex(key)):
            text = encoded.sub(_MASK, text)
        return text

    def masked(self, value: Any) -> Any:
        """Return a JSON value without the key in any of its texts."""
        return value if self.key is None else masked_in(value, self.mask)


def masked_in(value: Any, mask: Callable[[str], str]) -> Any:
    """Return a JSON value with each text in it, names of fields too, replaced by what `mask` returns."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, list):
        return [masked_in(part, mask) for part in value]
    if isinstance(value, dict):
        return {mask(name): masked_in(part, mask) for name, part in value.items()}
    return value


_ESCAPES = re.compile(r"[\\%&]")
_ENTITIES: dict[str, list[str]] = {}
for _name, _character in html5.items():
    _ENTITIES.setdefault(_character, []).append(_name.removesuffix(";"))


@functools.cache
def _escaped(key: str) -> re.Pattern[str]:
    """Return a pattern of the key with any of its characters as an escape of JSON, HTML or addresses."""
    return re.compile("".join(f"(?:{_forms_of(character)})" for character in key))


def _forms_of(character: str) -> str:
    code = ord(character)
    names = "|".join(sorted(map(re.escape, set(_ENTITIES.get(character, []))), key=len, reverse=True))
    forms = [
        re.escape(character),
        rf"(?i:\\(?:u00|x){code:02x}|%(?:25){{0,4}}{code:02x})",
        rf"(?i:&(?:amp;){{0,4}}#(?:0{{0,8}}{code}|x0{{0,8}}{code:x});?)",
    ]
    if names:
        forms.append(rf"&(?:amp;){{0,4}}(?:{names});?")
    return rf"\\{{0,8}}(?:{'|'.join(forms)})"  # bounded, or long runs would take quadratic time


@functools.cache
def _in_base64(key: str) -> re.Pattern[str]:
    """Return a pattern of base64 text that has the key in it, such as that of `Basic` authentication.

    Three bytes become four characters, so there are three forms, by the number of bytes before the key. The
    characters at both ends depend on what is beside it.
    """
    forms = set()
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + key.encode())
        complete = (before + len(key)) // 3 * 4
        forms.add(encoded[-(-before * 4 // 3) : complete].decode("ascii"))
    found = "|".join(re.escape(form).replace(r"\+", "[+-]").replace("/", "[/_]") for form in sorted(forms))
    return re.compile(rf"(?:{found})[A-Za-z0-9+/_=-]*")


@functools.cache
def _in_hex(key: str) -> re.Pattern[str]:
    return re.compile(key.encode().hex(), re.IGNORECASE)


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


def lacks_key(variable: str | None, environment: Mapping[str, str] = os.environ) -> bool:
    """Return True if a setting names a variable for the key of a server and nothing is in it."""
    return variable is not None and not environment.get(variable, "").strip()


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
        # A key in place of a name would be repeated otherwise.
        named = variable if variable.isupper() else "of this name"
        raise ConfigError(
            f"the environment variable {named} is not set",
            where="engine.api_key_env",
            accepted="the name of a variable that holds the server's key",
            run=f"export {shell_command(variable)}=KEY" if variable.isupper() else None,
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

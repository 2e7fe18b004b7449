"""Keys in a text: tokens in the forms of well-known services, private keys, passwords, and given values.

The forms are those that the services publish for secret scanning. A key without a prefix of its own, such as
32 hexadecimal digits, is found only beside a name such as `api_key`. What is found is named, never repeated.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import log2
from typing import NamedTuple


@dataclass(frozen=True)
class _Form:
    """The form of a kind of key."""

    kind: str
    clues: tuple[str, ...]
    """A line with none of these, in lower case, has no such key. Looking for them is fast."""
    expression: str
    has_digits: bool = False
    """True if words can have this form too, so that only a text with digits is a key."""
    is_certain: bool = False
    """True if whatever has this form is a key."""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The expression, compiled."""
        return re.compile(self.expression)


_NAMES = (
    r"(?i:api[_-]?key|access[_-]?key|secret[_-]?key|secret|auth[_-]?token|access[_-]?token|password|passwd)"
)
_FORMS = (
    _Form("a Hugging Face token", ("hf_", "api_org_"), r"\bhf_[A-Za-z0-9]{30,}|\bapi_org_[A-Za-z]{34}"),
    _Form("an API key (sk-...)", ("sk-",), r"\bsk-[A-Za-z0-9_-]{24,}", has_digits=True),
    _Form(
        "an API key of a model provider",
        ("gsk_", "xai-", "pplx-", "r8_", "nvapi-", "tgp_v1_", "fw_", "csk-"),
        r"\b(?:gsk_|xai-|pplx-|r8_|nvapi-|tgp_v1_|fw_|csk-)[A-Za-z0-9_-]{24,}",
        has_digits=True,
    ),
    _Form(
        "a GitHub token",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        r"\bgh[pousr]_[A-Za-z0-9]{36,}|\bgithub_pat_[A-Za-z0-9_]{50,}",
    ),
    _Form("a GitLab token", ("glpat-",), r"\bglpat-[A-Za-z0-9_-]{20,}"),
    _Form("an AWS access key", ("akia", "asia", "abia", "acca"), r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b"),
    _Form("a Google API key", ("aiza", "gocspx-"), r"\bAIza[A-Za-z0-9_-]{35}|\bGOCSPX-[A-Za-z0-9_-]{28}"),
    _Form(
        "a Slack token",
        ("xox", "hooks.slack.com"),
        r"\bxox[abeoprs]-[A-Za-z0-9-]{20,}|\bhooks\.slack\.com/services/T[A-Z0-9]+/B[A-Z0-9]+/\w+",
    ),
    _Form("a Stripe key", ("k_live_", "k_test_"), r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{20,}"),
    _Form("a SendGrid key", ("sg.",), r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    _Form("a PyPI token", ("pypi-age",), r"\bpypi-AgE[A-Za-z0-9_-]{50,}"),
    _Form("an npm token", ("npm_",), r"\bnpm_[A-Za-z0-9]{36}"),
    _Form(
        "a private key",
        ("private key",),
        r"-----BEGIN (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----",
        is_certain=True,
    ),
    _Form(
        "a JSON Web Token",
        ("eyj",),
        r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
    ),
    _Form(
        "a header with a key",
        ("bearer ", "basic "),
        r"(?i:\bbearer|\bauthorization: ?basic) +[A-Za-z0-9._~+/=-]{20,}",
        has_digits=True,
    ),
    _Form(
        "a password in an address",
        ("://",),
        r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@\"'<>]{1,60}:[^\s:/@\"'<>]{8,100}@",
        has_digits=True,
    ),
    _Form(
        "the value of a key",
        ("key", "secret", "token", "passw"),
        _NAMES + r"(?:\\?[\"'])? ?(?::|=|=>|:=) ?(?:\\?[\"'])?[A-Za-z0-9_./+=-]{20,}",
        has_digits=True,
    ),
)
_PLACEHOLDERS = re.compile(
    r"(?i)example|placeholder|your|x{4,}|dummy|redacted|\.\.\.|\*{3}|<|>|changeme|123456789"
)
_VALUE = re.compile(r"[A-Za-z0-9_./+=-]{8,}")
_LEAST_BITS = 3.0
"""Entropy of a key, in bits per character: random keys have 3.2 and more, repeated letters have less."""


class FoundKey(NamedTuple):
    """A key in a text, by its place and kind."""

    line: int
    """Number of the line, from 1."""
    kind: str
    """What it is, such as `a Hugging Face token`."""


def keys_in(text: bytes, known: Mapping[str, str] | None = None) -> list[FoundKey]:
    """Return the first key of each line that has one, by line.

    Args:
        text: the text in UTF-8; other bytes are no error.
        known: values that are keys whatever their form, by what they are.
    """
    lowered = text.lower()  # of ASCII letters alone, so that places are the same
    found: dict[int, str] = {}
    for kind, value in (known or {}).items():
        for start, _ in _lines_with(value.encode(), text):
            found.setdefault(start, kind)
    for form in _FORMS:
        for clue in form.clues:
            for start, end in _lines_with(clue.encode(), lowered):
                if start not in found and _has(text[start:end].decode("utf-8", "replace"), form):
                    found[start] = form.kind
    return [FoundKey(1 + text.count(b"\n", 0, start), found[start]) for start in sorted(found)]


def _lines_with(part: bytes, text: bytes) -> Iterator[tuple[int, int]]:
    """Yield begin and end of each line that has a part."""
    at = text.find(part)
    while at >= 0:
        end = text.find(b"\n", at)
        end = len(text) if end < 0 else end
        yield text.rfind(b"\n", 0, at) + 1, end
        at = text.find(part, end)


def _has(line: str, form: _Form) -> bool:
    return any(form.is_certain or _is_random(match[0], form) for match in form.pattern.finditer(line))


def _is_random(found: str, form: _Form) -> bool:
    """Return True unless a text in the form of a key is a placeholder, words, or a repeated letter."""
    if _PLACEHOLDERS.search(found):
        return False
    value = max(_VALUE.findall(found), key=len, default=found)
    is_mixed = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
    return (is_mixed or not form.has_digits) and _bits(value) >= _LEAST_BITS


def _bits(text: str) -> float:
    """Return the entropy of a text's characters, in bits per character."""
    shares = [count / len(text) for count in Counter(text).values()]
    return -sum(share * log2(share) for share in shares)

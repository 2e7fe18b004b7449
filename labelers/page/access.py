"""Who may see the page: two secret tokens, cookies signed with them, and names of people.

The link holds the token behind a `#`, which browsers send to no server. The page trades it for a cookie that
scripts cannot read and other sites cannot send. The cookie is a name with a keyed digest, so that it outlives
a restart without a list of sessions.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from core.errors import ConfigError, DataError, RunStateError
from core.store.files import os_errors, write_atomic

_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,128}")
_NAME = re.compile(r"\w[\w .@+-]{0,39}")
_OWNER = " owner"
"""No person can be called so: names begin with a letter or digit."""


@dataclass(frozen=True)
class Access:
    """The two tokens of a collection: who compares, and who only reads the figures."""

    token: str
    owner_token: str

    @property
    def cookie(self) -> str:
        """Name of the cookie; other collections on this host have another."""
        return f"publius_{hashlib.sha256(self.owner_token.encode()).hexdigest()[:12]}"

    @property
    def owner_cookie(self) -> str:
        """Name of the owner's cookie, so that the owner can compare too."""
        return f"{self.cookie}_owner"

    def lets_in(self, token: str) -> bool:
        """Return whether this is the token of people who compare, in constant time."""
        return _same(token, self.token)

    def lets_owner_in(self, token: str) -> bool:
        """Return whether this is the owner's token, in constant time."""
        return _same(token, self.owner_token)

    def sign(self, name: str) -> str:
        """Return the cookie of a person."""
        return f"{base64.urlsafe_b64encode(name.encode()).decode()}.{_mark(self.token, name)}"

    def sign_owner(self) -> str:
        """Return the cookie of the owner."""
        return _mark(self.owner_token, _OWNER)

    def annotator_of(self, cookie: str | None) -> str | None:
        """Return whose cookie it is, or None if it is not one of ours."""
        encoded, _, mark = (cookie or "").partition(".")
        try:
            name = base64.urlsafe_b64decode(encoded.encode()).decode()
        except (binascii.Error, ValueError):
            return None
        return name if _same(mark, _mark(self.token, name)) else None

    def is_owner(self, cookie: str | None) -> bool:
        """Return whether it is the owner's cookie."""
        return _same(cookie or "", self.sign_owner())


def _mark(token: str, name: str) -> str:
    return hmac.new(token.encode(), name.encode(), hashlib.sha256).hexdigest()


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())


def clean_name(given: str) -> str:
    """Return a person's name as records hold it: one spelling, small letters, single spaces.

    Raises:
        DataError: it is no name.
    """
    name = " ".join(unicodedata.normalize("NFC", given).split()).casefold()
    if not _NAME.fullmatch(name):
        raise DataError(
            "this name cannot be used",
            accepted="1 to 40 letters, digits, spaces and . _ - @ +, a letter first",
        )
    return name


def open_access(path: Path, token: str | None) -> Access:
    """Return the tokens of a collection: those in its folder, or new ones that only this user can read.

    Args:
        path: the file in the folder.
        token: the token that the user wants people to have, in place of the one in the file.

    Raises:
        ConfigError: the token is too short to be a secret.
        RunStateError: the file is broken.
    """
    if token is not None and not _TOKEN.fullmatch(token):
        raise ConfigError(
            f"a token of {len(token)} characters",
            where="--token",
            accepted="16 to 128 letters, digits, - and _",
        )
    kept = _read(path)
    new = kept or {"owner_token": secrets.token_urlsafe(24), "token": secrets.token_urlsafe(24)}
    new = {"schema_version": "1", **new}
    if token is not None:
        new["token"] = token
    if new != kept:
        write_atomic(path, json.dumps(new, indent=2) + "\n", mode=0o600)  # for this user alone
    return Access(new["token"], new["owner_token"])


def _read(path: Path) -> dict[str, str] | None:
    with os_errors(path):
        if not path.exists():
            return None
        text = path.read_bytes()
    try:
        kept = json.loads(text)
        if all(isinstance(kept[key], str) for key in ("token", "owner_token")):
            return dict(kept)
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    raise RunStateError(
        "this file does not hold the tokens of the page",
        where=str(path),
        accepted="the file as the page wrote it, or none: people then need a new link",
        run=f"rm {path}",
    )

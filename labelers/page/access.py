"""Access control of the page: two secret tokens, cookies signed with them, and annotators' names.

The link has the token in its fragment, after the `#`, which browsers do not send to servers. The page
exchanges it for a cookie that scripts cannot read and other sites cannot send. The cookie is a name with an
HMAC, so it remains valid across restarts without a list of sessions.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from core.errors import ConfigError, DataError, RunStateError, shell_command
from core.store.files import os_errors, write_atomic
from core.text.names import folded_name

_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,128}")
_NAME = re.compile(r"\w[\w .@+-]{0,39}")
_OWNER = " owner"
"""Signed for the owner's cookie; not a valid annotator name, which cannot begin with a space."""


@dataclass(frozen=True)
class Access:
    """The two tokens of a collection: one for annotators, one for the owner, who only reads the metrics."""

    token: str
    owner_token: str

    @property
    def cookie(self) -> str:
        """Name of the annotators' cookie, different for each collection on a host."""
        return f"publius_{hashlib.sha256(self.owner_token.encode()).hexdigest()[:12]}"

    @property
    def owner_cookie(self) -> str:
        """Name of the owner's cookie, different from the annotators' so the owner can annotate too."""
        return f"{self.cookie}_owner"

    def is_annotator_token(self, token: str) -> bool:
        """Return whether this is the annotators' token, compared in constant time."""
        return _same(token, self.token)

    def is_owner_token(self, token: str) -> bool:
        """Return whether this is the owner's token, compared in constant time."""
        return _same(token, self.owner_token)

    def sign(self, name: str) -> str:
        """Return the cookie value of an annotator."""
        return f"{base64.urlsafe_b64encode(name.encode()).decode()}.{_mark(self.token, name)}"

    def sign_owner(self) -> str:
        """Return the cookie value of the owner."""
        return _mark(self.owner_token, _OWNER)

    def annotator_of(self, cookie: str | None) -> str | None:
        """Return the annotator of a cookie, or None if the cookie is not valid."""
        encoded, _, mark = (cookie or "").partition(".")
        try:
            name = base64.urlsafe_b64decode(encoded.encode()).decode()
        except (binascii.Error, ValueError):
            return None
        return name if _same(mark, _mark(self.token, name)) else None

    def is_owner(self, cookie: str | None) -> bool:
        """Return whether this is the owner's cookie."""
        return _same(cookie or "", self.sign_owner())


def _mark(token: str, name: str) -> str:
    return hmac.new(token.encode(), name.encode(), hashlib.sha256).hexdigest()


def _same(given: str, expected: str) -> bool:
    # As bytes, since compare_digest rejects text that is not ASCII and a client may send anything.
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())


def clean_name(given: str) -> str:
    """Return an annotator's name as stored in records: NFKC-normalised, lower case, single spaces.

    Raises:
        DataError: if it is not a valid name.
    """
    name = folded_name(given)
    if not _NAME.fullmatch(name):
        raise DataError(
            "this name cannot be used",
            accepted="1 to 40 letters, digits, spaces and . _ - @ +, beginning with a letter or digit",
        )
    return name


def open_access(path: Path, token: str | None) -> Access:
    """Return the tokens of a collection: those in its folder, or new ones in a file only this user can read.

    Args:
        path: the file in the folder.
        token: the annotators' token chosen by the user, which replaces the one in the file.

    Raises:
        ConfigError: if the token is too short to be secret, or has invalid characters.
        RunStateError: if the file is damaged.
    """
    if token is not None and not _TOKEN.fullmatch(token):
        raise ConfigError(
            f"invalid token of {len(token)} characters",
            where="--token",
            accepted="16 to 128 letters, digits, - and _",
        )
    stored = _read(path)
    new = stored or {"owner_token": secrets.token_urlsafe(24), "token": secrets.token_urlsafe(24)}
    new = {"schema_version": "1", **new}
    if token is not None:
        new["token"] = token
    if new != stored:
        write_atomic(path, json.dumps(new, indent=2) + "\n", mode=0o600)  # readable by this user only
    return Access(new["token"], new["owner_token"])


def _read(path: Path) -> dict[str, str] | None:
    with os_errors(path):
        if not path.exists():
            return None
        text = path.read_bytes()
    try:
        stored = json.loads(text)
        if all(isinstance(stored[key], str) for key in ("token", "owner_token")):
            return dict(stored)
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    raise RunStateError(
        "this file does not have the page's tokens",
        where=str(path),
        accepted="an intact file, or no file (annotators then need a new link)",
        run=shell_command("rm", path),
    )

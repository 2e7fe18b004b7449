"""Why one try of a request failed: what may be tried again, and what ends the request or the run."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from core.terminal.inert import inert
from engines.endpoint.credentials import masked_in

Cause = Literal["fault", "overload", "unreachable"]
"""`overload`: the server has too much to do. `unreachable`: nothing listens. `fault`: all else."""

_MAX_TEXT = 300
"""Characters of a server's message in ours."""
_MAX_WAIT_S = 120.0
"""Longest wait that a server may ask for; the run's own limit on an outage decides after it."""


class TryFailedError(Exception):
    """One try of a request failed, for a reason that may pass. It is counted and the request sent again.

    Args:
        reason: the reason under which such tries are counted, without details of one of them.
        detail: the server's own words.
        cause: what the failure says about the server.
        wait_s: seconds that the server asked to wait; None if it did not.
    """

    def __init__(
        self, reason: str, detail: str = "", cause: Cause = "fault", wait_s: float | None = None
    ) -> None:
        super().__init__(f"{reason} ({detail})" if detail else reason)
        self.reason, self.detail, self.cause, self.wait_s = reason, detail, cause, wait_s


@dataclass(frozen=True, slots=True)
class ServerMessage:
    """An error in a server's own words: OpenAI's form, FastAPI's `detail`, or plain text."""

    text: str
    """The message, on one line and shortened."""
    code: str = ""
    """Type and code of the error, such as `invalid_request_error insufficient_quota`."""
    fields: frozenset[str] = frozenset()
    """Fields of the request that the server names apart from its message."""
    status: int | None = None
    """Status that is repeated in the body, as servers do that forward the error of another one."""
    is_page: bool = False
    """True if it is HTML: a proxy's, and not the server's own."""


class RefusedError(Exception):
    """The server refused a request for good (400, 401, 403, 404, 413, 422): the same one would fail again."""

    def __init__(self, status: int, message: ServerMessage) -> None:
        super().__init__(f"{status}: {message.text}")
        self.status, self.message = status, message


def message_in(body: str, mask: Callable[[str], str] = str) -> ServerMessage:
    """Return the error in the body of a response.

    Args:
        body: the body.
        mask: returns a text without the key. It is applied to texts as they are read, before they are cut.
    """
    try:
        value = masked_in(json.loads(body), mask)
    except (ValueError, RecursionError):
        return ServerMessage(_shown(_without_tags(mask(body)), mask), is_page=body.lstrip()[:1] == "<")
    error = value.get("error", value) if isinstance(value, dict) else value
    if isinstance(error, str):
        return ServerMessage(_shown(error, mask))
    if not isinstance(error, dict):
        return ServerMessage(_shown(body, mask))
    detail = error.get("detail")
    fields = {str(error["param"])} if error.get("param") else set()
    if isinstance(detail, list):  # of pydantic: a list of errors, each with the place of its field
        places = [
            entry["loc"] for entry in detail if isinstance(entry, dict) and isinstance(entry.get("loc"), list)
        ]
        fields |= {str(part) for place in places for part in place}
    text = error.get("message") or detail or error.get("error") or body
    code = " ".join(str(error[name]) for name in ("type", "code") if error.get(name))
    status = error.get("code") or error.get("status")
    return ServerMessage(
        _shown(text if isinstance(text, str) else json.dumps(text), mask),
        code,
        frozenset(fields),
        status if isinstance(status, int) else None,
    )


def _shown(text: str, mask: Callable[[str], str]) -> str:
    """Return a text as it is shown, without the key even where characters that are not shown part it."""
    return shortened(mask(inert(text)))


def shortened(text: str) -> str:
    """Return a text on one line, without characters that a terminal obeys, cut where it is long."""
    line = " ".join(inert(text).split())
    return line if len(line) <= _MAX_TEXT else line[:_MAX_TEXT] + "…"


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Return the seconds that a response asks to wait, bounded; None if it asks for nothing that is readable.

    Args:
        headers: the response's headers. `retry-after-ms` is OpenAI's; `Retry-After` is a number of seconds
            or a date (RFC 9110, section 10.2.3).
        now: the time as by `time.time`.
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) / unit
        except ValueError:
            seconds = _until(value, time.time() if now is None else now)
        if math.isfinite(seconds):
            return min(max(seconds, 0.0), _MAX_WAIT_S)
    return None


def _until(date: str, now: float) -> float:
    try:
        return parsedate_to_datetime(date).timestamp() - now
    except (ValueError, TypeError, OverflowError, OSError):
        return math.nan


def _without_tags(body: str) -> str:
    """Return the text of an HTML page, of which a server may say only its title."""
    title = re.search(r"<title[^>]{0,200}>([^<]{1,500})", body[:20_000], re.IGNORECASE)
    return title[1] if title else re.sub(r"<[^>]{0,500}>", " ", body[:5_000])


def mapping_in(value: Any) -> Mapping[str, Any]:
    """Return a JSON value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def counted_tokens(value: Any) -> int:
    """Return a number of tokens that a server reports; 0 if it is missing or is not a count."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9 else 0

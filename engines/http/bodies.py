"""Read the body of a response: bounded, decoded strictly, and as a JSON object or a named fault."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from core.errors import PubliusError, RequestError, on_one_line
from engines.endpoint.credentials import Credentials
from engines.http.faults import (
    RefusedError,
    ServerMessage,
    TryFailedError,
    message_in,
    retry_after,
    shortened,
)

MAX_RESPONSE_BYTES = 32 * 2**20
"""Most bytes of a body, decompressed: an answer of 100,000 tokens with log-probabilities has less."""

_OVERLOADED = frozenset({429, 503, 529})
_RETRIED = frozenset({408, 409, 425})
"""Status codes below 500 that may pass: timed out, conflict, too early."""
_NOT_IMPLEMENTED = 501
"""vLLM's answer where a route exists but the model cannot answer it: trying again does not help."""
_SPENT = ("insufficient_quota", "billing_hard_limit", "credit balance")
"""What servers write with 429 when waiting does not help: the account is empty."""
_NAMES = {
    408: "408 Request Timeout",
    429: "429 Too Many Requests",
    500: "500 Internal Server Error",
    502: "502 Bad Gateway",
    503: "503 Service Unavailable",
    504: "504 Gateway Timeout",
    529: "529 Overloaded",
}

_Answer = TypeVar("_Answer")


def encoded(body: Any) -> bytes:
    """Return the body of a request as JSON.

    Raises:
        RequestError: if a text in it is not valid Unicode.
    """
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise RequestError("the prompt is not valid Unicode", detail=on_one_line(error)) from None


async def read_body(response: Any) -> bytes:
    """Return the decompressed body of a streamed response.

    Raises:
        TryFailedError: if it is longer than `MAX_RESPONSE_BYTES`; the rest is not read.
    """
    too_long = TryFailedError("response too large", f"more than {MAX_RESPONSE_BYTES // 2**20} MiB")
    declared = response.headers.get("content-length", "")
    if (
        declared.isascii()
        and declared.isdigit()
        and len(declared) < 20
        and int(declared) > MAX_RESPONSE_BYTES
    ):
        raise too_long
    parts, size = [], 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > MAX_RESPONSE_BYTES:
            raise too_long
        parts.append(part)
    return b"".join(parts)


def object_in(response: Any, body: bytes, credentials: Credentials) -> dict[str, Any]:
    """Return the JSON object of a response, without the key in any of its texts.

    Raises:
        TryFailedError: if the server failed in a way that may pass, or the body is not a JSON object.
        RefusedError: if the server refused the request for good.
    """
    status = response.status_code
    if status // 100 == 3:
        raise TryFailedError("redirected", credentials.mask(_target(response)))
    if status // 100 != 2:
        text = body.decode("utf-8", errors="replace")
        raise _error(status, message_in(text, credentials.mask), retry_after(response.headers))
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise TryFailedError("response is not UTF-8") from None
    try:
        # After it is parsed: in JSON, any character may be written as an escape.
        value = credentials.masked(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise TryFailedError(*_misfit(credentials.mask(text), error)) from None
    if not isinstance(value, dict):
        raise TryFailedError("response is not a JSON object", type(value).__name__)
    if value.get("error"):  # some servers forward the error of another one with status 200
        message = message_in(text, credentials.mask)
        raise _error(message.status or 500, message, retry_after(response.headers))
    return value


def answer_in(value: dict[str, Any], read: Callable[[dict[str, Any]], _Answer]) -> _Answer:
    """Return what `read` makes of a response.

    Raises:
        TryFailedError: if a value in the response is one that nobody foresaw, such as a number without end.
    """
    try:
        return read(value)
    except PubliusError:
        raise
    except (ValueError, ArithmeticError, RecursionError) as error:  # others are faults of ours
        detail = shortened(f"{type(error).__name__}: {on_one_line(error)}")
        raise TryFailedError("response cannot be read", detail) from None


def _error(status: int, message: ServerMessage, wait_s: float | None) -> Exception:
    if status == 429 and any(word in f"{message.code} {message.text}".lower() for word in _SPENT):
        return RefusedError(402, message)
    if status in _OVERLOADED:
        return TryFailedError(_NAMES.get(status, str(status)), message.text, "overload", wait_s)
    if status in _RETRIED or (status >= 500 and status != _NOT_IMPLEMENTED) or status < 400:
        return TryFailedError(_NAMES.get(status, str(status)), message.text, wait_s=wait_s)
    return RefusedError(status, message)


def _misfit(text: str, error: Exception) -> tuple[str, str]:
    """Return why a text is not JSON, and the details."""
    start = text.lstrip()[:1]
    if not start:
        return "empty response", ""
    if start == "<":
        return "HTML instead of JSON", message_in(text).text
    if start in "{[" and isinstance(error, json.JSONDecodeError) and _ends_early(text, error):
        return "truncated JSON", ""
    return "response is not JSON", on_one_line(error)[:80]


def _ends_early(text: str, error: json.JSONDecodeError) -> bool:
    return error.msg.startswith("Unterminated string") or error.pos >= len(text.rstrip()) - 1


def _target(response: Any) -> str:
    """Return the host of a redirection; its path and query may hold a secret."""
    url = response.next_request.url if response.next_request is not None else None
    return (
        f"to {url.scheme}://{url.netloc.decode('ascii', 'replace')}"
        if url is not None
        else "without a target"
    )

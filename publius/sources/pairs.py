"""`publius label --pairs FILE`: comparisons from pairs that were not made by a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from core.conversations import shared_start
from core.errors import DataError
from core.records import Comparison, Message, Prompt
from core.store.jsonl import Unreadable, json_value, numbered, read_errors
from prompts.sources import row_tags

_READ = {"prompt", "chosen", "rejected", "response_a", "response_b", "tags"}
_MESSAGES = TypeAdapter(tuple[Message, ...])
_ACCEPTED = (
    '.jsonl with {"prompt", "chosen", "rejected"} or {"prompt", "response_a", "response_b"} on each line, '
    "each text or a list of messages; or whole conversations as chosen and rejected"
)


def read_pairs(path: Path, unread: set[str] | None = None) -> Iterator[Comparison]:
    """Yield the comparisons of a `.jsonl` file of pairs.

    Args:
        path: the file.
        unread: gets the names of the columns that are not read.

    Raises:
        DataError: at the first line that is not a pair, with the file and line.
    """
    empty = True
    with read_errors(path, _ACCEPTED), path.open(encoding="utf-8") as file:
        for number, line in numbered(file):
            empty = False
            where, row = f"{path}:{number}", json_value(line.rstrip("\r\n"))
            if isinstance(row, Unreadable):
                raise DataError(str(row), where=where, accepted=_ACCEPTED)
            yield _comparison(row, where, path.stem)
            if unread is not None:
                unread.update(map(str, set(row) - _READ))
    if empty:
        raise DataError("the file has no pairs", where=str(path), accepted=_ACCEPTED)


def _comparison(row: Any, where: str, source: str) -> Comparison:
    try:
        names = ("chosen", "rejected") if "chosen" in row else ("response_a", "response_b")
        first, second = (_messages(row[name], "assistant") for name in names)
        prompt = _messages(row["prompt"], "user") if "prompt" in row else first[: shared_start(first, second)]
        answers = [
            conversation[len(prompt) :] if "prompt" not in row else conversation
            for conversation in (first, second)
        ]
        if any(len(answer) != 1 or answer[0].role != "assistant" for answer in answers):
            raise ValueError("the two sides must differ only in the last message, an assistant's answer")
        asked = Prompt.of(prompt, tags=row_tags(row), source=source)
        one, two = (answer[0].content for answer in answers)
        return Comparison.of(asked, (one, names[0]), (two, names[1]), group=where)
    except ValidationError as error:
        raise DataError(
            error.errors()[0]["msg"].removeprefix("Value error, "), where=where, accepted=_ACCEPTED
        ) from error
    except KeyError as error:
        raise DataError(f"the column {error} is missing", where=where, accepted=_ACCEPTED) from error
    except (TypeError, ValueError) as error:
        raise DataError(str(error), where=where, accepted=_ACCEPTED) from error


def _messages(value: Any, role: str) -> tuple[Message, ...]:
    """Return a column's value as messages. A string becomes one message of the given role."""
    if isinstance(value, str):
        return _MESSAGES.validate_python([{"role": role, "content": value}])
    return _MESSAGES.validate_python(value)

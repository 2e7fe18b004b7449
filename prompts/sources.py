"""Prompt files: reading, validation line by line, and assignment of splits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from core.digests import derive_uniform
from core.errors import DataError
from core.records import Message, Prompt, Split
from core.store.jsonl import Unreadable, decoded, json_value, numbered, read_errors
from core.store.seen_ids import SeenIds

_MESSAGES = TypeAdapter(tuple[Message, ...])
_ACCEPTED = (
    '.jsonl with {"prompt": "..."} or {"messages": [...]} on each line, optionally tags, source and split; '
    "or .txt with one prompt per line"
)
_SPLITS: tuple[Split, ...] = ("train", "preference", "test")


def read_prompts(path: Path) -> Iterator[Prompt]:
    """Yield the prompts of a `.jsonl` or `.txt` file; unknown columns are ignored.

    Raises:
        DataError: at the first line that is not a prompt, with the file and line.
    """
    if path.suffix not in {".jsonl", ".txt"}:
        raise DataError(
            f"unsupported file type: {path.suffix or 'no extension'}",
            where=str(path),
            accepted=_ACCEPTED,
        )
    empty = True
    for number, line in _lines(path):
        empty = False
        where = f"{path}:{number}"
        yield _from_text(line, path, where) if path.suffix == ".txt" else _from_json(line, path, where)
    if empty:
        raise DataError("the file contains no prompts", where=str(path), accepted=_ACCEPTED)


def assign_split(prompt: Prompt, shares: Mapping[Split, float]) -> Prompt:
    """Return the prompt with a split: its own if it has one, else by the hash of its normalised text.

    Prompts that differ only in case, spacing or punctuation get the same split, to prevent leakage from
    training into the test split.

    Args:
        prompt: the prompt.
        shares: share of prompts by split; the shares sum to 1.
    """
    if prompt.split is not None:
        return prompt
    point = derive_uniform("split", normalised(prompt.messages))
    bound = 0.0
    for split in _SPLITS:
        bound += shares.get(split, 0.0)
        if point < bound:
            return prompt.model_copy(update={"split": split})
    return prompt.model_copy(update={"split": max(shares, key=lambda split: shares[split])})


class Admission(NamedTuple):
    """A prompt of a file with its split, and the reason if a run skips it."""

    prompt: Prompt
    reason: str = ""
    """Reason why the prompt is skipped; empty if the run uses it."""
    detail: str = ""


def admissions(path: Path, shares: Mapping[Split, float], limit: int | None) -> Iterator[Admission]:
    """Yield every prompt of a file, with a reason for each that a run skips.

    Args:
        path: the file.
        shares: share of prompts by split, as in `assign_split`.
        limit: maximum number of prompts outside the test split; None for all.
    """
    training = 0
    with SeenIds() as seen:
        for number, row in enumerate(read_prompts(path), start=1):
            prompt = assign_split(row, shares)
            if not seen.add(prompt.id):
                yield Admission(prompt, "duplicate prompt", f"prompt {number}")
                continue
            if prompt.split != "test":
                if limit is not None and training >= limit:
                    yield Admission(prompt, "beyond prompts.limit")
                    continue
                training += 1
            yield Admission(prompt)


def normalised(messages: Sequence[Message]) -> str:
    """Return the words of all messages, case-folded, with single spaces and no punctuation."""
    text = "\n".join(message.content for message in messages)
    return " ".join(re.findall(r"\w+", text.casefold()))


def row_tags(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the tags of a row; a single word is a list of one tag."""
    tags = row.get("tags") or ()
    return (tags,) if isinstance(tags, str) else tuple(tags)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with read_errors(path, _ACCEPTED), path.open("rb") as file:
        for number, line in numbered(file):
            text = decoded(line)
            if isinstance(text, Unreadable):
                raise DataError(str(text), where=f"{path}:{number}", accepted=_ACCEPTED)
            if text.strip():  # also skips lines of Unicode white space
                yield number, text


def _from_text(line: str, path: Path, where: str) -> Prompt:
    return _build((Message(role="user", content=line.strip()),), {}, path, where)


def _from_json(line: str, path: Path, where: str) -> Prompt:
    row = json_value(line.rstrip("\r\n"))
    if isinstance(row, Unreadable):
        raise DataError(str(row), where=where, accepted=_ACCEPTED)
    content = row.get("messages", row.get("prompt")) if isinstance(row, dict) else None
    if isinstance(content, str):
        return _build((Message(role="user", content=content),), row, path, where)
    if not isinstance(content, list):
        raise DataError(f"found {line.strip()[:60]!r}", where=where, accepted=_ACCEPTED)
    try:
        messages = _MESSAGES.validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError(
            f"messages.{place}: {first['msg']}",
            where=where,
            accepted='messages like {"role": "user", "content": "..."}',
        ) from error
    return _build(messages, row, path, where)


def _build(messages: tuple[Message, ...], row: Mapping[str, Any], path: Path, where: str) -> Prompt:
    try:
        prompt = Prompt.of(
            messages,
            tags=row_tags(row),
            source=row.get("source") or path.stem,
            split=row.get("split"),
        )
        prompt.to_line()
    except TypeError as error:
        raise DataError(f"tags is {row['tags']!r}", where=where, accepted="a list of words") from error
    except PydanticSerializationError as error:  # JSON can encode it, but UTF-8 record files cannot
        what = "the text contains an unpaired surrogate"
        raise DataError(what, where=where, accepted="valid Unicode text") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "messages"
        message = first["msg"].removeprefix("Value error, ")
        raise DataError(f"{place}: {message}", where=where, accepted=_ACCEPTED) from error
    return prompt

"""Exports of chats: lines with a time, a name and a text, as WhatsApp and other programs write them.

A file is one if its first lines say so by themselves. Lines without a time then continue the message above
them. Who asks and who answers is not guessed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from core.notices import counted, note, warn
from core.store.jsonl import Unreadable

BEFORE_FIRST = "a line before the first message of the chat"
OF_PROGRAM = "a line of the chat program, without a sender"
NO_TEXT = "a message without text: a picture, sound or file that the export left out"
NOT_MESSAGES = frozenset({BEFORE_FIRST, OF_PROGRAM, NO_TEXT})
"""Reasons why lines of a chat are left out, none of which is a mistake in the file."""

_INVISIBLE = "\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff"
_DATE = r"(?:\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{2,4}\.?)"
_TIME = (
    r"\d{1,2}[:.]\d{2}(?:[:.]\d{2}(?:[.,]\d{1,6})?)?"
    r"(?:[ \u00a0\u202f]?[AaPp]\.?[Mm]\b\.?)?(?:Z|[ ]?[+-]\d{2}:?\d{2})?"
)
_STAMP = rf"(?P<date>{_DATE})(?:,?[ \u00a0\u202f]|T){_TIME}|{_TIME}"
_BEGUN = re.compile(rf"[{_INVISIBLE}]*(?:\[(?:{_STAMP})\]|(?:{_STAMP.replace('<date>', '<bare>')}))")
"""A date with a time, or a time alone, with or without brackets."""
_GAP = re.compile(rf"[\s{_INVISIBLE}]*(?:[-–—|][\s{_INVISIBLE}]*)?")
_NAME = re.compile(r"(?P<name>[^:?!\n]{1,60}):(?:\s+|$)")
_NAME_WORDS = 5
_LEVELS = frozenset({"trace", "debug", "info", "notice", "warn", "warning", "error", "critical", "fatal"})
"""Words in the place of a name in the log of a program."""
_LEFT_OUT = re.compile(r"<[^<>]{1,60}>|[\u200e\u200f][^\n?!]{1,40}")
_DATED_SHARE, _TIMED_SHARE = 0.2, 0.5
"""Share of the first lines that must begin a message: with dates, and with times alone."""
_ANSWERS_FROM, _ANSWERS_SHARE, _ANSWERS_FOLLOW = 2, 1 / 3, 0.8
"""A sender may be the one who answers from this many messages, this share of all, of which this share follows
a message of someone else."""

NumberedText = tuple[int, str | Unreadable]


class ExportedMessage(NamedTuple):
    """A message of a chat; or the reason why a line is left out."""

    line: int
    """Number of its first line."""
    name: str
    text: str | Unreadable


class _Begun(NamedTuple):
    """The beginning of a message, or a line with a time and without a sender."""

    name: str | None
    text: str
    is_dated: bool


@dataclass
class _Told:
    """What is said of a chat once it is read to the end."""

    senders: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def answering(self) -> tuple[str, int] | None:
        """Return the sender who probably answers the others, with the number of messages; None without."""
        if not self.senders:
            return None
        counts = Counter(self.senders)
        name, count = max(counts.items(), key=lambda own: (own[1], own[0] != self.senders[0]))
        after = sum(now == name != before for before, now in pairwise(self.senders))
        is_one = count >= _ANSWERS_FROM and count >= _ANSWERS_SHARE * len(self.senders)
        return (name, count) if is_one and after >= _ANSWERS_FOLLOW * count else None

    def line(self) -> str:
        """Return what the file was read as, in one line."""
        people = len(set(self.senders))
        who = "1 person" if people == 1 else f"{people:,} people"
        lines = (f"{counted(n, 'line')} left out ({why})" for why, n in sorted(self.left_out.items()))
        read = f"{counted(len(self.senders), 'message')} of {who}"
        return ", ".join((f"read as a chat export: {read}", *lines))


def is_chat_export(lines: Sequence[str]) -> bool:
    """Return True if the first lines of a text file, without blank ones, are those of an exported chat."""
    begun = [found for line in lines if (found := _begun(line)) and found.name is not None]
    dated = sum(found.is_dated for found in begun)
    if len(begun) < 2:
        return False
    return dated > _DATED_SHARE * len(lines) or len(begun) > _TIMED_SHARE * len(lines)


def exported_messages(lines: Iterable[NumberedText], path: Path) -> Iterator[ExportedMessage]:
    """Yield the messages of a chat, and the lines that are left out as `Unreadable` with the reason.

    What was read is said at the end, once for each file.

    Args:
        lines: its lines that are not blank, with their numbers.
        path: the file, for what is said.
    """
    told = _Told()
    for message in _messages(lines):
        if not isinstance(message.text, Unreadable):
            told.senders.append(message.name)
        elif message.text.what in NOT_MESSAGES:
            told.left_out[message.text.what] += 1
        yield message
    answering = told.answering()
    _say(path, told.line(), answering)


@cache
def _say(path: Path, line: str, answering: tuple[str, int] | None) -> None:
    note(f"{path}: {line}")
    if answering is not None:
        name, count = answering
        warn(
            f"{path}: {name!r} wrote {count:,} of the messages, nearly all right after someone else, so "
            "these may be answers; each message is read as a prompt of its own. To give conversations, write "
            '.jsonl with {"messages": [{"role": "user", "content": ...}, {"role": "assistant", ...}, ...]} '
            "on each line"
        )


def _messages(lines: Iterable[NumberedText]) -> Iterator[ExportedMessage]:
    """Yield messages with the lines that continue them."""
    open_message: ExportedMessage | None = None
    is_program, last = False, 0
    for number, line in lines:
        begun = None if isinstance(line, Unreadable) else _begun(line)
        if isinstance(line, Unreadable):
            yield ExportedMessage(number, "", line)
        elif begun is None and open_message is not None:
            gap = "\n\n" if number > last + 1 else "\n"
            open_message = open_message._replace(text=f"{open_message.text}{gap}{line}")
        elif begun is None:
            yield ExportedMessage(number, "", Unreadable(OF_PROGRAM if is_program else BEFORE_FIRST))
        else:
            if open_message is not None:
                yield _whole(open_message)
            is_program, open_message = begun.name is None, None
            if begun.name is None:
                yield ExportedMessage(number, "", Unreadable(OF_PROGRAM))
            else:
                open_message = ExportedMessage(number, begun.name, begun.text)
        last = number
    if open_message is not None:
        yield _whole(open_message)


def _whole(message: ExportedMessage) -> ExportedMessage:
    text = str(message.text).strip()
    if not text or _LEFT_OUT.fullmatch(text):
        return message._replace(text=Unreadable(NO_TEXT))
    return message._replace(text=text)


def _begun(line: str) -> _Begun | None:
    """Return how a line begins a message; None if it begins none."""
    stamp = _BEGUN.match(line)
    if stamp is None:
        return None
    is_dated = (stamp["date"] or stamp["bare"]) is not None
    gap = _GAP.match(line, stamp.end())
    assert gap is not None, "the pattern of gaps also matches nothing"
    rest = line[gap.end() :]
    is_apart = gap.end() > stamp.end() or stamp[0].endswith("]")
    named = _NAME.match(rest) if is_apart else None
    name = "" if named is None else named["name"].strip(f" ~\u00a0{''.join(map(chr, (0x200E, 0x200F)))}")
    if named is None or not name or len(name.split()) > _NAME_WORDS or name.casefold() in _LEVELS:
        return _Begun(None, rest, is_dated) if is_dated else None
    return _Begun(name, rest[named.end() :], is_dated)

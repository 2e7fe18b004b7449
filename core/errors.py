"""Errors that a user can fix, each reported in one line.

    PubliusError
    ├── ConfigError        a constitution, run.yaml or option is wrong      (also ValueError)
    ├── DataError          a prompts, pairs or record file is wrong         (also ValueError)
    │   └── NothingToLearnError  no example is left to train on; in a run a result with advice
    ├── EngineError        a model or engine cannot be used at all          (also RuntimeError)
    ├── RequestError       one request cannot be run: its record is skipped (also ValueError)
    │   └── FailedRequestError  the engine failed on one request: skipped, and sent again on resume
    ├── MissingExtraError  a package of an optional extra is not installed  (also ImportError)
    └── RunStateError      a run folder, lock or disk is not as needed      (also RuntimeError)

Each error carries one or more `Problem`s, so a file with five mistakes reports all five at once. Errors are
raised where the mistake is found. The command line catches them, prints one line per problem and exits with
code 2. A bad answer from a model is not an error: it is stored and counted as data.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

SAME_COMMAND = "the same command with"
"""Begins the advice to repeat a command with more options; the command line puts the command itself there."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake, in the four parts that a user needs to fix it."""

    what: str
    """Description of the mistake, with the offending value."""
    where: str | None = None
    """Location: `file:line:column`, a path, a record id or an option."""
    accepted: str | None = None
    """Values or forms that are accepted instead."""
    run: str | None = None
    """Command that fixes the problem or shows more about it."""

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.accepted:
            text += f"; accepted: {self.accepted}"
        if self.run:
            text += f"; run: {self.run}"
        return text


class PubliusError(Exception):
    """Base class of all errors. `str()` gives one line per problem."""

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        accepted: str | None = None,
        run: str | None = None,
    ) -> None:
        self.problems: tuple[Problem, ...] = (Problem(what, where, accepted, run),)
        super().__init__(str(self.problems[0]))

    def as_json(self) -> dict[str, Any]:
        """Return the problems as JSON-able values."""
        return {"problems": [asdict(problem) for problem in self.problems]}

    @classmethod
    def of(cls, problems: Sequence[Problem]) -> Self:
        """Return one error that reports several problems at once."""
        first = problems[0]
        error = cls(first.what, where=first.where, accepted=first.accepted, run=first.run)
        error.problems = tuple(problems)
        return error

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self).of, (self.problems,))


class ConfigError(PubliusError, ValueError):
    """A constitution, a run file or a command-line option is invalid."""


class DataError(PubliusError, ValueError):
    """A file of prompts, pairs or records is invalid."""


class NothingToLearnError(DataError):
    """A training has no example left to learn from. In a run, the stages after it still run.

    Args:
        what: what is missing.
        reasons: number of excluded examples by reason.
    """

    def __init__(self, what: str, reasons: Mapping[str, int] | None = None) -> None:
        super().__init__(what)
        self.what, self.reasons = what, dict(reasons or {})

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.what, self.reasons))


class EngineError(PubliusError, RuntimeError):
    """A model cannot be loaded, or the engine cannot continue."""


class RequestError(PubliusError, ValueError):
    """One request cannot be run, for example because it is too long. Stages skip and count its record.

    Args:
        reason: the reason under which such records are counted.
        detail: information about this record only.
        accepted: what could be run instead.
    """

    def __init__(self, reason: str, *, detail: str = "", accepted: str | None = None) -> None:
        super().__init__(f"{reason} ({detail})" if detail else reason, accepted=accepted)
        self.reason, self.detail, self.accepted = reason, detail, accepted

    def __reduce__(self) -> tuple[object, ...]:
        return (_request_error, (type(self), self.reason, self.detail, self.accepted))


class FailedRequestError(RequestError):
    """The engine failed on one request, for a reason that may pass: an exception, no answer in time, NaN.

    Stages skip and count its record, as for any `RequestError`, but try it again when the run resumes. The
    answer is never cached.
    """


class MissingExtraError(PubliusError, ImportError):
    """A package of an optional extra is not installed."""


class RunStateError(PubliusError, RuntimeError):
    """A run folder, its lock or its disk is not in the state that the command requires."""


def shell_command(*words: object) -> str:
    """Return a command to copy into a POSIX shell, with each word quoted where it needs it.

    Characters that a terminal does not show, such as a line break in the name of a folder, are written as
    escapes in the shell's form `$'...'`.
    """
    return " ".join(_shell_word(str(word)) for word in words)


def _shell_word(word: str) -> str:
    if word.isprintable():
        return shlex.quote(word)
    escaped = word.replace("\\", "\\\\").replace("'", "\\'")
    return "$'" + "".join(c if c.isprintable() else _shell_escape(c) for c in escaped) + "'"


def _shell_escape(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, or the name of its type if the message is empty."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def type_and_first_line(error: BaseException) -> str:
    """Return an exception as `ValueError: the first line of its message`."""
    name, line = type(error).__name__, first_line(error)
    return name if line == name else f"{name}: {line}"


def on_one_line(error: BaseException) -> str:
    """Return an exception's whole message on one line, with white space collapsed to single spaces."""
    return " ".join(str(error).split())


def _request_error(kind: type[RequestError], reason: str, detail: str, accepted: str | None) -> RequestError:
    """Rebuild a pickled error, whose arguments are keyword-only."""
    return kind(reason, detail=detail, accepted=accepted)

"""YAML reader that records the line and column of every value.

It reads only what a configuration needs: mappings with text keys, lists, text, numbers, true, false and null.
`no`, `on`, `1_000`, `007` and `2024-01-01` are read as text, as written. This is the core schema of YAML 1.2
(https://yaml.org/spec/1.2.2/#103-core-schema) without its octal and hexadecimal numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from core.errors import ConfigError, Problem
from core.notices import counted
from core.text.encodings import SAVED_AS_UTF8, WINDOWS_1252, is_windows_1252, note_windows_1252, wide_encoding
from core.text.explain import Loc, Misfit, explain, yaml_line
from core.text.special_files import require_regular

MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 32
MAX_VALUES = 100_000
"""Maximum number of values in a file: lists, mappings and their contents, not counting keys."""
MAX_CHARACTERS = 1024 * 1024
"""Maximum length of one text."""
MAX_PROBLEMS = 100
"""Maximum number of problems that are reported individually for a file."""

M = TypeVar("M", bound=BaseModel)

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# Includes U+0085, U+2028 and U+2029, which are line breaks in YAML but not in editors.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Characters that an escape in double quotes can produce, but that records and YAML files cannot contain.
_UNUSABLE = re.compile("[\0\x85\u2028\u2029\ud800-\udfff]")
_CONSTANTS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
# At most 18 digits: a longer number is an identifier, and a 64-bit reader would lose digits.
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL_FLOAT = re.compile(r"([-+]?)\.(inf|Inf|INF|nan|NaN|NAN)")


class Mark(NamedTuple):
    """A position in a file; line and column count from 1, as in editors."""

    line: int
    column: int
    path: Path | None = None
    """The file, if it is not the document's own: a document may take values from other files."""


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """A parsed file: its value, and the position of every part of it."""

    path: Path
    value: Any
    marks: dict[Loc, Mark]
    """Position of each value; `()` is the whole document."""
    key_marks: dict[Loc, Mark] = field(default_factory=dict)
    """Position of the key of each value in a mapping."""
    written: dict[Loc, str] = field(default_factory=dict)
    """Original spelling of each value other than text, lists and mappings: `1.10` is the number 1.1."""

    def mark(self, loc: Loc = ()) -> Mark:
        """Return the mark of the value at `loc`, or of the innermost value around it."""
        return next(self.marks[loc[:end]] for end in range(len(loc), -1, -1) if loc[:end] in self.marks)

    def where(self, loc: Loc = ()) -> str:
        """Return `file:line:column` of the value at `loc`, or of the innermost value around it."""
        return _where(self.path, self.mark(loc))

    def key_where(self, loc: Loc) -> str:
        """Return `file:line:column` of the key at `loc`, or of the value if the key does not exist."""
        return _where(self.path, self.key_marks[loc]) if loc in self.key_marks else self.where(loc)

    def at(self, loc: Loc) -> object:
        """Return the value at `loc`, or None if there is none."""
        value: Any = self.value
        for part in loc:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def problem(self, misfit: Misfit) -> Problem:
        """Return a misfit as a problem with its place in this file."""
        where = self.key_where(misfit.loc) if misfit.on_key else self.where(misfit.loc)
        return Problem(misfit.what + self._first(misfit.first), where, misfit.accepted, misfit.run)

    def _first(self, loc: Loc | None) -> str:
        """Return a note with the place of a duplicate's first occurrence."""
        if not loc:
            return ""
        mark = self.mark(loc)
        return f" (first in line {mark.line}{f' of {mark.path}' if mark.path else ''})"


def read_yaml(path: Path) -> YamlDocument:
    """Read the document in a file.

    Raises:
        ConfigError: The file cannot be read, is too large, or is not YAML of the kind described above.
    """
    return parse_yaml(read_text(path), path)


def read_prose(path: Path, kind: str, max_bytes: int = MAX_BYTES) -> str:
    """Read the text of a user's file that any editor or spreadsheet program may have saved.

    UTF-16 and UTF-32 are known by their byte order mark. A file that is not UTF-8 either is read as
    Windows-1252, with a note, if it can be.

    Args:
        path: The file.
        kind: The expected kind of file, for messages.
        max_bytes: Maximum size of the file.

    Raises:
        ConfigError: The file cannot be read, is too large, or is not in an accepted encoding.
    """
    return prose_of(_read(path, kind, max_bytes), path)


def prose_of(content: bytes, path: Path) -> str:
    """Return the text of bytes as `read_prose` reads them; `path` is only used in messages.

    Raises:
        ConfigError: The bytes are not in an accepted encoding.
    """
    wide = wide_encoding(content)
    if wide is not None:
        try:
            return content.decode(wide)
        except UnicodeDecodeError as error:
            what = f"not {wide.upper()} text, although it begins like it: {error.reason}"
            raise ConfigError(what, where=str(path), accepted=SAVED_AS_UTF8) from error
    if is_windows_1252(BytesIO(content)):
        note_windows_1252(path)
        return content.decode(WINDOWS_1252)
    return _decoded(content, path)


def read_text(path: Path, kind: str = "YAML file", max_bytes: int = MAX_BYTES) -> str:
    """Read the text of a user's file in UTF-8, without a byte order mark.

    Args:
        path: The file.
        kind: The expected kind of file, for messages.
        max_bytes: Maximum size of the file.

    Raises:
        ConfigError: The file cannot be read, is too large, or is not in an accepted encoding.
    """
    return _decoded(_read(path, kind, max_bytes), path)


def parse_yaml(text: str, path: Path) -> YamlDocument:
    """Parse the document in `text`; `path` is only used in messages.

    Raises:
        ConfigError: The text is not YAML of the kind described above.
    """
    refuse_unprintable(text, path, "YAML")
    builder = _Builder(path, yaml.parse(text, Loader=_Loader))
    try:
        document = builder.document()
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, text, path) from error
    if builder.problems:
        raise ConfigError.of(in_order(builder.problems))
    return document


def refuse_unprintable(text: str, path: Path, kind: str) -> None:
    """Raise an error if the text has a character that editors do not show.

    `path` and `kind` are only used in the message.

    Raises:
        ConfigError: The text has such a character.
    """
    stray = _UNPRINTABLE.search(text)
    if stray:
        what = f"the character U+{ord(stray[0]):04X} is not allowed in {kind}"
        raise ConfigError(what, where=_where(path, _mark_at(text, stray.start())), accepted="printable text")


def validate(
    document: YamlDocument,
    model: type[M],
    value: object = None,
    context: Mapping[str, object] | None = None,
) -> M:
    """Validate the document as a `model` and return it.

    Args:
        document: The document that the value comes from.
        model: The model to validate against.
        value: The value to validate, such as the document's value with short forms expanded; the document's
            value if None.
        context: What the model's validators are told.

    Raises:
        ConfigError: The value is invalid; one problem for each invalid part, in file order.
    """
    subject = document.value if value is None else value
    try:
        return model.model_validate(subject, context=context)
    except ValidationError as error:
        misfits = explain(model, subject, error)
    raise ConfigError.of(in_order(document.problem(misfit) for misfit in misfits))


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems sorted by file, line and column; those beyond `MAX_PROBLEMS` are only counted.

    Files are in the order of their first occurrence; problems without a place come first.
    """
    placed = [(*_split(problem.where or ""), problem) for problem in dict.fromkeys(problems)]
    files = {file: number for number, file in enumerate(dict.fromkeys(file for file, _, _ in placed))}
    placed.sort(key=lambda entry: (bool(entry[1]), files[entry[0]], entry[1]))
    reported = [problem for _, _, problem in placed[:MAX_PROBLEMS]]
    more = len(placed) - len(reported)
    if more:
        reported.append(
            Problem(f"there {'is' if more == 1 else 'are'} at least {counted(more, 'more problem')}")
        )
    return reported


def _split(where: str) -> tuple[str, list[int]]:
    """Split a place into its file and its line and column, if it has them."""
    numbers = re.search(r":(\d+):(\d+)$", where)
    return (where[: numbers.start()], [int(n) for n in numbers.groups()]) if numbers else (where, [])


def _where(path: Path, mark: Mark) -> str:
    return f"{mark.path or path}:{mark.line}:{mark.column}"


def _mark_at(text: str, index: int) -> Mark:
    """Return the mark of the character at `index`."""
    return Mark(text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))


def _read(path: Path, kind: str, max_bytes: int) -> bytes:
    """Return the bytes of a file that is not larger than `max_bytes`."""
    accepted = f"the path of a {kind}"
    require_regular(path)
    try:
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except IsADirectoryError:
        raise ConfigError("this is a folder", where=str(path), accepted=accepted) from None
    except FileNotFoundError:
        raise ConfigError("no such file", where=str(path), accepted=accepted) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(
            f"the file cannot be read: {reason}", where=str(path), accepted=f"a {kind}"
        ) from error
    if len(content) > max_bytes:
        raise ConfigError("the file is too large", where=str(path), accepted=f"at most {max_bytes:,} bytes")
    return content


def _decoded(content: bytes, path: Path) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        mark = _mark_at(
            content[: error.start].decode("utf-8-sig"), len(content[: error.start].decode("utf-8-sig"))
        )
        what = f"the byte 0x{content[error.start]:02x} is not UTF-8"
        wide = wide_encoding(content)
        what += f": the file is {wide.upper()}" if wide else ""
        raise ConfigError(what, where=_where(path, mark), accepted=SAVED_AS_UTF8) from error


def _syntax_error(error: yaml.MarkedYAMLError, text: str, path: Path) -> ConfigError:
    """Return the error for text that is not YAML, at the place of the probable cause."""
    context, problem = error.context or "", error.problem or "unknown mistake"
    # PyYAML notices an unclosed quote or bracket only later; report the position where it was opened.
    begun = context.startswith(("while scanning a", "while parsing a flow"))
    mark = (error.context_mark if begun else None) or error.problem_mark or error.context_mark
    assert mark is not None, "PyYAML's scanner and parser set a mark on every error"
    what = f"not valid YAML: {context + ', ' if context else ''}{problem}"
    accepted = _advice(problem, text[mark.index : mark.index + 1].strip("\r\n "))
    return ConfigError(what, where=_where(path, Mark(mark.line + 1, mark.column + 1)), accepted=accepted)


def _advice(problem: str, character: str) -> str:
    """Return advice that usually fixes a syntax error at this character."""
    if character == "\t" or "tab character" in problem:
        return "spaces for indentation, no tabs"
    if "mapping values are not allowed" in problem:
        return "quotes around a text that contains ': ', and equal indentation for entries of the same level"
    if "escape character" in problem:
        return "'\\\\' for a backslash in double quotes, or single quotes around the text"
    if character and character in "[{\"'":
        return f"a matching closing character for {character}, or quotes around the whole text"
    if character and character in "*&!@`%}]|>":
        return f"quotes around a text that begins with {character}"
    return (
        "equal indentation for entries of the same level, and quotes around a text that contains ': ' "
        "or begins with a special character"
    )


def _plain_value(text: str) -> str | int | float | bool | None:
    """Return the value of an unquoted text."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _SPECIAL_FLOAT.fullmatch(text):
        return float(text.replace(".", ""))
    is_number = _FLOAT.fullmatch(text) and not text.lstrip("+-").isdigit()
    return float(text) if is_number else text


class _Builder:
    """Builds the value from the parser's events and records every mark.

    It does not use PyYAML's node tree. That tree is composed by recursion in C, so a file of a million
    brackets would crash it. It also resolves aliases, so a few lines could expand to gigabytes.
    """

    def __init__(self, path: Path, events: Iterator[yaml.Event]) -> None:
        self.problems: list[Problem] = []
        self._path = path
        self._events = events
        self._marks: dict[Loc, Mark] = {}
        self._key_marks: dict[Loc, Mark] = {}
        self._written: dict[Loc, str] = {}
        self._count = 0

    def document(self) -> YamlDocument:
        """Return the only document of the stream."""
        next(self._events)  # StreamStartEvent
        value = None
        if isinstance(next(self._events), yaml.DocumentStartEvent):
            value = self._node(next(self._events), ())
            next(self._events)  # DocumentEndEvent
            self._refuse_second(next(self._events))
        if value is None and not self.problems:
            self._stop("the file is empty", Mark(1, 1), "a YAML mapping or list")
        return YamlDocument(self._path, value, self._marks, self._key_marks, self._written)

    def _node(self, event: yaml.Event, loc: Loc) -> object:
        """Return the value that begins with `event`."""
        self._marks[loc] = _mark_of(event)
        self._count += 1
        if self._count > MAX_VALUES:
            self._stop("the file has too many values", _mark_of(event), f"at most {MAX_VALUES:,} values")
        self._refuse_anchor_or_tag(event)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, loc)
        if isinstance(event, yaml.AliasEvent):
            return None
        if len(loc) >= MAX_DEPTH:
            self._stop("this value is nested too deeply", _mark_of(event), f"at most {MAX_DEPTH} levels")
        return self._list(loc) if isinstance(event, yaml.SequenceStartEvent) else self._mapping(loc)

    def _scalar(self, event: yaml.ScalarEvent, loc: Loc) -> object:
        self._refuse_unusable(event)
        value = _plain_value(event.value) if event.implicit[0] else event.value
        if not isinstance(value, str):
            self._written[loc] = event.value
        return value

    def _list(self, loc: Loc) -> list[object]:
        values: list[object] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            values.append(self._node(event, (*loc, len(values))))
        return values

    def _mapping(self, loc: Loc) -> dict[str, object]:
        mapping: dict[str, object] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            mark, key = _mark_of(event), self._key(event, loc)
            place = (*loc, key)
            if key in mapping:
                first = self._key_marks[place]
                self._refuse(
                    f"duplicate key {yaml_line(key)} (first in line {first.line})", mark, "each key once"
                )
            self._key_marks.setdefault(place, mark)
            mapping[key] = self._node(next(self._events), place)
        return mapping

    def _key(self, event: yaml.Event, loc: Loc) -> str:
        """Return the key that begins with `event`; report a key that is not text and return a placeholder."""
        placeholder = f"key in line {_mark_of(event).line}"
        if isinstance(event, yaml.ScalarEvent):
            self._refuse_anchor_or_tag(event)
            self._refuse_unusable(event)
            key: object = _plain_value(event.value) if event.implicit[0] else event.value
            if isinstance(key, str):
                return key
            accepted = f'text, in quotes: "{event.value}"' if event.value else "a key before the colon"
        else:
            key = self._node(event, (*loc, placeholder))
            accepted = "text; quotes around a text that begins with { or ["
        self._refuse(f"a key is {yaml_line(key)}", _mark_of(event), accepted)
        return placeholder

    def _refuse_anchor_or_tag(self, event: yaml.Event) -> None:
        anchor = getattr(event, "anchor", None)
        tag = (getattr(event, "tag", None) or "").replace("tag:yaml.org,2002:", "!!")
        sign = "*" if isinstance(event, yaml.AliasEvent) else "&"
        for word, kind in ((sign + anchor if anchor else None, "anchors and aliases"), (tag, "tags")):
            if word:
                accepted = f"no {kind}; quotes around a text that begins with {word[0]}"
                self._refuse(f"{word!r} is YAML syntax that is not supported", _mark_of(event), accepted)

    def _refuse_unusable(self, event: yaml.ScalarEvent) -> None:
        """Report a text that is too long, or an escape for a character that records cannot contain."""
        if len(event.value) > MAX_CHARACTERS:
            self._stop("this text is too long", _mark_of(event), f"at most {MAX_CHARACTERS:,} characters")
        stray = _UNUSABLE.search(event.value) if event.style == '"' else None
        if stray:
            what = f"an escape in this text gives the character U+{ord(stray[0]):04X}, which is not allowed"
            self._refuse(what, _mark_of(event), "text without this escape")

    def _refuse_second(self, event: yaml.Event) -> None:
        if not isinstance(event, yaml.StreamEndEvent):
            self._refuse(
                "a second document begins", _mark_of(event), "one document per file, without a line '---'"
            )

    def _refuse(self, what: str, mark: Mark, accepted: str) -> None:
        """Record a problem and continue, to report all problems at once."""
        self.problems.append(Problem(what, _where(self._path, mark), accepted))

    def _stop(self, what: str, mark: Mark, accepted: str) -> NoReturn:
        raise ConfigError(what, where=_where(self._path, mark), accepted=accepted)


def _mark_of(event: yaml.Event) -> Mark:
    assert event.start_mark is not None, "PyYAML sets a mark on every event"
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)

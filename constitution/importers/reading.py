"""What a file says, gathered as it is read: principles, what was stripped, and what was left out and why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from constitution.ids import id_from, id_of_name, unique
from core.errors import DataError, Problem
from core.text.explain import yaml_line

_UNUSABLE = re.compile("[\0\ud800-\udfff]")
"""What an escape in JSON can bring in, and no file of ours can hold."""
_SEPARATORS = re.compile("[\x85\u2028\u2029]")
"""Signs that end a line for YAML and for no editor, so that our files hold none."""
MAX_PRINCIPLES = 10_000
MAX_EXAMPLES = 10_000
MAX_ENTRIES = 100_000
"""Of a file, with those that are left out: a longer one is no constitution, and takes long to go through."""
MAX_SOURCE_PROBLEMS = 1000
"""At more mistakes than these the rest of a file is not read."""
_SHOWN_PROBLEMS = 20
_TEXT_FROM = ("text", "revision", "comparison", "critique")
"""Where the text of a principle comes from: the first of these that a file has."""


class Shot(NamedTuple):
    """One example of what a principle means, in the form of `constitution.schema.Example`."""

    prompt: str
    good: str
    bad: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """One principle as a file says it."""

    where: str
    texts: Mapping[str, str]
    """By key: `text` (always there), `antithesis`, `critique`, `revision`, `comparison`, `section`."""
    name: str | None = None
    """What the file calls it."""
    source: str | None = None
    """The anchor of the passage it stands in, with its `#`."""
    shots: tuple[Shot, ...] = ()

    def written(self, principle_id: str) -> dict[str, Any]:
        """Return the principle in the full form of a constitution file."""
        entry: dict[str, Any] = {"id": principle_id}
        for key in ("section", "text", "source", "antithesis", "critique", "revision", "comparison"):
            value = self.source if key == "source" else self.texts.get(key)
            if value:
                entry[key] = value
        if self.shots:
            entry["examples"] = [_shot_written(shot) for shot in self.shots]
        return entry


@dataclass
class Occurrences:
    """How often something was found, and where first."""

    count: int = 0
    places: list[str] = field(default_factory=list)

    def add(self, where: str) -> None:
        """Count once more."""
        self.count += 1
        if len(self.places) < 5:
            self.places.append(where)


@dataclass
class Reading:
    """Everything that was found in one import."""

    source: str
    """The file, for messages."""
    principles: list[Found] = field(default_factory=list)
    left_out: dict[str, Occurrences] = field(default_factory=dict)
    """What is not in the constitution, by the reason."""
    renamed: dict[str, str] = field(default_factory=dict)
    """Of ids that differ from the name in the file, that name; filled by `written`."""
    stripped: Counter[str] = field(default_factory=Counter)
    """What was taken off texts, and how often."""
    notes: dict[str, Occurrences] = field(default_factory=dict)
    """What is unusual."""
    passed_over: dict[str, None] = field(default_factory=dict)
    """Keys and columns that are not used."""
    name: str | None = None
    """What the file calls the constitution."""
    sections: list[str] = field(default_factory=list)
    document: Path | None = None
    """The document whose passages the principles name."""
    problems: list[Problem] = field(default_factory=list)
    _words: set[tuple[str, ...]] = field(default_factory=set)
    _by_critique: dict[str, list[int]] = field(default_factory=dict)
    _examples: int = 0
    _entries: int = 0

    def take(
        self, where: str, fields: Mapping[str, object], *, name: object = None, source: str | None = None
    ) -> None:
        """Note a principle, or say what is wrong with it.

        Args:
            where: its place.
            fields: by the keys of `Found.texts`; where there is no text, it is the revision request, else the
                comparison, else the critique, as it stands.
            name: what the file calls it.
            source: the anchor of the passage it stands in.

        Raises:
            DataError: The file has too many entries, principles or mistakes.
        """
        self._count(where)
        texts = {key: self._text(value, key, where) for key, value in fields.items() if value is not None}
        called = None if name is None else self._text(str(name) if type(name) is int else name, "id", where)
        if None in texts.values() or (name is not None and called is None):
            return
        filled = {key: text for key, text in texts.items() if text}
        text = next((filled[key] for key in _TEXT_FROM if key in filled), None)
        if text is None:
            self._leave_out("an empty entry", where)
            return
        self._keep(Found(where, {**filled, "text": text}, called or None, source))

    def leave_out(self, reason: str, where: str) -> None:
        """Count something that the constitution will not hold. Raises DataError at too many entries."""
        self._count(where)
        self._leave_out(reason, where)

    def note(self, what: str, where: str) -> None:
        """Count something unusual that changes nothing, or was mended."""
        self.notes.setdefault(what, Occurrences()).add(where)

    def pass_over(self, keys: Sequence[str]) -> None:
        """Note keys that are not used, each once."""
        self.passed_over.update(dict.fromkeys(keys))

    def refuse(self, what: str, where: str, accepted: str) -> None:
        """Note a mistake of the file; `written` raises them all, and this does when they are too many."""
        self.problems.append(Problem(what, where, accepted))
        if len(self.problems) > MAX_SOURCE_PROBLEMS:
            raise self._mistakes("or more; the rest was not read")

    def text_at(self, value: object, what: str, where: str) -> str | None:
        """Return a value that must be text and say something, or None once the mistake is noted."""
        text = self._text(value, what, where)
        if text == "":
            self.refuse(f"{what} is empty", where, "text that says something")
        return text or None

    def attach(self, owners: Sequence[int], shot: Shot, where: str) -> None:
        """Give principles, by their positions, one more example.

        Raises:
            DataError: There are more examples by now than a constitution could bear.
        """
        texts = [self._text(text, "a few-shot", where) for text in shot]
        self._examples += len(owners)
        if self._examples > MAX_EXAMPLES:
            raise DataError("too many examples", where=where, accepted=f"at most {MAX_EXAMPLES:,}")
        for index in owners if None not in texts else ():
            found = self.principles[index]
            self.principles[index] = replace(found, shots=(*found.shots, shot))

    def written(self, accepted: str) -> list[dict[str, Any]]:
        """Return the principles in full form, each with an id of its own.

        Args:
            accepted: what the form would have had to hold, for the message if it holds no principles.

        Raises:
            DataError: The file has mistakes, one problem each, or no principles.
        """
        if self.problems:
            raise self._mistakes()
        if not self.principles:
            reasons = "; ".join(f"{reason}, {found.count:,}" for reason, found in self.left_out.items())
            what = "there are no principles" + (f" (left out: {reasons})" if reasons else "")
            raise DataError(what, where=self.source, accepted=accepted)
        taken: set[str] = set()
        tried: dict[str, int] = {}
        entries = []
        for found in self.principles:
            wanted = id_of_name(found.name) if found.name else id_from(found.texts["text"])
            entries.append(found.written(unique(wanted, taken, tried)))
            taken.add(entries[-1]["id"])
            if found.name and entries[-1]["id"] != found.name:
                self.renamed[entries[-1]["id"]] = found.name
        return entries

    def owners_of(self, critique: str) -> list[int]:
        """Return the positions of the principles with this request for a critique."""
        return self._by_critique.get(critique, [])

    def _leave_out(self, reason: str, where: str) -> None:
        self.left_out.setdefault(reason, Occurrences()).add(where)

    def _count(self, where: str) -> None:
        self._entries += 1
        if self._entries > MAX_ENTRIES:
            raise DataError("too many entries", where=where, accepted=f"at most {MAX_ENTRIES:,}")

    def _mistakes(self, tail: str = "") -> DataError:
        """Return the error that tells the first mistakes, and how many more there are."""
        told, more = self.problems[:_SHOWN_PROBLEMS], len(self.problems) - _SHOWN_PROBLEMS
        if more > 0:
            told.append(Problem(f"and {more:,} more mistakes {tail}".rstrip(), self.source))
        return DataError.of(told)

    def _text(self, value: object, what: str, where: str) -> str | None:
        """Return text with the white space around it stripped; None, and a problem noted, if it is none."""
        if not isinstance(value, str):
            self.refuse(f"{what} is {yaml_line(value)}", where, "text")
            return None
        unusable = _UNUSABLE.search(value)
        if unusable:
            self.refuse(f"{what} holds the character U+{ord(unusable[0]):04X}", where, "printable text")
            return None
        lines = _SEPARATORS.sub("\n", value)
        if lines != value:
            self.note("a line separator of Unicode became a line end", where)
        return lines.strip()

    def _keep(self, found: Found) -> None:
        """Take a principle unless one with the same words is there."""
        keys = ("text", "critique", "revision", "comparison", "antithesis")
        words = tuple(" ".join(found.texts.get(key, "").split()).casefold() for key in keys)
        if words in self._words:
            self._leave_out("the same words as an earlier principle", found.where)
        elif len(self.principles) == MAX_PRINCIPLES:
            accepted = f"at most {MAX_PRINCIPLES:,}"
            raise DataError("too many principles", where=found.where, accepted=accepted)
        else:
            self._words.add(words)
            if "critique" in found.texts:
                self._by_critique.setdefault(found.texts["critique"], []).append(len(self.principles))
            self.principles.append(found)


def _shot_written(shot: Shot) -> dict[str, str]:
    entry = {**shot._asdict(), "use": "few_shot"}
    return {key: value for key, value in entry.items() if value}

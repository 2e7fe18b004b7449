"""Result of reading a foreign file: principles, stripped affixes, skipped parts, and mistakes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from constitution.ids import id_from, id_of_name, unique
from core.errors import DataError, Problem
from core.notices import counted
from core.text.explain import yaml_line

_UNUSABLE = re.compile("[\0\ud800-\udfff]")
"""Characters that a JSON escape can produce but a YAML file cannot contain."""
_SEPARATORS = re.compile("[\x85\u2028\u2029]")
"""Characters that are line breaks for YAML but not for editors. They are replaced by line breaks."""
MAX_PRINCIPLES = 10_000
MAX_EXAMPLES = 10_000
MAX_ENTRIES = 100_000
"""Maximum entries of a file, including skipped ones: a longer file is not a plausible constitution."""
MAX_QUOTES = 20
"""Maximum number of texts that are quoted for one reason."""
MOST_QUOTED = 300
"""Maximum number of characters that are quoted of one text."""
QUOTED_WORDS, QUOTED_CHARACTERS = 9, 70
"""Those that a terminal shows of it."""
MAX_SOURCE_PROBLEMS = 1000
"""Maximum number of mistakes before reading stops."""
_SHOWN_PROBLEMS = 20
_DEFAULTS: Mapping[str, object] = {"weight": 1, "hard": False}
_TELLING = re.compile(
    r"(?:.*_)?(?:weight|hard|tier|priority|importance|severity|level|rank|order|points|tags?|scope|applies_to|except"
    r"|exempt|exceptions?|check|enabled|disabled|active|status|required|mandatory|optional|negated?|polarity)(?:_.*)?"
)
"""Names of keys whose values may change what a rule means or how much it counts."""
_SHOWN_VALUES = 4
_TEXT_FROM = ("text", "revision", "comparison", "critique")
"""Sources of a principle's text, in order of preference."""


class Shot(NamedTuple):
    """One few-shot example of a principle, with the fields of `constitution.schema.Example`."""

    prompt: str
    good: str
    bad: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """One principle as found in a file."""

    where: str
    """Position in the file."""
    texts: Mapping[str, str]
    """Texts by key: `text` (always set), `antithesis`, `critique`, `revision`, `comparison`, `section`,
    `reason`."""
    name: str | None = None
    """Name of the principle in the file."""
    source: str | None = None
    """Anchor of the passage that contains it, with the `#`."""
    shots: tuple[Shot, ...] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    """`weight`, `hard`, `applies_to` and `check`, as a constitution has them."""

    def written(self, principle_id: str, source: str | None) -> dict[str, Any]:
        """Return the principle in the full form of a constitution file, with a `source`."""
        entry: dict[str, Any] = {"id": principle_id}
        for key in ("section", "text", "source", "antithesis", "critique", "revision", "comparison"):
            value = source if key == "source" else self.texts.get(key)
            if value:
                entry[key] = value
        entry |= {key: value for key, value in self.settings.items() if value != _DEFAULTS.get(key)}
        if self.shots:
            entry["examples"] = [_shot_written(shot) for shot in self.shots]
        return entry


class Quote(NamedTuple):
    """A text that is not imported."""

    where: str
    """Position in the file."""
    words: str
    """Its words, at most `MOST_QUOTED` characters of them."""


@dataclass
class Occurrences:
    """Count of an observation, with the first five positions, and texts."""

    count: int = 0
    places: list[str] = field(default_factory=list)
    quotes: list[Quote] = field(default_factory=list)
    """The first `MAX_QUOTES` texts; empty for observations about no text of its own."""
    texts: int = 0
    """Number of texts, quoted or not."""

    def add(self, where: str, text: str = "") -> None:
        """Add an occurrence, with the text that is not imported."""
        self.count += 1
        if len(self.places) < 5:
            self.places.append(where)
        words = _quoted(text)
        self.texts += bool(words)
        if words and len(self.quotes) < MAX_QUOTES:
            self.quotes.append(Quote(where, words))


@dataclass
class Reading:
    """Everything found in one import."""

    source: str
    """Path of the file, for messages."""
    principles: list[Found] = field(default_factory=list)
    skipped: dict[str, Occurrences] = field(default_factory=dict)
    """Parts of the file that are not imported, by reason."""
    renamed: dict[str, str] = field(default_factory=dict)
    """Original name by id, for ids that differ from the name in the file. Filled by `written`."""
    stripped: Counter[str] = field(default_factory=Counter)
    """Counts of the affixes stripped from texts."""
    notes: dict[str, Occurrences] = field(default_factory=dict)
    """Unusual things that do not affect the import."""
    ignored: dict[str, None] = field(default_factory=dict)
    """Keys and columns that are not used. A dict, to keep their order."""
    ignored_values: dict[str, dict[str, None]] = field(default_factory=dict)
    """The different values of those that may change what a rule means, as they are shown."""
    name: str | None = None
    """Name of the constitution in the file."""
    sections: list[str] = field(default_factory=list)
    """Section names in order of appearance."""
    passages: dict[str, str] = field(default_factory=dict)
    """Reasons given for principles, by the name of their passage. Filled by `written`."""
    document: Path | None = None
    """The document with the passages that principles refer to."""
    problems: list[Problem] = field(default_factory=list)
    _words: set[tuple[str, ...]] = field(default_factory=set)
    _by_critique: dict[str, list[int]] = field(default_factory=dict)
    _examples: int = 0
    _entries: int = 0

    def take(
        self,
        where: str,
        fields: Mapping[str, object],
        *,
        name: object = None,
        source: str | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        """Add a principle, or record its mistakes.

        Args:
            where: Position in the file.
            fields: Texts by the keys of `Found.texts`. Without a `text`, the revision request is used as the
                text, else the comparison, else the critique.
            name: Name of the principle in the file.
            source: Anchor of the passage that contains it.
            settings: What it has besides texts, as a constitution has it.

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
            self._skip("an empty entry", where)
            return
        found = Found(where, {**filled, "text": text}, called or None, source, settings=settings or {})
        self._add(found)

    def skip(self, reason: str, where: str, text: str = "") -> None:
        """Count a part of the file that is not imported. Raises DataError if there are too many entries.

        Args:
            reason: Why it is not imported.
            where: Position in the file.
            text: What it says, if that may hold a rule: it is quoted.
        """
        self._count(where)
        self._skip(reason, where, text)

    def note(self, what: str, where: str) -> None:
        """Count something unusual that has no effect or was corrected."""
        self.notes.setdefault(what, Occurrences()).add(where)

    def ignore(self, keys: Sequence[str] | Mapping[str, object]) -> None:
        """Record keys that are not used, without duplicates; of a mapping, values that may matter, too."""
        self.ignored.update(dict.fromkeys(keys))
        for key, value in keys.items() if isinstance(keys, Mapping) else ():
            if _TELLING.fullmatch(key.strip().casefold().replace(" ", "_")) and value not in (None, ""):
                seen = self.ignored_values.setdefault(key, {})
                seen[" ".join(value.split())[:60] if isinstance(value, str) else yaml_line(value)] = None

    def ignored_shown(self) -> list[str]:
        """Return the keys that are not used, with the values of those that may change a rule's meaning."""
        return [key + _in_brackets(list(self.ignored_values.get(key, ()))) for key in self.ignored]

    def refuse(self, what: str, where: str, accepted: str) -> None:
        """Record a mistake. `written` raises all of them; this method raises if there are too many."""
        self.problems.append(Problem(what, where, accepted))
        if len(self.problems) > MAX_SOURCE_PROBLEMS:
            raise self._mistakes("; the rest of the file was not read")

    def text_at(self, value: object, what: str, where: str) -> str | None:
        """Return a value that must be non-empty text, or record the mistake and return None."""
        text = self._text(value, what, where)
        if text == "":
            self.refuse(f"{what} is empty", where, "text that is not empty")
        return text or None

    def attach(self, owners: Sequence[int], shot: Shot, where: str) -> None:
        """Attach an example to the principles at the given positions.

        Raises:
            DataError: There are more than `MAX_EXAMPLES` examples.
        """
        texts = [self._text(text, "a few-shot", where) for text in shot]
        self._examples += len(owners)
        if self._examples > MAX_EXAMPLES:
            raise DataError("too many examples", where=where, accepted=f"at most {MAX_EXAMPLES:,}")
        for index in owners if None not in texts else ():
            found = self.principles[index]
            self.principles[index] = replace(found, shots=(*found.shots, shot))

    def written(self, accepted: str) -> list[dict[str, Any]]:
        """Return the principles in full form, each with a unique id.

        Args:
            accepted: What the format requires, for the message if the file has no principles.

        Raises:
            DataError: The file has mistakes (one problem each) or no principles.
        """
        if self.problems:
            raise self._mistakes()
        if not self.principles:
            reasons = "; ".join(f"{reason}, {found.count:,}" for reason, found in self.skipped.items())
            first = next((quote for found in self.skipped.values() for quote in found.quotes), None)
            reasons += (
                f'; first: line {first.where.rpartition(":")[2]} "{first_words(first.words)}"'
                if first
                else ""
            )
            what = "there are no principles" + (f" (skipped: {reasons})" if reasons else "")
            raise DataError(what, where=self.source, accepted=accepted)
        taken: set[str] = set()
        tried: dict[str, int] = {}
        entries = []
        for found in self.principles:
            wanted = id_of_name(found.name) if found.name else id_from(found.texts["text"])
            own_id = unique(wanted, taken, tried)
            entries.append(found.written(own_id, self._source_of(found, own_id)))
            taken.add(entries[-1]["id"])
            if found.name and entries[-1]["id"] != found.name:
                self.renamed[entries[-1]["id"]] = found.name
        return entries

    def _source_of(self, found: Found, principle_id: str) -> str | None:
        """Return the anchor of a principle's passage; a reason becomes a passage of its own."""
        reason = found.texts.get("reason")
        if reason is None:
            return found.source
        self.passages[f"why-{principle_id}"] = reason
        return f"#why-{principle_id}"

    def owners_of(self, critique: str) -> list[int]:
        """Return the positions of the principles with this critique request."""
        return self._by_critique.get(critique, [])

    def _skip(self, reason: str, where: str, text: str = "") -> None:
        self.skipped.setdefault(reason, Occurrences()).add(where, text)

    def _count(self, where: str) -> None:
        self._entries += 1
        if self._entries > MAX_ENTRIES:
            raise DataError("too many entries", where=where, accepted=f"at most {MAX_ENTRIES:,}")

    def _mistakes(self, tail: str = "") -> DataError:
        """Return an error with the first mistakes and the number of further ones."""
        shown, more = self.problems[:_SHOWN_PROBLEMS], len(self.problems) - _SHOWN_PROBLEMS
        if more > 0:
            shown.append(Problem(f"and {counted(more, 'more mistake')}{tail}", self.source))
        return DataError.of(shown)

    def _text(self, value: object, what: str, where: str) -> str | None:
        """Return text without surrounding white space, or record a problem and return None."""
        if not isinstance(value, str):
            self.refuse(f"{what} is {yaml_line(value)}", where, "text")
            return None
        unusable = _UNUSABLE.search(value)
        if unusable:
            self.refuse(f"{what} contains the character U+{ord(unusable[0]):04X}", where, "printable text")
            return None
        lines = _SEPARATORS.sub("\n", value)
        if lines != value:
            self.note("a Unicode line separator was replaced by a line break", where)
        return lines.strip()

    def _add(self, found: Found) -> None:
        """Add a principle unless an earlier one has the same words."""
        keys = ("text", "critique", "revision", "comparison", "antithesis")
        words = tuple(" ".join(found.texts.get(key, "").split()).casefold() for key in keys)
        if words in self._words:
            self._skip("the same words as an earlier principle", found.where)
        elif len(self.principles) == MAX_PRINCIPLES:
            accepted = f"at most {MAX_PRINCIPLES:,}"
            raise DataError("too many principles", where=found.where, accepted=accepted)
        else:
            self._words.add(words)
            if "critique" in found.texts:
                self._by_critique.setdefault(found.texts["critique"], []).append(len(self.principles))
            self.principles.append(found)


def first_words(text: str) -> str:
    """Return the first words of a text on one line, with three dots if it goes on."""
    words = text[: 2 * QUOTED_CHARACTERS].split()
    line = " ".join(words[:QUOTED_WORDS])[:QUOTED_CHARACTERS]
    return line if len(line) >= len(" ".join(text.split())) else f"{line} ..."


def _quoted(text: str) -> str:
    """Return a text on one line, cut off where it is too long to quote."""
    line = " ".join(text[: 2 * MOST_QUOTED].split())
    is_whole = len(line) <= MOST_QUOTED and len(text) <= 2 * MOST_QUOTED
    return line if is_whole else f"{line[:MOST_QUOTED].rstrip()} ..."


def _in_brackets(values: list[str]) -> str:
    more = ["..."] if len(values) > _SHOWN_VALUES else []
    return f" ({', '.join([*values[:_SHOWN_VALUES], *more])})" if values else ""


def _shot_written(shot: Shot) -> dict[str, str]:
    entry = {**shot._asdict(), "use": "few_shot"}
    return {key: value for key, value in entry.items() if value}

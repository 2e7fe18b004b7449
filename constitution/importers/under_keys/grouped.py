"""Lists of rules under keys, at any depth, in YAML and JSON: `answers: {must: [...], must_not: [...]}`.

Each item of a list becomes a principle. The keys above it name its section, except those that say whether the
rules are asked for or forbidden (`directives.py`), which make a sentence of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from constitution.importers.reading import Reading
from constitution.importers.records import ALIASES, ColumnKeys, take_entry
from constitution.importers.source import ForeignFile
from constitution.importers.under_keys.directives import Directive, denies_already, directive_of, sentence
from core.text.explain import Loc, yaml_line

SECTION_SEPARATOR = " / "
"""Between the keys of a section's name."""
_ABOUT_THE_FILE = {
    *("title", "version", "description", "author", "authors", "owner", "date"),
    *("created", "updated", "modified", "source", "url", "license", "language"),
    *("schema", "$schema", "status", "scope", "comment", "notes"),
}
"""Keys beside the lists whose text is about the file and no rule."""


@dataclass(frozen=True)
class _Place:
    """A value within the file, and what the keys above it say."""

    loc: Loc = ()
    section: tuple[str, ...] = ()
    directive: Directive | None = None
    key: str = ""
    """The key of the directive."""

    def below(self, key: str) -> _Place:
        """Return the place of a mapping's value."""
        found, loc = directive_of(key), (*self.loc, key)
        if found is None:
            return replace(self, loc=loc, section=(*self.section, " ".join(key.replace("_", " ").split())))
        return replace(self, loc=loc, directive=found, key=key)


def is_grouped(value: Any) -> bool:
    """Return whether a file has lists of rules under keys: most of their texts have several words."""
    texts = list(_listed(value, under_key=False))
    return bool(texts) and sum(len(text.split()) > 1 for text in texts) * 2 >= len(texts)


def take_grouped(value: Any, loc: Loc, file: ForeignFile, reading: Reading) -> None:
    """Add the items of all lists as principles to `reading`; other values are named as ignored."""
    keys = ColumnKeys(file.columns, (key for entry in _mappings(value) for key in entry))
    _Walk(file, keys, reading).see(value, _Place(loc))


def _is_entry(value: Mapping[str, Any]) -> bool:
    """Return whether a mapping is one rule, with its text under a known key, and not lists of rules."""
    named = {key.strip().casefold().replace(" ", "_"): held for key, held in value.items()}
    has_text = any(isinstance(named.get(alias), str) for ours in ColumnKeys.TEXTS for alias in ALIASES[ours])
    return has_text and not any(
        directive_of(key) and isinstance(held, list | Mapping) for key, held in value.items()
    )


def _listed(value: Any, *, under_key: bool) -> Iterator[str]:
    """Yield the texts of all lists that are under a key, and those of keys such as `never`."""
    if isinstance(value, Mapping):
        for key, held in value.items():
            if isinstance(held, str) and directive_of(key):
                yield held
            elif isinstance(held, list) or (isinstance(held, Mapping) and not _is_entry(held)):
                yield from _listed(held, under_key=True)
    elif isinstance(value, list):
        for held in value:
            if isinstance(held, str) and under_key:
                yield held
            elif isinstance(held, Mapping) and not _is_entry(held):
                yield from _listed(held, under_key=under_key)


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        yield value
    for held in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _mappings(held)


class _Walk:
    """Walks the values of a file and takes the rules."""

    def __init__(self, file: ForeignFile, keys: ColumnKeys, reading: Reading) -> None:
        self._file, self._keys, self._reading = file, keys, reading

    def see(self, value: Any, place: _Place) -> None:
        """Take what is in a list or a mapping."""
        if isinstance(value, Mapping):
            for key, held in value.items():
                self._under_key(key, held, place)
        else:
            for number, held in enumerate(value):
                self._item(held, replace(place, loc=(*place.loc, number)))

    def _under_key(self, key: str, value: Any, place: _Place) -> None:
        below = place.below(key)
        if isinstance(value, list) or (isinstance(value, Mapping) and not _is_entry(value)):
            self.see(value, below)
        elif isinstance(value, Mapping):
            take_entry(self._worded(value, place), key, *self._context(below, place))
        elif key.casefold() == "name" and isinstance(value, str) and not place.section:
            self._reading.name = self._reading.text_at(value, "name", self._file.where(*below.loc))
        elif isinstance(value, str) and directive_of(key):
            self._item(value, below)
        elif isinstance(value, str) and key.casefold() not in _ABOUT_THE_FILE and len(value.split()) > 2:
            take_entry(self._worded(value, place), key, *self._context(below, place))
        else:
            self._reading.ignore([key])

    def _item(self, value: Any, place: _Place) -> None:
        """Take one item of a list."""
        if value is None:
            self._reading.skip("an empty entry", self._file.where(*place.loc))
        elif isinstance(value, list) or (isinstance(value, Mapping) and self._is_group(value)):
            self.see(value, place)
        elif isinstance(value, Mapping) and len(value) == 1 and not _is_entry(value):
            # `- no brand: not even ours` is a mapping for YAML, and a sentence with a colon for its author.
            key, held = next(iter(value.items()))
            if isinstance(held, str):
                self._item(f"{key}: {held}", place)
            else:
                take_entry(value, None, *self._context(place, place))
        elif place.directive is Directive.MAY:
            reason = f"below {yaml_line(place.key)}: a permission, which no reply can break"
            self._reading.skip(reason, self._file.where(*place.loc), value if isinstance(value, str) else "")
        else:
            take_entry(self._worded(value, place), None, *self._context(place, place))

    def _is_group(self, value: Mapping[str, Any]) -> bool:
        """Return whether an item holds further rules: `- never: [...]`, `- never: name a brand`."""
        if _is_entry(value):
            return False
        return any(isinstance(held, list | Mapping) or directive_of(key) for key, held in value.items())

    def _context(
        self, place: _Place, around: _Place
    ) -> tuple[str, ColumnKeys, Reading, dict[str, str] | None]:
        """Return where an entry is, and the section that the keys above it name."""
        section = SECTION_SEPARATOR.join(around.section)
        if section and section not in self._reading.sections:
            self._reading.sections.append(section)
        return (
            self._file.where(*place.loc),
            self._keys,
            self._reading,
            {"section": section} if section else None,
        )

    def _worded(self, value: Any, place: _Place) -> Any:
        """Return a rule, or a mapping with its text, as a sentence that asks or forbids."""
        if place.directive is None:
            return value
        if isinstance(value, Mapping):
            own = self._keys.of(value).get("text")
            text = value.get(own) if own else None
            return {**value, own: self._sentence(text, place)} if own and isinstance(text, str) else value
        return self._sentence(value, place) if isinstance(value, str) else value

    def _sentence(self, text: str, place: _Place) -> str:
        assert place.directive is not None
        made = sentence(place.directive, text)
        where = self._file.where(*place.loc)
        if made != text.strip():
            self._reading.note(
                f"below {yaml_line(place.key)}: made a sentence, 'The reply {place.directive.value} ...'",
                where,
            )
        if place.directive.forbids and denies_already(text):
            self._reading.note("a rule that denies, below a key that forbids, is forbidden once", where)
        return made

"""Inheritance between constitution files: merge a file with its base, keeping source positions.

Principles are overridden by id, key by key; `null` resets a key to its default. The result keeps the position
marks of both files, so each mistake is reported at the line to fix.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from constitution.schema import Principle, is_id
from core.text.explain import Loc, Misfit, one_of, yaml_line
from core.text.yaml_file import Mark, YamlDocument

_OWN = ("name", "version", "extends", "remove", "document")
"""Keys that are not inherited."""
_RESETS = frozenset(f.alias or name for name, f in Principle.model_fields.items() if not f.is_required())
"""Keys of a principle that `null` resets to their default."""


@dataclass(frozen=True, slots=True)
class Merged:
    """A file merged with its base, and the new positions of the file's principles."""

    document: YamlDocument
    positions: Mapping[int, int]
    """Index of each of the file's principles in the merged list."""

    def moved(self, misfit: Misfit) -> Misfit:
        """Return a misfit of the file with its location in the merged document."""
        first = misfit.first and self._at(misfit.first)
        return misfit._replace(loc=self._at(misfit.loc), first=first)

    def _at(self, loc: Loc) -> Loc:
        if loc[:1] == ("principles",) and len(loc) > 1 and isinstance(loc[1], int):
            return (loc[0], self.positions[loc[1]], *loc[2:])
        return loc


def entries_of(document: YamlDocument | None) -> list[Any]:
    """Return a document's principles unvalidated; empty if they are not a list."""
    entries = document.value.get("principles") if document is not None else None
    return entries if isinstance(entries, list) else []


def ids_of(document: YamlDocument | None) -> dict[str, int]:
    """Return the ids of a document's principles, each with the index of its first occurrence."""
    ids: dict[str, int] = {}
    for index, entry in enumerate(entries_of(document)):
        if isinstance(entry, dict) and isinstance(entry.get("id"), str):
            ids.setdefault(entry["id"], index)
    return ids


def merge(base: YamlDocument, file: YamlDocument) -> Merged:
    """Return a file merged with its base. Both must be in full form."""
    # An id that is both removed and defined is a mistake, reported by `misfits_of`. Merge it as an override.
    removed = _removed(file) - ids_of(file).keys()
    kept = [
        index
        for index, entry in enumerate(entries_of(base))
        if not (isinstance(entry, dict) and isinstance(entry.get("id"), str) and entry["id"] in removed)
    ]
    base_at = {index: position for position, index in enumerate(kept)}
    positions = _positions(base, file, base_at)
    value = {key: inherited for key, inherited in base.value.items() if key not in _OWN} | file.value
    is_list = isinstance(file.value.get("principles", []), list)
    if is_list and isinstance(base.value.get("principles"), list):
        value["principles"] = _principles(base, file, kept, positions)
    passages = [base.value.get("passages", {}), file.value.get("passages", {})]
    if all(isinstance(named, dict) for named in passages) and any(passages):
        value["passages"] = passages[0] | passages[1]
    document = _marked(base, file, value, base_at if is_list else {}, positions)
    return Merged(document, positions)


def _removed(file: YamlDocument) -> frozenset[str]:
    """Return the ids under `remove`, ignoring entries that are not text."""
    removed = file.value.get("remove")
    return frozenset(e for e in removed if isinstance(e, str)) if isinstance(removed, list) else frozenset()


def _positions(base: YamlDocument, file: YamlDocument, base_at: Mapping[int, int]) -> dict[int, int]:
    """Return the merged index of each of the file's principles: that of the one it overrides, or the end."""
    free = {name: base_at[index] for name, index in ids_of(base).items() if index in base_at}
    positions: dict[int, int] = {}
    end = len(base_at)
    for index, entry in enumerate(entries_of(file)):
        name = entry.get("id") if isinstance(entry, dict) else None
        if isinstance(name, str) and name in free:
            positions[index] = free.pop(name)
        else:
            positions[index], end = end, end + 1
    return positions


def _principles(
    base: YamlDocument, file: YamlDocument, kept: list[int], positions: Mapping[int, int]
) -> list[Any]:
    """Return the merged principles: the remaining ones of the base, overridden, then the new ones."""
    merged = [entries_of(base)[index] for index in kept]
    inherited = len(merged)
    for index, entry in enumerate(entries_of(file)):
        if positions[index] >= inherited:
            merged.append(entry)
            continue
        merged[positions[index]] = _less_resets(merged[positions[index]] | entry)
    return merged


def without_base(file: YamlDocument) -> YamlDocument:
    """Return a file whose base is unknown, without the nulls that reset a key: they are not mistakes."""
    entries = [_less_resets(e) if isinstance(e, dict) and "id" in e else e for e in entries_of(file)]
    return replace(file, value={**file.value, "principles": entries}) if entries else file


def _less_resets(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if value is not None or key not in _RESETS}


def _marked(
    base: YamlDocument,
    file: YamlDocument,
    value: dict[str, Any],
    base_at: Mapping[int, int],
    positions: Mapping[int, int],
) -> YamlDocument:
    """Return the merged value with the file's marks, and the base's marks for inherited values."""
    own = {loc: _into(loc, positions) for loc in (*file.marks, *file.key_marks)}
    given = set(own.values()) - {("principles",)}

    def inherited(loc: Loc) -> Loc | None:
        if not loc or loc[0] in _OWN:
            return None
        at = _into(loc, base_at)
        # A key in the file hides the whole subtree of the base, except that principles and passages merge
        # entry by entry.
        depth = {"principles": 3, "passages": 2}.get(str(at[0]), 1) if at else 0
        return None if not at or (len(at) >= depth and at[:depth] in given) else at

    marks = {
        at: Mark(m.line, m.column, m.path or base.path)
        for loc, m in base.marks.items()
        if (at := inherited(loc))
    }
    keys = {
        at: Mark(m.line, m.column, m.path or base.path)
        for loc, m in base.key_marks.items()
        if (at := inherited(loc))
    }
    written = {at: text for loc, text in base.written.items() if (at := inherited(loc))}
    return replace(
        file,
        value=value,
        marks=marks | {own[loc]: mark for loc, mark in file.marks.items() if own[loc] is not None},
        key_marks=keys | {own[loc]: mark for loc, mark in file.key_marks.items()},
        written=written | {_into(loc, positions): text for loc, text in file.written.items()},
    )


def _into(loc: Loc, positions: Mapping[int, int]) -> Loc:
    """Return the location in the merged document, or the empty location if it was removed."""
    if len(loc) < 2 or loc[0] != "principles" or not isinstance(loc[1], int):
        return loc
    return (loc[0], positions[loc[1]], *loc[2:]) if loc[1] in positions else ()


def misfits_of(base: YamlDocument, file: YamlDocument, merged: Merged) -> Iterator[Misfit]:
    """Yield the conflicts between a file and its base."""
    yield from _wrongly_removed(base, file, merged)
    known = ids_of(base)
    for index, entry in enumerate(entries_of(file)):
        name = entry.get("id") if isinstance(entry, dict) else None
        if isinstance(name, str) and "text" not in entry and name not in known:
            loc: Loc = ("principles", merged.positions[index], "id")
            what = f"{base.path.name} has no principle {yaml_line(name)} to override, and text is missing"
            yield Misfit(loc, what, f"a line 'text: ...', or {one_of(known, name)}")
    if entries_of(base) and merged.document.value.get("principles") == []:
        yield Misfit(("remove",), "every principle is removed", "a constitution with at least one principle")
    yield from _passages_of_others(base, file, merged)


def _wrongly_removed(base: YamlDocument, file: YamlDocument, merged: Merged) -> Iterator[Misfit]:
    """Yield the mistakes in `remove`: unknown ids, duplicates, and ids that the file also defines."""
    known, own = ids_of(base), ids_of(file)
    removed = file.value.get("remove")
    first: dict[str, Loc] = {}
    for index, name in enumerate(removed if isinstance(removed, list) else ()):
        loc: Loc = ("remove", index)
        if not isinstance(name, str) or not is_id(name):
            continue
        if first.setdefault(name, loc) != loc:
            yield Misfit(loc, f"duplicate id {yaml_line(name)} in remove", "each id once", first=first[name])
        elif name not in known:
            what = f"{base.path.name} has no principle {yaml_line(name)} to remove"
            yield Misfit(loc, what, one_of(known, name))
        elif name in own:
            line = merged.document.mark(("principles", merged.positions[own[name]], "id")).line
            what = f"the principle {yaml_line(name)} is both removed and defined (in line {line})"
            yield Misfit(loc, what, "one of the two")


def _passages_of_others(base: YamlDocument, file: YamlDocument, merged: Merged) -> Iterator[Misfit]:
    """Yield the passages of the file's document that would replace those that inherited principles use."""
    before, own = base.value.get("passages"), file.value.get("passages")
    if not isinstance(before, dict) or not isinstance(own, dict):
        return
    for index, entry in enumerate(entries_of(merged.document)):
        source = entry.get("source") if isinstance(entry, dict) else None
        inherited = merged.document.mark(("principles", index, "source")).path
        anchor = source.removeprefix("#") if isinstance(source, str) and inherited else None
        if anchor is None or anchor not in before or anchor not in own or before[anchor] == own[anchor]:
            continue
        if file.mark(("passages", anchor)).path:
            what = f"the document's passage {yaml_line(source)} differs from that of {base.path.name}, which"
            what += f" the principle {yaml_line(entry.get('id'))} refers to"
            accepted = "a different anchor, or the passage under passages to replace it"
            yield Misfit(("document",), what, accepted)

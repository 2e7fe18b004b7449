"""A constitution that extends another: the two files made one, each value with the place where it stands.

Principles are overridden by id, key by key; `null` resets a key to its default. The result has the marks of
both files, so that a mistake is told where a person can mend it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from constitution.schema import Principle, is_id
from core.text.explain import Loc, Misfit, one_of, yaml_line
from core.text.yaml_file import Mark, YamlDocument

_OWN = ("name", "version", "extends", "remove", "document")
"""What a file says of itself alone."""


_RESETS = frozenset(f.alias or name for name, f in Principle.model_fields.items() if not f.is_required())
"""The keys of a principle that have a default to go back to."""


@dataclass(frozen=True, slots=True)
class Merged:
    """A file with its base, and where the parts of both have gone."""

    document: YamlDocument
    positions: Mapping[int, int]
    """Where each principle of the file stands in the merged list."""

    def moved(self, misfit: Misfit) -> Misfit:
        """Return a misfit of the file as one of the merged document."""
        first = misfit.first and self._at(misfit.first)
        return misfit._replace(loc=self._at(misfit.loc), first=first)

    def _at(self, loc: Loc) -> Loc:
        if loc[:1] == ("principles",) and len(loc) > 1 and isinstance(loc[1], int):
            return (loc[0], self.positions[loc[1]], *loc[2:])
        return loc


def entries_of(document: YamlDocument | None) -> list[Any]:
    """Return a document's principles, whatever they are; none if there is no list."""
    entries = document.value.get("principles") if document is not None else None
    return entries if isinstance(entries, list) else []


def ids_of(document: YamlDocument | None) -> dict[str, int]:
    """Return the ids of a document's principles, and where each occurs first."""
    ids: dict[str, int] = {}
    for index, entry in enumerate(entries_of(document)):
        if isinstance(entry, dict) and isinstance(entry.get("id"), str):
            ids.setdefault(entry["id"], index)
    return ids


def merge(base: YamlDocument, file: YamlDocument) -> Merged:
    """Return a file with what it takes over from its base; both are in full form."""
    removed = _removed(file) - ids_of(file).keys()
    kept = [
        index
        for index, entry in enumerate(entries_of(base))
        if not (isinstance(entry, dict) and isinstance(entry.get("id"), str) and entry["id"] in removed)
    ]
    base_at = {index: position for position, index in enumerate(kept)}
    positions = _positions(base, file, base_at)
    value = {key: said for key, said in base.value.items() if key not in _OWN} | file.value
    is_list = isinstance(file.value.get("principles", []), list)
    if is_list and isinstance(base.value.get("principles"), list):
        value["principles"] = _principles(base, file, kept, positions)
    passages = [base.value.get("passages", {}), file.value.get("passages", {})]
    if all(isinstance(named, dict) for named in passages) and any(passages):
        value["passages"] = passages[0] | passages[1]
    document = _marked(base, file, value, base_at if is_list else {}, positions)
    return Merged(document, positions)


def _removed(file: YamlDocument) -> frozenset[str]:
    """Return the ids that the file removes, as far as it names any."""
    removed = file.value.get("remove")
    return frozenset(e for e in removed if isinstance(e, str)) if isinstance(removed, list) else frozenset()


def _positions(base: YamlDocument, file: YamlDocument, base_at: Mapping[int, int]) -> dict[int, int]:
    """Return where the file's principles go: to the one of the base that they change, or to the end."""
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
    """Return the principles of both."""
    merged = [entries_of(base)[index] for index in kept]
    inherited = len(merged)
    for index, entry in enumerate(entries_of(file)):
        if positions[index] >= inherited:
            merged.append(entry)
            continue
        merged[positions[index]] = _less_resets(merged[positions[index]] | entry)
    return merged


def without_base(file: YamlDocument) -> YamlDocument:
    """Return a file whose base is not known, less what would reset a key: it is no mistake."""
    entries = [_less_resets(e) if isinstance(e, dict) and "id" in e else e for e in entries_of(file)]
    return replace(file, value={**file.value, "principles": entries}) if entries else file


def _less_resets(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: said for key, said in entry.items() if said is not None or key not in _RESETS}


def _marked(
    base: YamlDocument,
    file: YamlDocument,
    value: dict[str, Any],
    base_at: Mapping[int, int],
    positions: Mapping[int, int],
) -> YamlDocument:
    """Return the merged value with the marks of both files, the base's only for what is the base's."""
    own = {loc: _into(loc, positions) for loc in (*file.marks, *file.key_marks)}
    said = set(own.values()) - {("principles",)}

    def inherited(loc: Loc) -> Loc | None:
        if not loc or loc[0] in _OWN:
            return None
        at = _into(loc, base_at)
        # A key that the file gives hides all that is below it in the base; a list of principles does not.
        depth = {"principles": 3, "passages": 2}.get(str(at[0]), 1) if at else 0
        return None if not at or (len(at) >= depth and at[:depth] in said) else at

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
    """Return where a place of one file lies in the merged one; the empty place if it is gone."""
    if len(loc) < 2 or loc[0] != "principles" or not isinstance(loc[1], int):
        return loc
    return (loc[0], positions[loc[1]], *loc[2:]) if loc[1] in positions else ()


def misfits_of(base: YamlDocument, file: YamlDocument, merged: Merged) -> Iterator[Misfit]:
    """Yield what is wrong between a file and its base."""
    yield from _wrongly_removed(base, file, merged)
    known = ids_of(base)
    for index, entry in enumerate(entries_of(file)):
        name = entry.get("id") if isinstance(entry, dict) else None
        if isinstance(name, str) and "text" not in entry and name not in known:
            loc: Loc = ("principles", merged.positions[index], "id")
            what = f"there is no principle {yaml_line(name)} in {base.path.name} to change, and no text"
            yield Misfit(loc, what, f"a line 'text: ...', or {one_of(known, name)}")
    if entries_of(base) and merged.document.value.get("principles") == []:
        yield Misfit(("remove",), "every principle is removed", "a constitution with at least one principle")
    yield from _passages_of_others(base, file, merged)


def _wrongly_removed(base: YamlDocument, file: YamlDocument, merged: Merged) -> Iterator[Misfit]:
    """Yield what `remove` names that is not there, or is there again."""
    known, own = ids_of(base), ids_of(file)
    removed = file.value.get("remove")
    first: dict[str, Loc] = {}
    for index, name in enumerate(removed if isinstance(removed, list) else ()):
        loc: Loc = ("remove", index)
        if not isinstance(name, str) or not is_id(name):
            continue
        if first.setdefault(name, loc) != loc:
            yield Misfit(loc, f"{yaml_line(name)} is removed again", "each id once", first=first[name])
        elif name not in known:
            what = f"there is no principle {yaml_line(name)} in {base.path.name} to remove"
            yield Misfit(loc, what, one_of(known, name))
        elif name in own:
            line = merged.document.mark(("principles", merged.positions[own[name]], "id")).line
            what = f"the principle {yaml_line(name)} is removed, and given in line {line}"
            yield Misfit(loc, what, "one of the two")


def _passages_of_others(base: YamlDocument, file: YamlDocument, merged: Merged) -> Iterator[Misfit]:
    """Yield the passages of the file's document that would take the place of those that its base means."""
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
            what = (
                f"the document has another passage {yaml_line(source)} than {base.path.name}, whose principle"
            )
            what += f" {yaml_line(entry.get('id'))} names it"
            yield Misfit(("document",), what, "another anchor, or the passage under passages, to replace it")

"""Mistakes of a constitution file, answered with the line to write where it can be told."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from constitution.asked.near_misses import ACCEPTED_CHECK, CHECK_KINDS, is_kind, right_check, same_side
from constitution.asked.values import phrases
from core.text.explain import Misfit, one_of
from core.text.yaml_writing import yaml_flow

_UNKNOWN_KEY = "unknown key "
_ALIKE, _MAX_NAME = 0.7, 40


def with_right_checks(value: Mapping[str, Any], misfits: Iterable[Misfit]) -> Iterator[Misfit]:
    """Yield the misfits of a document, one for each check that is almost right, with its line as accepted.

    Args:
        value: The document's value.
        misfits: What does not fit, by its place in the document.
    """
    told: set[int] = set()
    for misfit in misfits:
        index = _principle_of(misfit)
        right = None if index is None else _right(value["principles"][index], misfit)
        if right is None:
            yield _explained(value, misfit)
        elif index is not None and index not in told:
            told.add(index)
            yield misfit._replace(accepted=right)


def _principle_of(misfit: Misfit) -> int | None:
    """Return the position of the principle whose check, or a key in its place, does not fit."""
    loc = misfit.loc
    if len(loc) < 3 or loc[0] != "principles" or not isinstance(loc[1], int):
        return None
    return loc[1] if loc[2] == "check" or _is_misplaced(misfit) else None


def _is_misplaced(misfit: Misfit) -> bool:
    """Return whether a key of a principle is one of its check, as `max_words: 80` or `kind: max_words`."""
    if len(misfit.loc) != 3 or not misfit.what.startswith(_UNKNOWN_KEY):
        return False
    key = str(misfit.loc[2])
    return key in ("kind", "value", "checks") or is_kind(key)


def _right(principle: Any, misfit: Misfit) -> str | None:
    """Return the line to write in place of what a principle has."""
    if misfit.loc[2] == "check":
        return right_check(principle["check"])
    if misfit.loc[2] == "checks":
        return right_check(principle["checks"])
    if "check" in principle:
        return None
    return right_check(
        {key: entry for key, entry in principle.items() if key in ("kind", "value") or is_kind(key)}
    )


def _explained(value: Mapping[str, Any], misfit: Misfit) -> Misfit:
    """Return a misfit without what is of no use to a person, and with an example of a list."""
    loc, accepted = misfit.loc, misfit.accepted or ""
    if loc[0:1] == ("principles",) and loc[2:] == ("check",) and accepted.startswith("a mapping"):
        return misfit._replace(accepted=ACCEPTED_CHECK)
    if loc[0:1] == ("principles",) and loc[2:] == ("check", "kind") and accepted.startswith("one of"):
        return misfit._replace(accepted=_kinds(_at(value, loc)))
    entry = _at(value, loc) if accepted == "a list" else None
    listed = phrases(entry) if isinstance(entry, str) and loc != ("principles",) else None
    return misfit._replace(accepted=f"a list: {yaml_flow(listed)}") if listed else misfit


def _kinds(name: object) -> str:
    """Return the kinds of checks, with the nearest one that does not mean the opposite."""
    known = same_side(name) if isinstance(name, str) and len(name) < _MAX_NAME else []
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=_ALIKE)
    return one_of(CHECK_KINDS) + (f" (did you mean {near[0]!r}?)" if near else "")


def _at(value: Any, loc: tuple[str | int, ...]) -> object:
    for part in loc:
        value = value[part]
    return value

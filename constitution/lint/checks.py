"""Lint rules for single machine checks: disagreement with the text, and vacuous or slow patterns."""

from __future__ import annotations

import re
from collections.abc import Iterator

from constitution.asked.near_misses import CHECK_KINDS
from constitution.checks.evaluate import matches
from constitution.lint.bounds import bound_sides
from constitution.lint.contradictions import UNITS, Checked, principles_with_checks
from constitution.lint.subject import Hit, LintContext
from constitution.lint.text import READ_CHARACTERS
from constitution.schema import Constitution, Principle
from core.text.explain import yaml_line

_SMALL = "one two three four five six seven eight nine ten eleven twelve".split(" ")  # noqa: SIM905
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "hundred": 100}
_NUMBERS = {"a": 1, **{word: value for value, word in enumerate(_SMALL, start=1)}, **_TENS}
_NUMBER = rf"(?P<number>\d[\d,]*|{'|'.join(_NUMBERS)})"
_COUNTED = {
    unit: re.compile(rf"(?i)\b{_NUMBER}[ -](?:\w+ )?{unit.rstrip('s')}s?\b") for unit in UNITS[:3]
} | {
    "list_items": re.compile(
        rf"(?i)\b{_NUMBER}[ -](?:\w+[ -])?(?:bullet(?:ed)?|list|items?|points?|entr(?:y|ies))\b"
    ),
    "grade": re.compile(r"(?i)\bgrade (?P<number>\d+)\b|\b(?P<ordinal>\d+)(?:st|nd|rd|th)[ -]grade"),
}
_COUNTED["sentence_words"] = _COUNTED["words"]
_EXCLUSIVE = re.compile(r"(?i)\b(?:fewer|less|more|under|over|below|above|exceed)\b")

_PROBES = ("", "a", "7", "The reply is short.", "\n", "¿Qué?", "- one\n- two")
_SEARCHED_CHARACTERS = 1_000
"""Length of the beginning of a pattern that is searched: the search for nested repetitions is quadratic."""
_NESTED = re.compile(r"\((?:\?:|\?P<\w+>)?[^()|]*(?<!\\)[+*][^()|]*\)(?:[+*]|\{\d+,\})")


def lint_checks(constitution: Constitution, context: LintContext) -> Iterator[Hit]:
    """Yield the findings about single machine checks of a constitution."""
    for checked in principles_with_checks(constitution):
        disagreeing = list(_against_text(checked))
        yield from disagreeing or _id(checked)  # an id made from the text says what the text says
        yield from _pattern(checked)


def _against_text(entry: Checked) -> Iterator[Hit]:
    """Yield a finding if a bound and the principle's text have different numbers or opposite bounds."""
    side, _, unit = entry.check.kind.partition("_")
    if side not in ("min", "max") or unit not in UNITS:
        return
    text = entry.principle.text[:READ_CHARACTERS]
    counted = [_number(m) for m in _COUNTED[unit].finditer(text)]
    named = {*counted, *(_number(m) for m in re.finditer(rf"(?i)\b{_NUMBER}\b", text))}
    allowed = {entry.value}
    if _EXCLUSIVE.search(text):  # "fewer than 60" is at most 59
        allowed.add(entry.value + (1 if side == "max" else -1))
    if counted and not named & allowed:
        what = (
            f"the text says {counted[0]:g} {unit.removeprefix('sentence_')}, but the check is {entry.label}"
        )
        yield Hit("L305", entry.loc, what, "make them agree")
        return
    sides = bound_sides(text, _NUMBER) if counted else set()
    if len(sides) == 1 and side not in sides:
        asked = sides.pop()
        what = (
            f"the text gives a {'minimum' if asked == 'min' else 'maximum'}, but the check is {entry.label}"
        )
        other = f"{asked}_{unit}"
        hint = f"use {other}, or fix the text" if other in CHECK_KINDS else "fix the text, or the check"
        yield Hit("L305", entry.loc, what, hint)


def value_beside_id(principle: Principle) -> str | None:
    """Return the check of a principle whose id names another number, such as `max_words 25`; else None.

    An id stays when the check's value is edited, so `at-most-70-words` may be a limit of 25 words.
    """
    if principle.check is None:
        return None
    side, _, unit = principle.check.kind.partition("_")
    if side not in ("min", "max") or unit not in UNITS:
        return None
    named = [_number(match) for match in _COUNTED[unit].finditer(re.sub("[-_.]", " ", principle.id))]
    value = principle.check.value
    assert isinstance(value, int | float)  # of every bound
    near = any(abs(number - value) <= 1 for number in named)  # `under-60-words` is at most 59
    return None if near or not named else f"{principle.check.kind} {value:g}"


def _id(entry: Checked) -> Iterator[Hit]:
    """Yield a finding if the id names another number than the check."""
    check = value_beside_id(entry.principle)
    if check is not None:
        what = f"the id {entry.principle.id!r} names another value than its check, {check}"
        hint = "a new id judges anew; `lint_ignore: [L309]` keeps this one"
        yield Hit("L309", ("principles", entry.index), what, hint, (entry.index,))


def _number(match: re.Match[str]) -> float:
    groups = match.groupdict()
    word = (groups["number"] or groups.get("ordinal") or "").casefold()
    return _NUMBERS[word] if word in _NUMBERS else float(word.replace(",", ""))


def _pattern(entry: Checked) -> Iterator[Hit]:
    """Yield a finding if the pattern of a check is slow or vacuous."""
    if entry.check.kind not in ("regex", "not_regex"):
        return
    if _NESTED.search(entry.value[:_SEARCHED_CHARACTERS]):
        what = f"the pattern {yaml_line(entry.value)} repeats a group that itself repeats"
        yield Hit("L307", entry.loc, what, "write it with one repetition")
    elif all(matches(entry.value, probe) for probe in _PROBES):
        outcome = "always passes" if entry.check.kind == "regex" else "always fails"
        what = f"the pattern {yaml_line(entry.value)} is found in every text, so the check {outcome}"
        yield Hit("L306", entry.loc, what, "require at least one character")

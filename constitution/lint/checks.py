"""Lint rules for single machine checks: disagreement with the text, and vacuous or slow patterns."""

from __future__ import annotations

import re
from collections.abc import Iterator

from constitution.checks.evaluate import matches
from constitution.lint.contradictions import UNITS, Checked, principles_with_checks
from constitution.lint.subject import Hit, LintContext
from constitution.lint.text import READ_CHARACTERS
from constitution.schema import Constitution
from core.text.explain import yaml_line

_SMALL = "one two three four five six seven eight nine ten eleven twelve".split(" ")  # noqa: SIM905
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "hundred": 100}
_NUMBERS = {"a": 1, **{word: value for value, word in enumerate(_SMALL, start=1)}, **_TENS}
_NUMBER = rf"(?P<number>\d[\d,]*|{'|'.join(_NUMBERS)})"
_COUNTED = {
    unit: re.compile(rf"(?i)\b{_NUMBER}[ -](?:\w+ )?{unit.rstrip('s')}s?\b") for unit in UNITS[:3]
} | {"grade": re.compile(r"(?i)\bgrade (?P<number>\d+)\b|\b(?P<ordinal>\d+)(?:st|nd|rd|th)[ -]grade")}
_EXCLUSIVE = re.compile(r"(?i)\b(?:fewer|less|more|under|over|below|above|exceed)\b")
_LOWEST = r"at least|no (?:fewer|less) than|not (?:fewer|less) than|more than|over|a minimum of"
_HIGHEST = (
    r"at most|no more than|not more than|up to|(?<!no )(?<!not )(?:fewer|less) than|under|below|a maximum of"
    r"|within"
)
_ASKS_MIN = re.compile(rf"(?i)\b(?<!no )(?<!not )(?:{_LOWEST}) {_NUMBER}\b")
_ASKS_MAX = re.compile(rf"(?i)\b(?:{_HIGHEST}) {_NUMBER}\b")

_PROBES = ("", "a", "7", "The reply is short.", "\n", "¿Qué?", "- one\n- two")
_SEARCHED_CHARACTERS = 1_000
"""Length of the beginning of a pattern that is searched: the search for nested repetitions is quadratic."""
_NESTED = re.compile(r"\((?:\?:|\?P<\w+>)?[^()|]*(?<!\\)[+*][^()|]*\)(?:[+*]|\{\d+,\})")


def lint_checks(constitution: Constitution, context: LintContext) -> Iterator[Hit]:
    """Yield the findings about single machine checks of a constitution."""
    for checked in principles_with_checks(constitution):
        yield from _against_text(checked)
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
        what = f"the text says {counted[0]:g} {unit}, but the check is {entry.label}"
        yield Hit("L305", entry.loc, what, "make them agree")
        return
    asks_min, asks_max = bool(_ASKS_MIN.search(text)), bool(_ASKS_MAX.search(text))
    if counted and asks_min != asks_max and asks_min != (side == "min"):
        what = f"the text gives a {'minimum' if asks_min else 'maximum'}, but the check is {entry.label}"
        yield Hit("L305", entry.loc, what, f"use {'min' if asks_min else 'max'}_{unit}, or fix the text")


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

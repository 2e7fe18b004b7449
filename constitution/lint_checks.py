"""Lint of machine checks: pairs that no reply can pass, and checks that say what their text does not."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from constitution.check_kinds import Check
from constitution.checks import evaluate, matches
from constitution.language import TWINS
from constitution.lint_subject import Hit, LintContext, meet
from constitution.schema import Constitution, Principle
from core.explain import Loc, shown
from core.similarity import words_of

_UNITS = ("words", "sentences", "characters", "grade")
_SMALL = "one two three four five six seven eight nine ten eleven twelve".split(" ")  # noqa: SIM905
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "hundred": 100}
_NUMBERS = {"a": 1, **{word: value for value, word in enumerate(_SMALL, start=1)}, **_TENS}
_NUMBER = rf"(?P<number>\d[\d,]*|{'|'.join(_NUMBERS)})"
_COUNTED = {
    unit: re.compile(rf"(?i)\b{_NUMBER}[ -](?:\w+ )?{unit.rstrip('s')}s?\b") for unit in _UNITS[:3]
} | {"grade": re.compile(r"(?i)\bgrade (?P<number>\d+)\b|\b(?P<ordinal>\d+)(?:st|nd|rd|th)[ -]grade")}
_EXCLUSIVE = re.compile(r"(?i)\b(?:fewer|less|more|under|over|below|above|exceed)\b")
_LOWEST = r"at least|no (?:fewer|less) than|not (?:fewer|less) than|more than|over|a minimum of"
_HIGHEST = (
    r"at most|no more than|not more than|up to|(?<!no )(?<!not )(?:fewer|less) than|under|below|a maximum of"
    r"|within"
)
_ASKS_MIN = re.compile(rf"(?i)\b(?<!no )(?<!not )(?:{_LOWEST}) {_NUMBER}\b")
_ASKS_MAX = re.compile(rf"(?i)\b(?:{_HIGHEST}) {_NUMBER}\b")

_CHANGE = "change one of the two"
_FORBIDDING = ("contains_none", "phrase_list", "not_starts_with", "not_ends_with", "ends_with_question")
_ASKING_ALL, _ASKING_ONE = ("contains",), ("contains_any", "starts_with", "ends_with")
_AT_THE_EDGE = {
    "not_starts_with": "starts_with",
    "not_ends_with": "ends_with",
    "ends_with_question": "ends_with",
}
_EXCLUSIVE_KINDS = ("language", "person", "refusal", "format", "ends_with_question")
_PROBES = ("", "a", "7", "The reply is short.", "\n", "¿Qué?", "- one\n- two")
_NESTED = re.compile(r"\((?:\?:|\?P<\w+>)?[^()|]*(?<!\\)[+*][^()|]*\)(?:[+*]|\{\d+,\})")


@dataclass(frozen=True, slots=True)
class _Checked:
    index: int
    principle: Principle
    check: Check

    @property
    def value(self) -> Any:
        """The check's value, of the type that its kind has."""
        return self.check.value

    @property
    def loc(self) -> Loc:
        return ("principles", self.index, "check", "value")


_ByKind = dict[str, list[_Checked]]


def lint_checks(constitution: Constitution, context: LintContext) -> Iterator[Hit]:
    """Yield what is wrong with the machine checks of a constitution."""
    by_kind: _ByKind = defaultdict(list)
    for index, principle in enumerate(constitution.principles):
        if principle.check is not None:
            checked = _Checked(index, principle, principle.check)
            by_kind[principle.check.kind].append(checked)
            yield from _against_text(checked)
            yield from _pattern(checked)
    yield from _bounds(by_kind)
    yield from _phrases(by_kind)
    yield from _patterns(by_kind)
    yield from _forms(by_kind)
    yield from _repeated(by_kind)


def _bounds(by_kind: _ByKind) -> Iterator[Hit]:
    """Yield, for each principle with a bound, the first earlier one that it cannot be kept with."""
    lower = [entry for unit in _UNITS for entry in by_kind.get(f"min_{unit}", ())]
    told = set()
    for unit in _UNITS:
        for high in by_kind.get(f"max_{unit}", ()):
            for low in lower:
                least = _implied(low, unit)
                if least is None or least <= high.value or not meet(low.principle, high.principle):
                    continue
                first, second = _in_order(low, high)
                if second.index not in told:
                    told.add(second.index)
                    what = f"{_told(second)} and {_told(first)} of {first.principle.id!r} cannot both be kept"
                    yield Hit("L301", second.loc, what, _CHANGE, (first.index,))


def _implied(low: _Checked, unit: str) -> float | None:
    """Return the least number of units that a lower bound leaves a text; None if it says nothing of them."""
    asked = low.check.kind.removeprefix("min_")
    if asked == unit:
        return float(low.value)
    if unit == "words" and asked == "sentences":
        return float(low.value)
    # Words are parted by white space, so that n of them have n - 1 characters between them.
    return 2.0 * low.value - 1 if unit == "characters" and asked in ("words", "sentences") else None


def _told(entry: _Checked) -> str:
    return f"{entry.check.kind} {shown(entry.value)}"


def _phrases(by_kind: _ByKind) -> Iterator[Hit]:
    """Yield the checks that ask for phrases which another forbids."""
    forbidding = _distinct(entry for kind in _FORBIDDING for entry in by_kind.get(kind, ()))
    by_word, wordless = _by_word(forbidding)
    for kind in (*_ASKING_ALL, *_ASKING_ONE):
        for asking in by_kind.get(kind, ()):
            words = {word for phrase in asking.value for word in words_of(phrase)}
            near = wordless | {position for word in words for position in by_word[word]}
            suspects = [forbidding[position] for position in sorted(near)]
            found = next((other for other in suspects if _forbids(other, asking)), None)
            if found is not None:
                first, second = _in_order(asking, found)
                what = (
                    f"{asking.principle.id!r} asks for {_listed(asking.value)}, which {found.principle.id!r}"
                )
                what += f" forbids ({found.check.kind})"
                yield Hit("L302", second.loc, what, _CHANGE, (first.index,))
    for kind in ("starts_with", "ends_with"):
        for first, second in _clashes(by_kind.get(kind, ()), _incompatible):
            other = f"{first.principle.id!r} asks for {_listed(first.value)}"
            what = f"{kind} {_listed(second.value)}, and {other}"
            yield Hit("L302", second.loc, what, _CHANGE, (first.index,))


def _distinct(entries: Iterable[_Checked]) -> list[_Checked]:
    """Return the entries less those that check the same on the same prompts as an earlier one."""
    first: dict[object, _Checked] = {}
    for entry in entries:
        scope = (entry.principle.applies_to, entry.principle.exempt)
        first.setdefault((entry.check.kind, entry.value, scope), entry)
    return list(first.values())


def _by_word(forbidding: Sequence[_Checked]) -> tuple[dict[str, set[int]], set[int]]:
    """Return who forbids a phrase with a word, by position, and who forbids something without words.

    A phrase can only hold another one whose words it has, so that most pairs of checks need no closer look.
    """
    by_word: dict[str, set[int]] = defaultdict(set)
    wordless = set()
    for position, entry in enumerate(forbidding):
        phrases = entry.value if isinstance(entry.value, tuple) else ("",)
        for phrase in phrases:
            words = words_of(phrase)
            if words:
                by_word[words[0]].add(position)
            else:
                wordless.add(position)
    return by_word, wordless


def _forbids(forbidding: _Checked, asking: _Checked) -> bool:
    """Whether a phrase that must be there is forbidden, or all that may stand for it are."""
    kind = asking.check.kind
    if _AT_THE_EDGE.get(forbidding.check.kind, kind) != kind:
        return False
    if not meet(asking.principle, forbidding.principle):
        return False
    wrong = (not evaluate(forbidding.check, phrase).passed for phrase in asking.value)
    return any(wrong) if kind in _ASKING_ALL else all(wrong)


def _incompatible(one: _Checked, two: _Checked) -> bool:
    """Whether no text can begin (or end) with a phrase of both."""
    return not any(evaluate(two.check, phrase).passed for phrase in one.value) and not any(
        evaluate(one.check, phrase).passed for phrase in two.value
    )


def _listed(phrases: Sequence[str]) -> str:
    return shown(phrases[0]) + (f" or {len(phrases) - 1} more" if len(phrases) > 1 else "")


def _patterns(by_kind: _ByKind) -> Iterator[Hit]:
    found = defaultdict(list)
    for entry in by_kind.get("regex", ()):
        found[entry.value].append(entry)
    for forbidding in by_kind.get("not_regex", ()):
        for asking in found[forbidding.value]:
            if meet(asking.principle, forbidding.principle):
                first, second = _in_order(asking, forbidding)
                what = (
                    f"{asking.principle.id!r} asks for the pattern that {forbidding.principle.id!r} forbids"
                )
                yield Hit("L302", second.loc, what, _CHANGE, (first.index,))


def _forms(by_kind: _ByKind) -> Iterator[Hit]:
    """Yield the checks whose forms exclude each other."""
    for kind in _EXCLUSIVE_KINDS:
        for first, second in _clashes(by_kind.get(kind, ()), _are_no_twins):
            what = f"{_told(second)}, and {first.principle.id!r} asks for {shown(first.value)}"
            yield Hit("L303", second.loc, what, _CHANGE, (first.index,))
    lists = [entry for entry in by_kind.get("format", ()) if entry.value == "list"]
    for json in by_kind.get("json", ()):
        other = next((entry for entry in lists if meet(json.principle, entry.principle)), None)
        if other is not None:
            first, second = _in_order(json, other)
            what = f"{json.principle.id!r} asks for JSON, and {other.principle.id!r} for a list"
            yield Hit("L303", second.loc, what, _CHANGE, (first.index,))


def _are_no_twins(one: _Checked, two: _Checked) -> bool:
    """Whether two values are not languages that count as one."""
    return not any({one.value, two.value} <= twins for twins in TWINS)


def _clashes(
    entries: Sequence[_Checked], clash: Callable[[_Checked, _Checked], bool]
) -> Iterator[tuple[_Checked, _Checked]]:
    """Yield each entry with the first earlier one of another value that it clashes with on some prompt."""
    for position, later in enumerate(entries):
        others = (earlier for earlier in entries[:position] if earlier.value != later.value)
        meeting = (earlier for earlier in others if meet(earlier.principle, later.principle))
        found = next((earlier for earlier in meeting if clash(earlier, later)), None)
        if found is not None:
            yield found, later


def _in_order(one: _Checked, two: _Checked) -> tuple[_Checked, _Checked]:
    """Return both, the earlier in the file first."""
    return (one, two) if one.index < two.index else (two, one)


def _repeated(by_kind: _ByKind) -> Iterator[Hit]:
    """Yield the checks that are there already for the same prompts."""
    for kind, entries in by_kind.items():
        seen: dict[Any, list[_Checked]] = defaultdict(list)
        for entry in entries:
            earlier = next((e for e in seen[entry.value] if meet(e.principle, entry.principle)), None)
            if earlier is not None:
                what = f"{earlier.principle.id!r} has the same check {kind}"
                yield Hit("L304", entry.loc, what, "delete one of the two", (earlier.index,))
            else:
                seen[entry.value].append(entry)


def _against_text(entry: _Checked) -> Iterator[Hit]:
    """Yield where a bound and the principle's text name other numbers, or opposite bounds."""
    side, _, unit = entry.check.kind.partition("_")
    if side not in ("min", "max") or unit not in _UNITS:
        return
    text = entry.principle.text
    counted = [_number(m) for m in _COUNTED[unit].finditer(text)]
    named = {*counted, *(_number(m) for m in re.finditer(rf"(?i)\b{_NUMBER}\b", text))}
    allowed = {entry.value}
    if _EXCLUSIVE.search(text):  # "fewer than 60" is at most 59
        allowed.add(entry.value + (1 if side == "max" else -1))
    if counted and not named & allowed:
        what = f"the text says {counted[0]:g} {unit}, and the check {_told(entry)}"
        yield Hit("L305", entry.loc, what, "make them the same")
        return
    asks_min, asks_max = bool(_ASKS_MIN.search(text)), bool(_ASKS_MAX.search(text))
    if counted and asks_min != asks_max and asks_min != (side == "min"):
        what = f"the text gives {'the least' if asks_min else 'the most'}, and the check {_told(entry)}"
        yield Hit("L305", entry.loc, what, f"use {'min' if asks_min else 'max'}_{unit}, or mend the text")


def _number(match: re.Match[str]) -> float:
    groups = match.groupdict()
    word = (groups["number"] or groups.get("ordinal") or "").casefold()
    return _NUMBERS[word] if word in _NUMBERS else float(word.replace(",", ""))


def _pattern(entry: _Checked) -> Iterator[Hit]:
    """Yield what is wrong with the pattern of a check."""
    if entry.check.kind not in ("regex", "not_regex"):
        return
    if _NESTED.search(entry.value):
        what = f"the pattern {shown(entry.value)} repeats a group that itself repeats"
        yield Hit("L307", entry.loc, what, "write it with one repetition")
    elif all(matches(entry.value, probe) for probe in _PROBES):
        outcome = "always passes" if entry.check.kind == "regex" else "always fails"
        what = f"the pattern {shown(entry.value)} is found in every text, so that the check {outcome}"
        yield Hit("L306", entry.loc, what, "ask for at least one character")

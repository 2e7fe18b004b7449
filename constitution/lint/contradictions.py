"""Lint of pairs of machine checks that no reply can pass together, or that are the same.

Every rule tells a principle of its first contradiction alone. Checks of a thousand principles are compared in
a tenth of a second: by value and words before by scope, and by scope before a check is run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from constitution.checks.evaluate import evaluate
from constitution.checks.kinds import Check
from constitution.checks.language import TWINS
from constitution.lint.subject import Hit, LintContext, may_lack_spaces, meet
from constitution.schema import Constitution, Principle
from core.text.explain import Loc, yaml_line
from core.text.similarity import words_of

UNITS = ("words", "sentences", "characters", "grade")
"""What `min_` and `max_` checks bound."""
_CHANGE = "change one of the two"
_FORBIDDING = ("contains_none", "phrase_list", "not_starts_with", "not_ends_with", "ends_with_question")
_ASKING_ALL, _ASKING_ONE = ("contains",), ("contains_any", "starts_with", "ends_with")
_AT_THE_EDGE = {
    "not_starts_with": "starts_with",
    "not_ends_with": "ends_with",
    "ends_with_question": "ends_with",
}
_EXCLUSIVE_KINDS = ("language", "person", "refusal", "format", "ends_with_question")


@dataclass(frozen=True, slots=True)
class Checked:
    """A principle with a machine check, and its position."""

    index: int
    principle: Principle
    check: Check

    @property
    def value(self) -> Any:
        """The check's value, of the type that its kind has."""
        return self.check.value

    @property
    def loc(self) -> Loc:
        """Where the check's value stands."""
        return ("principles", self.index, "check", "value")

    @property
    def told(self) -> str:
        """The check as messages name it."""
        return f"{self.check.kind} {yaml_line(self.value)}"


_ByKind = dict[str, list[Checked]]


def principles_with_checks(constitution: Constitution) -> list[Checked]:
    """Return the principles with a machine check, in the order of the file."""
    principles = enumerate(constitution.principles)
    return [Checked(index, p, p.check) for index, p in principles if p.check is not None]


def lint_contradictions(constitution: Constitution, context: LintContext) -> Iterator[Hit]:
    """Yield the checks that contradict or repeat others."""
    by_kind: _ByKind = defaultdict(list)
    for checked in principles_with_checks(constitution):
        by_kind[checked.check.kind].append(checked)
    for rule in (_bounds, _phrases, _patterns, _forms, _repeated):
        yield from rule(by_kind)


def _bounds(by_kind: _ByKind) -> Iterator[Hit]:
    """Yield, for each principle with a bound, the first earlier one that it cannot be kept with."""
    lower = [entry for unit in UNITS for entry in by_kind.get(f"min_{unit}", ())]
    told = set()
    for unit in UNITS:
        for high in by_kind.get(f"max_{unit}", ()):
            for low in lower:
                least = _implied(low, unit)
                if least is None or least <= high.value or not meet(low.principle, high.principle):
                    continue
                first, second = _in_order(low, high)
                if second.index not in told:
                    told.add(second.index)
                    what = f"{second.told} and {first.told} of {first.principle.id!r} cannot both be kept"
                    yield Hit("L301", second.loc, what, _CHANGE, (first.index,))


def _implied(low: Checked, unit: str) -> float | None:
    """Return the least number of units that a lower bound leaves a text; None if it says nothing of them."""
    asked = low.check.kind.removeprefix("min_")
    if asked == unit:
        return float(low.value)
    if unit == "words" and asked == "sentences":
        return float(low.value)
    # Words are parted by white space, so that n of them have n - 1 characters between them.
    return 2.0 * low.value - 1 if unit == "characters" and asked in ("words", "sentences") else None


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
                asked = f"{asking.principle.id!r} asks for {_listed(asking.value)}"
                what = f"{asked}, which {found.principle.id!r} forbids ({found.check.kind})"
                yield Hit("L302", second.loc, what, _CHANGE, (first.index,))
    for kind in ("starts_with", "ends_with"):
        for first, second in _clashes(by_kind.get(kind, ()), _incompatible):
            other = f"{first.principle.id!r} asks for {_listed(first.value)}"
            what = f"{kind} {_listed(second.value)}, and {other}"
            yield Hit("L302", second.loc, what, _CHANGE, (first.index,))


def _distinct(entries: Iterable[Checked]) -> list[Checked]:
    """Return the entries less those that check the same on the same prompts as an earlier one."""
    first: dict[object, Checked] = {}
    for entry in entries:
        scope = (entry.principle.applies_to, entry.principle.exempt)
        first.setdefault((entry.check.kind, entry.value, scope), entry)
    return list(first.values())


def _by_word(forbidding: Sequence[Checked]) -> tuple[dict[str, set[int]], set[int]]:
    """Return who forbids a phrase with a word, by position, and who forbids something without words.

    A phrase can only hold another one whose words it has, so that most pairs of checks need no closer look.
    In scripts without spaces words cannot be told, and such phrases count as wordless.
    """
    by_word: dict[str, set[int]] = defaultdict(set)
    wordless = set()
    for position, entry in enumerate(forbidding):
        phrases = entry.value if isinstance(entry.value, tuple) else ("",)
        for phrase in phrases:
            words = words_of(phrase)
            if words and not may_lack_spaces(phrase):
                by_word[words[0]].add(position)
            else:
                wordless.add(position)
    return by_word, wordless


def _forbids(forbidding: Checked, asking: Checked) -> bool:
    """Whether a phrase that must be there is forbidden, or all that may stand for it are."""
    kind = asking.check.kind
    if _AT_THE_EDGE.get(forbidding.check.kind, kind) != kind:
        return False
    if not meet(asking.principle, forbidding.principle):
        return False
    wrong = (not evaluate(forbidding.check, phrase).passed for phrase in asking.value)
    return any(wrong) if kind in _ASKING_ALL else all(wrong)


def _incompatible(one: Checked, two: Checked) -> bool:
    """Whether no text can begin (or end) with a phrase of both."""
    return not any(evaluate(two.check, phrase).passed for phrase in one.value) and not any(
        evaluate(one.check, phrase).passed for phrase in two.value
    )


def _listed(phrases: Sequence[str]) -> str:
    return yaml_line(phrases[0]) + (f" or {len(phrases) - 1} more" if len(phrases) > 1 else "")


def _patterns(by_kind: _ByKind) -> Iterator[Hit]:
    found = defaultdict(list)
    for entry in by_kind.get("regex", ()):
        found[entry.value].append(entry)
    for forbidding in by_kind.get("not_regex", ()):
        for asking in found[forbidding.value]:
            if meet(asking.principle, forbidding.principle):
                first, second = _in_order(asking, forbidding)
                asked = f"{asking.principle.id!r} asks for the pattern"
                what = f"{asked} that {forbidding.principle.id!r} forbids"
                yield Hit("L302", second.loc, what, _CHANGE, (first.index,))


def _forms(by_kind: _ByKind) -> Iterator[Hit]:
    """Yield the checks whose forms exclude each other."""
    for kind in _EXCLUSIVE_KINDS:
        for first, second in _clashes(by_kind.get(kind, ()), _are_no_twins):
            what = f"{second.told}, and {first.principle.id!r} asks for {yaml_line(first.value)}"
            yield Hit("L303", second.loc, what, _CHANGE, (first.index,))
    lists = [entry for entry in by_kind.get("format", ()) if entry.value == "list"]
    for entry in by_kind.get("json", ()):
        other = next((listed for listed in lists if meet(entry.principle, listed.principle)), None)
        if other is not None:
            first, second = _in_order(entry, other)
            what = f"{entry.principle.id!r} asks for JSON, and {other.principle.id!r} for a list"
            yield Hit("L303", second.loc, what, _CHANGE, (first.index,))


def _are_no_twins(one: Checked, two: Checked) -> bool:
    """Whether two values are not languages that count as one."""
    return not any({one.value, two.value} <= twins for twins in TWINS)


def _clashes(
    entries: Sequence[Checked], clash: Callable[[Checked, Checked], bool]
) -> Iterator[tuple[Checked, Checked]]:
    """Yield each entry with the first earlier one of another value that it clashes with on some prompt."""
    for position, later in enumerate(entries):
        others = (earlier for earlier in entries[:position] if earlier.value != later.value)
        meeting = (earlier for earlier in others if meet(earlier.principle, later.principle))
        found = next((earlier for earlier in meeting if clash(earlier, later)), None)
        if found is not None:
            yield found, later


def _in_order(one: Checked, two: Checked) -> tuple[Checked, Checked]:
    """Return both, the earlier in the file first."""
    return (one, two) if one.index < two.index else (two, one)


def _repeated(by_kind: _ByKind) -> Iterator[Hit]:
    """Yield the checks that are there already for the same prompts."""
    for kind, entries in by_kind.items():
        seen: dict[Any, list[Checked]] = defaultdict(list)
        for entry in entries:
            earlier = next((e for e in seen[entry.value] if meet(e.principle, entry.principle)), None)
            if earlier is not None:
                what = f"{earlier.principle.id!r} has the same check {kind}"
                yield Hit("L304", entry.loc, what, "delete one of the two", (earlier.index,))
            else:
                seen[entry.value].append(entry)

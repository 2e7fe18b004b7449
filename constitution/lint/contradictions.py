"""Lint rules for pairs of machine checks that contradict or duplicate each other.

Each rule reports only the first contradiction of a principle. Cheap comparisons come first to keep this fast
(a tenth of a second for the checks of a thousand principles): values and words, then scopes, and only then
running a check.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from constitution.checks.evaluate import evaluate
from constitution.checks.kinds import Check
from constitution.checks.language import SAME, TWINS
from constitution.lint.subject import Hit, LintContext, may_lack_spaces, scopes_overlap
from constitution.schema import Constitution, Principle
from core.text.explain import Loc, yaml_line
from core.text.similarity import words_of

UNITS = ("words", "sentences", "characters", "grade", "list_items", "sentence_words")
"""Quantities that `min_` and `max_` checks bound."""
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
    """A principle with a machine check, and its position in the constitution."""

    index: int
    principle: Principle
    check: Check

    @property
    def value(self) -> Any:
        """Value of the check; its type depends on the kind."""
        return self.check.value

    @property
    def loc(self) -> Loc:
        """Location of the check's value."""
        return ("principles", self.index, "check", "value")

    @property
    def label(self) -> str:
        """Kind and value of the check, for messages."""
        return f"{self.check.kind} {yaml_line(self.value)}"


_ByKind = dict[str, list[Checked]]


def principles_with_checks(constitution: Constitution) -> list[Checked]:
    """Return the principles with a machine check, in the order of the file."""
    principles = enumerate(constitution.principles)
    return [Checked(index, p, p.check) for index, p in principles if p.check is not None]


def lint_contradictions(constitution: Constitution, context: LintContext) -> Iterator[Hit]:
    """Yield the findings about checks that contradict or duplicate others."""
    by_kind: _ByKind = defaultdict(list)
    for checked in principles_with_checks(constitution):
        if not checked.principle.weight:
            continue  # only measured: no answer is asked to pass it
        by_kind[checked.check.kind].append(checked)
    for rule in (_bounds, _phrases, _patterns, _forms, _repeated):
        yield from rule(by_kind)


def _bounds(by_kind: _ByKind) -> Iterator[Hit]:
    """Yield, for each principle with a bound, its conflict with the first earlier one."""
    lower = [entry for unit in UNITS for entry in by_kind.get(f"min_{unit}", ())]
    reported = set()
    for unit in UNITS:
        for high in by_kind.get(f"max_{unit}", ()):
            for low in lower:
                least = _implied(low, unit)
                if least is None or least <= high.value or not scopes_overlap(low.principle, high.principle):
                    continue
                first, second = _in_order(low, high)
                if second.index not in reported:
                    reported.add(second.index)
                    bounds = f"{second.label} and {first.label} of {first.principle.id!r}"
                    what = f"no reply can satisfy both {bounds}"
                    yield Hit("L301", second.loc, what, _CHANGE, (first.index,))


def _implied(low: Checked, unit: str) -> float | None:
    """Return the minimum number of units that a lower bound implies; None if it implies none."""
    asked = low.check.kind.removeprefix("min_")
    if asked == unit:
        return float(low.value)
    if unit == "words" and asked == "sentences":
        return float(low.value)
    # Words are separated by white space: n words have at least n letters and n - 1 separators.
    return 2.0 * low.value - 1 if unit == "characters" and asked in ("words", "sentences") else None


def _phrases(by_kind: _ByKind) -> Iterator[Hit]:
    """Yield the checks that require phrases forbidden by another."""
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
                asked = f"{asking.principle.id!r} requires {_listed(asking.value)}"
                what = f"{asked}, which {found.principle.id!r} forbids ({found.check.kind})"
                yield Hit("L302", second.loc, what, _CHANGE, (first.index,))
    for kind in ("starts_with", "ends_with"):
        for first, second in _clashes(by_kind.get(kind, ()), _incompatible):
            other = f"{first.principle.id!r} requires {_listed(first.value)}"
            what = f"the check is {kind} {_listed(second.value)}, but {other}"
            yield Hit("L302", second.loc, what, _CHANGE, (first.index,))


def _distinct(entries: Iterable[Checked]) -> list[Checked]:
    """Return the entries without those that repeat an earlier check for the same prompts."""
    first: dict[object, Checked] = {}
    for entry in entries:
        scope = (entry.principle.applies_to, entry.principle.exempt)
        first.setdefault((entry.check.kind, entry.value, scope), entry)
    return list(first.values())


def _by_word(forbidding: Sequence[Checked]) -> tuple[dict[str, set[int]], set[int]]:
    """Return the positions of forbidding checks by the first word of each phrase, and the wordless ones.

    A phrase can contain another one only if it has all words of that one, so this index rules out most pairs
    of checks. Phrases in scripts without spaces cannot be split into words and count as wordless.
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
    """Return whether a required phrase is forbidden, or all alternatives are."""
    kind = asking.check.kind
    if _AT_THE_EDGE.get(forbidding.check.kind, kind) != kind:
        return False
    if not scopes_overlap(asking.principle, forbidding.principle):
        return False
    wrong = (not evaluate(forbidding.check, phrase).passed for phrase in asking.value)
    return any(wrong) if kind in _ASKING_ALL else all(wrong)


def _incompatible(one: Checked, two: Checked) -> bool:
    """Return whether no text can begin (or end) with a phrase of both checks."""
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
            if scopes_overlap(asking.principle, forbidding.principle):
                first, second = _in_order(asking, forbidding)
                asked = f"{asking.principle.id!r} requires the pattern"
                what = f"{asked} that {forbidding.principle.id!r} forbids"
                yield Hit("L302", second.loc, what, _CHANGE, (first.index,))


def _forms(by_kind: _ByKind) -> Iterator[Hit]:
    """Yield the checks whose required forms exclude each other."""
    for kind in _EXCLUSIVE_KINDS:
        for first, second in _clashes(by_kind.get(kind, ()), _are_distinct):
            required = f"{first.principle.id!r} requires {yaml_line(first.value)}"
            what = f"the check is {second.label}, but {required}"
            yield Hit("L303", second.loc, what, _CHANGE, (first.index,))
    lists = [entry for entry in by_kind.get("format", ()) if entry.value == "list"]
    for entry in by_kind.get("json", ()):
        other = next((listed for listed in lists if scopes_overlap(entry.principle, listed.principle)), None)
        if other is not None:
            first, second = _in_order(entry, other)
            what = f"{entry.principle.id!r} requires JSON, but {other.principle.id!r} requires a list"
            yield Hit("L303", second.loc, what, _CHANGE, (first.index,))


def _are_distinct(one: Checked, two: Checked) -> bool:
    """Return False for two languages that count as one (`TWINS`) or may be one (`same`), else True."""
    return SAME not in (one.value, two.value) and not any({one.value, two.value} <= twins for twins in TWINS)


def _clashes(
    entries: Sequence[Checked], clash: Callable[[Checked, Checked], bool]
) -> Iterator[tuple[Checked, Checked]]:
    """Yield each entry with the first earlier one of a different value that clashes on a shared prompt."""
    for position, later in enumerate(entries):
        others = (earlier for earlier in entries[:position] if earlier.value != later.value)
        overlapping = (earlier for earlier in others if scopes_overlap(earlier.principle, later.principle))
        found = next((earlier for earlier in overlapping if clash(earlier, later)), None)
        if found is not None:
            yield found, later


def _in_order(one: Checked, two: Checked) -> tuple[Checked, Checked]:
    """Return both entries in file order."""
    return (one, two) if one.index < two.index else (two, one)


def _repeated(by_kind: _ByKind) -> Iterator[Hit]:
    """Yield the checks that repeat an earlier one for the same prompts."""
    for kind, entries in by_kind.items():
        seen: dict[Any, list[Checked]] = defaultdict(list)
        for entry in entries:
            candidates = (e for e in seen[entry.value] if scopes_overlap(e.principle, entry.principle))
            earlier = next(candidates, None)
            if earlier is not None:
                what = f"{earlier.principle.id!r} has the same check {kind}"
                yield Hit("L304", entry.loc, what, "delete one of the two", (earlier.index,))
            else:
                seen[entry.value].append(entry)

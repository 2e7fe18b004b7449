"""Advice beside a bound, and exceptions from it: `5 sentences are usually enough`, `(200 for complaints)`.

`No more than 120 words; 80 are usually enough` asks for at most 120 words: what is enough is advice, which no
check decides. `(better 150)` behind the same bound contradicts it, and `(longer is fine for complaints)` is
an exception from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from constitution.asked.lines import CheckLine
from constitution.asked.quantities import NUMBER, spoken_number

_USUALLY = (
    r"(?:usually|normally|mostly|often|typically|generally|as a rule|in most cases|most of the time"
    r"|ideally|preferably|better|best|rather)"
)
_UNIT = (
    r"(?:words?|sentences?|characters?|paragraphs?|lines?|questions?|bullets?|bullet points?|items?|points?)"
)
_COUNT = (
    rf"(?:around |about )?(?P<_low>{NUMBER})(?: ?(?:to|or|-) ?(?P<_high>{NUMBER}))?(?: (?P<_unit>{_UNIT}))?"
    r"(?: or (?:fewer|less|shorter|more|longer))?"
)
_ENOUGH = r"(?:enough|sufficient|plenty|better|best|ideal|preferred|preferable|nicer)"
_FEWER, _MORE = r"fewer|less|shorter", r"more|longer"
_WHICH = rf"(?:(?P<_fewer>{_FEWER})|(?P<_more>{_MORE}))"
_WITHIN = r"(?:in|at most|up to|under|below|at least|(?:fewer|less|more) than)"
_IS = r"(?:is|are|will be|would be|should be)"
_DO = r"(?:(?:will |would )?(?:do|suffice))"
_VERY = rf"(?:(?:even|much|always|{_USUALLY}) )*"
_FORMS = (
    rf"{_USUALLY},? (?:only |just )?(?:{_WITHIN} )?(?:{_COUNT}|{_WHICH})"
    rf"(?: {_IS} (?:{_USUALLY} )?{_ENOUGH}| {_DO})?",
    rf"{_COUNT} (?:{_IS} {_VERY}{_ENOUGH}|(?:{_USUALLY} )?{_DO})(?:,? {_USUALLY})?",
    rf"{_WHICH} is {_VERY}(?:{_ENOUGH}|fine|welcome)",
    rf"the {_WHICH},? the better",
)
_ADVICE = re.compile(
    r"(?:but |and |though |even |still )*(?:"
    + "|".join(form.replace("(?P<", f"(?P<{letter}") for letter, form in zip("abcd", _FORMS, strict=True))
    + ")"
)
_INLINE = re.compile(rf"(?<=\w) but (?={_USUALLY} (?:{NUMBER}|{_FEWER}|{_MORE})\b)")
_ALLOWED = r"(?:fine|ok|okay|allowed|acceptable|permitted|welcome)"
_EXCEPTION = re.compile(
    rf"(?:but |and )?(?:up to |at most |better |rather )?{NUMBER}(?: {_UNIT})? (?:for|in|on|with)\b"
    rf"|.*\b(?:longer|more|shorter|fewer|less|exceptions?)\b.*\b{_ALLOWED}\b"
)
_ASIDE_EXCEPTION = re.compile(
    r".*\b(?:(?<!even )(?:if|when(?:ever)?)|unless|until|except\w*|exempt\w*|apart from|other than)\b"
    rf"|.*\b(?:is|are|may be|can be) {_ALLOWED}\b"
)


def is_advice(clause: str, lines: Iterable[CheckLine]) -> bool:
    """Return whether a clause only says what is usual or better, within the bounds that the checks set.

    Args:
        clause: the clause, as `phrasing.plain_rule` returns it.
        lines: the checks that the rest of the rule asks for.
    """
    found = _ADVICE.fullmatch(clause.strip())
    if found is None:
        return False
    bounds = [line for line in lines if line.kind.startswith(("max_", "min_"))]
    sides = {line.kind[:3] for line in bounds}
    if _named(found, "fewer") or _named(found, "more"):
        return sides == ({"max"} if _named(found, "fewer") else {"min"})
    numbers = [spoken_number(text) for name in ("low", "high") if (text := _named(found, name))]
    unit = (_named(found, "unit") or "").rstrip("s")
    same = [line for line in bounds if not unit or line.kind[4:].rstrip("s") == unit]
    if not unit and len(same) > 1:
        return False
    return all(
        max(numbers) <= line.value if line.kind.startswith("max_") else min(numbers) >= line.value
        for line in same
    )


def is_exception(clause: str) -> bool:
    """Return whether a clause takes something out of a bound, as `200 words for complaints`.

    Words of advice that contradict the bound are one, too: ask `is_advice` first.
    """
    return _EXCEPTION.match(clause.strip()) is not None or _ADVICE.fullmatch(clause.strip()) is not None


def is_exception_in_brackets(aside: str) -> bool:
    """Return whether words in brackets take something out of a rule, as `(except in letters)`."""
    return is_exception(aside) or _ASIDE_EXCEPTION.match(aside) is not None


def with_advice_apart(rule: str) -> str:
    """Return a rule with a comma before advice: `at most 120 words but ideally 80`."""
    return _INLINE.sub(", ", rule)


def _named(found: re.Match[str], name: str) -> str | None:
    return next((found[key] for key in found.re.groupindex if key.endswith(f"_{name}") and found[key]), None)

"""Bounds in words: `at most 80 words`, `no fewer than three sentences`, `60 to 90 words`."""

from __future__ import annotations

import re
from typing import Literal

from constitution.asked.lines import CheckLine
from constitution.asked.phrasing import PERSONS, WORD, denials, framed

BoundSide = Literal["max", "min"]

_ONES = (  # noqa: SIM905
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split(" ")
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split(" ")  # noqa: SIM905
_VALUES = {
    **{word: value for value, word in enumerate(_ONES)},
    **dict(zip(_TENS, range(20, 100, 10), strict=True)),
    **{"a": 1, "single": 1, "hundred": 100, "thousand": 1000, "dozen": 12},
}
_SPELLED = "|".join(sorted(_VALUES.keys() - {"a"}, key=len, reverse=True))
NUMBER = (
    rf"(?:a )?(?:\d{{1,3}}(?:,\d{{3}})+|\d{{1,7}}|(?:a (?=hundred|thousand|dozen))?(?:{_SPELLED})"
    rf"(?:[ -](?:and )?(?:{_SPELLED}))*)"
)
"""Pattern of a number in digits or words."""

_UNITS = {"word": "words", "sentence": "sentences", "character": "characters", "char": "characters"}
_UNIT = (
    r"(?:full |complete |short |simple |plain )?"
    r"(?P<unit>words?|sentences?|char(?:acter)?s?|paragraphs?|question marks?"
    rf"|questions?(?: back)?(?: (?:to|for) (?:(?:the|a|an|our|your|each|any) )*{PERSONS})?"
    r"|exclamation (?:mark|point)s?|(?:web )?links?|urls?"
    r"|bullet(?:ed)?[ -](?:point|item)s?|bullets?|list[ -](?:items?|entr(?:y|ies)|points?))"
)
_MOST = r"(?:an? )?(?:absolute )?(?:max(?:imum)?|(?:upper )?limit)(?: length)?(?: of)?"
_MOST += r"|at (?:the )?most|at max|up to|<=|≤|within|not to exceed"
_LEAST = r"(?:a )?min(?:imum)?(?: length)?(?: of)?|at (?:the )?least|at min(?:imum)?|>=|≥"
_OVER = r"(?:more|longer|greater|larger|bigger) than|over|above|beyond|exceed(?:s|ing)?|going over|>"
_UNDER = r"(?:fewer|less|shorter|smaller) than|under|below|<"
_COMPARED = rf"(?:(?:(?P<most>{_MOST})|(?P<least>{_LEAST})|(?P<over>{_OVER})|(?P<under>{_UNDER})),? )?"
_POST_MOST = r"or (?:less|fewer|shorter|under|below)|at (?:the )?most|max(?:imum)?|tops|limit"
_POST_LEAST = r"or (?:more|longer|over|above)|at (?:the )?least|min(?:imum)?"
_BOUND = framed(rf"{_COMPARED}(?P<number>{NUMBER})[ -]?{_UNIT}", f"{_POST_MOST}|{_POST_LEAST}")
_RANGE = framed(rf"(?:between |from )?(?P<low>{NUMBER}) ?(?:and|to|or|-) ?(?P<high>{NUMBER}) {_UNIT}")
_WORD_LIMIT = framed(
    rf"(?P<unit>word|sentence|character) (?:limit|maximum)(?: (?:of|is|at most))? (?P<number>{NUMBER})"
)
_LIST = r"(?:(?:bullet(?:ed)?|numbered|ordered)[ -])?lists?"
_LIST_UNIT = r"(?:bullet(?:ed)?[ -]|list[ -])?(?:points?|items?|entr(?:y|ies)|bullets?|elements?|lines?)"
_LIST_BOUND = framed(
    rf"{_LIST}(?P<middle>,?:? (?:{WORD} )*){_COMPARED}(?P<number>{NUMBER}) {_LIST_UNIT}",
    f"{_POST_MOST}|{_POST_LEAST}",
)
_LIST_SUBJECT = re.compile(r"(?:(?:the|an?|each|every|all|any|our|your|its|also|keep|limit) )*")
_LIMITING = re.compile(
    r"\b(?:limit|restrict|cap)\w*\b.* (?:to|at) $|\bkeep\w* .*(?:to|within|in) $"
    r"|\bfit\w* (?:in|into|within) $"
)
_ANSWERING = re.compile(r"\b(?:to|answers?) $")
"""Before a number of questions, these are those of the user and not those of the reply."""
_COUNTED = (
    r"(?:words?|sentences?|char(?:acter)?s?|paragraphs?|questions?|points?|items?|lines?|bullets?|links?)"
)
_LIKENESS = re.compile(
    r"\b(?P<compared>(?:longer|more|bigger|larger) than|exceed(?:s|ing)?) "
    r"(?:(?:(?:what )?fits? (?:on|in|into|onto)|the (?:length|size|space) of) (?:an?|one|the)|an?|one) "
    rf"(?:(?!{_COUNTED}\b)[a-z-]+ ){{0,3}}(?!{_COUNTED}\b)[a-z-]+(?::| -|,| \() ?"
    rf"(?P<size>{NUMBER}[ -]?{_UNIT})(?: at (?:the )?most| max(?:imum)?)?\)?(?=[.;!,]? |[.;!,]?$)"
    r"(?! (?:is|are|was|were|would|will|can|may|might|each|per|in|of|for)\b)"
)
"""`not longer than a postcard: 60 words`: a size that people know, and the number that is meant."""
_LINK = "https?://"
_MARKS = {"question": r"\?", "exclamation": "!", **dict.fromkeys(("link", "web", "url"), _LINK)}
_MAX_REPEATED = 5
_MAX_ENTRIES = 50
_ENTRY = r"[ \t]*(?:[-*+•]|\d+[.)])[ \t]"
"""Beginning of a line with a list entry, bulleted or numbered."""
_PARAGRAPH_END = r"\S[ \t]*\n[ \t]*\n"


def without_likeness(rule: str) -> str:
    """Return a rule with its number in place of a size that people know.

    `not longer than a postcard: 60 words` becomes `not longer than 60 words`.

    Args:
        rule: the rule, as `phrasing.plain_rule` returns it.
    """
    return _LIKENESS.sub(r"\g<compared> \g<size>", rule)


def spoken_number(text: str) -> int:
    """Return the value of a text that `NUMBER` matches."""
    text = text.removeprefix("a ") if any(character.isdigit() for character in text) else text
    digits = text.replace(",", "")
    if digits.isdigit():
        return int(digits)
    total = 0
    for word in re.findall(r"[a-z]+", text):
        if word in ("hundred", "thousand"):
            total = max(total, 1) * _VALUES[word]
        elif word != "a":
            total += _VALUES.get(word, 0)
    return total


def quantity_checks(clause: str) -> tuple[CheckLine, ...]:
    """Return the checks for a rule that bounds a quantity of the reply; none for other rules."""
    found = _RANGE.fullmatch(clause)
    if found and not denials(found["before"]):
        low, high = spoken_number(found["low"]), spoken_number(found["high"])
        lines = (_line("min", low, found["unit"]), _line("max", high, found["unit"]))
        return tuple(line for line in lines if line) if all(lines) and low < high else ()
    found = _WORD_LIMIT.fullmatch(clause)
    if found:
        line = _line("max", spoken_number(found["number"]), found["unit"])
        return (line,) if line and not denials(found["before"]) else ()
    found = _LIST_BOUND.fullmatch(clause)
    if found:
        return _list_bound(found)
    found = _BOUND.fullmatch(clause)
    return _bounded(found) if found else ()


def repeated_in_words(line: CheckLine) -> str | None:
    """Return what a pattern that counts asks for: `at most 2 questions`; None for other checks."""
    if line.kind == "not_regex":
        units = ("questions", "exclamation marks", "links", "paragraphs")
        bounds = ((number, unit) for unit in units for number in range(1, _MAX_REPEATED + 1))
        return next((f"at most {n} {unit}" for n, unit in bounds if _line("max", n, unit) == line), None)
    if line.kind == "regex":
        numbers = range(1, _MAX_ENTRIES + 1)
        return next((f"at least {n} list items" for n in numbers if _entries("min", n) == line), None)
    return None


def _list_bound(found: re.Match[str]) -> tuple[CheckLine, ...]:
    """Return the check of `a list has at most four points` and of `no list with more than four points`.

    None of a lower bound, which a reply without a list keeps, and of `a list` that the reply is to have.
    """
    before = found["before"] + found["middle"]
    side = _side(found, before)
    is_subject = _LIST_SUBJECT.fullmatch(found["before"]) or denials(found["before"])
    if side is None or side[0] == "min" or not is_subject or found["number"] == "a":
        return ()
    number = spoken_number(found["number"]) + side[1]
    return (CheckLine("max_list_items", number),) if number >= 1 else ()


def _bounded(found: re.Match[str]) -> tuple[CheckLine, ...]:
    number, unit = spoken_number(found["number"]), found["unit"]
    limiting = _LIMITING.search(found["before"])
    if unit.startswith("question") and _ANSWERING.search(found["before"]) and not limiting:
        return ()
    side = _side(found, found["before"])
    if side is not None:
        line = _line(side[0], number + side[1], unit)
        return (line,) if line else ()
    if denials(found["before"]) or any(found[name] for name in ("most", "least", "over", "under")):
        return ()
    if number == 1 and not unit.startswith(
        ("word", "char", "link", "web", "url", "bullet", "list")
    ):  # `in one sentence`
        line = _line("max", 1, unit)
        return (line,) if line else ()
    if unit.startswith("sentence"):  # `in three sentences`
        return CheckLine("min_sentences", number), CheckLine("max_sentences", number)
    return ()


def _side(found: re.Match[str], before: str) -> tuple[BoundSide, int] | None:
    """Return the side of a bound, and what to add to its number: `fewer than 60` is at most 59."""
    denied = denials(before)
    if denied > 1:
        return None
    if found["over"]:
        return ("max", 0) if denied else ("min", 1)
    if found["under"]:
        return ("min", 0) if denied else ("max", -1)
    if denied:
        return None
    most = found["most"] or _LIMITING.search(before) or re.search(_POST_MOST, found["after"])
    least = found["least"] or re.search(_POST_LEAST, found["after"])
    if bool(most) == bool(least):
        return None
    return ("max", 0) if most else ("min", 0)


def _line(side: BoundSide, number: int, unit: str) -> CheckLine | None:
    """Return the check of a bound; None if no kind can say it."""
    name = unit.split(" ")[0].rstrip("s")
    if number < 1:
        return None
    if name in _UNITS:
        return CheckLine(f"{side}_{_UNITS[name]}", number)
    if name.startswith(("bullet", "list")):
        return _entries(side, number)
    if side == "min" or number > _MAX_REPEATED:
        return None
    if name == "paragraph":
        repeated = "".join(f"{_PARAGRAPH_END}{'.*?' if i < number - 1 else ''}" for i in range(number))
        return CheckLine("not_regex", rf"(?s){repeated}\s*\S")
    return CheckLine("not_regex", "(?s)" + ".*".join([_MARKS[name]] * (number + 1)))


def _entries(side: BoundSide, number: int) -> CheckLine | None:
    """Return the check of a bound on list entries; a lower one is a pattern of that many lines with an entry.

    The lines between two entries are matched in one way only, so a search takes no longer than the text.
    """
    if side == "max":
        return CheckLine("max_list_items", number)
    if number > _MAX_ENTRIES:
        return None
    return CheckLine("regex", rf"(?m)(?:^{_ENTRY}.*\n(?:(?!{_ENTRY}).*\n)*){{{number - 1}}}^{_ENTRY}")

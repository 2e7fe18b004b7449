"""Forms in words: no emojis, a list, a language, a question at the end, phrases in quotation marks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from constitution.asked.clauses.named import KINDS_OF_WORDS, SUCH_AS, TOLD
from constitution.asked.languages import language_checks
from constitution.asked.lines import CheckLine
from constitution.asked.phrasing import HOLDING, denials, framed
from constitution.asked.quantities import NUMBER, spoken_number

EMOJI = r"\u2600-\u27BF\u2B50\U0001F000-\U0001FAFF"
"""Ranges of a regular expression: the symbols and pictographs that are shown as emoji."""
EMOJIS = CheckLine("not_regex", f"[{EMOJI}]")
"""The check of `no emojis`."""
SMILEYS = CheckLine("not_regex", rf"[{EMOJI}]|[:;]-?[()](?!\w)")
"""The check of `no smileys`."""
LINKS = CheckLine("not_regex", r"(?i)https?://|www\.")
"""The check of `no links`."""
_CAPITAL = "[A-ZÀ-Þ]"
CAPITALS = CheckLine(
    "not_regex", rf"\b(?:{_CAPITAL}{{5,}}|{_CAPITAL}{{2,}} (?:[AI] )?{_CAPITAL}{{2,}})\b(?!-\d)"
)
"""The check of `no words in capitals`: five capitals or more, or two words of two or more; not the acronyms
USA, EUR and COVID-19."""
_OPENED = r"\b(?:"

GREETINGS = (
    "hi",
    "hello",
    "hey",
    "dear",
    "good morning",
    "good afternoon",
    "good evening",
    "greetings",
    "welcome",
)
"""Beginnings of a reply that are greetings."""

_PROSE = CheckLine("format", "prose")
_CAPS = r"(?:(?:all|block|full)[ -])?(?:caps|capitals)|all[ -]uppercase"
_LETTERS = r"(?:capital|upper-?case|upper case) (?:letters?|type|text)|upper-?case|upper case"
_TO_SHOUT = r"(?:for|as) emphasis|to (?:shout|emphasi[sz]e|stress)(?: (?:words?|things|anything|something))?"
_IN_CAPITALS = (
    rf"(?:(?:words?|shouting|emphasis) (?:in|with|by) )?(?:{_CAPS})(?: (?:words?|text|{_TO_SHOUT}))?"
    rf"|(?:words?|shouting|emphasis) (?:in|with|by) (?:{_LETTERS})|(?:{_LETTERS}) (?:{_TO_SHOUT})"
    rf"|(?:fully capitali[sz]ed|upper-?case) words?(?: {_TO_SHOUT})?"
)
"""Not `no capital letters` alone, which may ask for small letters throughout."""
UNWANTED: dict[str, CheckLine] = {
    r"emojis?": EMOJIS,
    r"(?:smileys?|smilies|smiley faces?|emoticons?)": SMILEYS,
    r"(?:(?:bullet(?:ed)?|numbered|ordered)[ -])?lists?|bullets?(?:[ -]points?)?": _PROSE,
    r"exclamation (?:marks?|points?)": CheckLine("not_regex", "!"),
    r"question marks?": CheckLine("not_regex", r"\?"),
    r"semi-?colons?": CheckLine("not_regex", ";"),
    r"em[ -]dash(?:es)?": CheckLine("not_regex", "—"),
    r"(?:links?|urls?|web address(?:es)?|hyperlinks?)": LINKS,
    r"(?:markdown )?(?:headings?|headers?)": CheckLine("not_regex", r"(?m)^#{1,6}\s"),
    r"bold(?: text| type| words)?": CheckLine("not_regex", r"\*\*\S"),
    r"code (?:blocks?|fences?)": CheckLine("not_regex", "```"),
    r"tables?": CheckLine("not_regex", r"(?m)^[ \t]*\|"),
    r"asterisks?": CheckLine("not_regex", r"\*"),
    r"hash-?tags?": CheckLine("not_regex", r"#\w"),
    _IN_CAPITALS: CAPITALS,
    r"digits?": CheckLine("not_regex", r"\d"),
    r"(?:parenthes[ei]s|brackets?)": CheckLine("not_regex", r"\("),
    r"(?:(?:begin|start|open)(?:s|ning|ing)? with )?(?:an? )?(?:greetings?|salutations?)": CheckLine(
        "not_starts_with", list(GREETINGS)
    ),
}
_ONE_UNWANTED = "|".join(f"(?:{pattern})" for pattern in UNWANTED)
_ITEMS = rf"(?:{_ONE_UNWANTED})(?:(?:, or |, and |, | or | and | nor )(?:any |no )?(?:{_ONE_UNWANTED}))*"
_NO_ITEMS = framed(
    rf"(?P<items>{_ITEMS})(?P<banned> (?:is|are) (?:not allowed|forbidden|banned|not used|prohibited))?"
)
_ITEM_SEPARATOR = re.compile(r", or |, and |, | or | and | nor ")

QUOTE = "\x00"
"""Stands for a phrase in quotation marks, whose text must keep its case."""
_QUOTED = re.compile(
    r"\"([^\"]+)\"|“([^”]+)”|„([^“”]+)[“”]|(?<![\w'])'([^']+(?:'\w[^']*)*)'(?!\w)|‘([^’]+)’(?!\w)"
)
_QUOTES = rf"{QUOTE}(?:(?:,? (?:or|and|nor) |, ){QUOTE})*"
_NAMED = r"(?:the |a |an )?(?:exact |following )?(?:words?|phrases?|sentences?|expressions?|greeting"
_NAMED += r"|jargon|buzzwords?|terms?|slang|wordings?|clich[eé]s?|names?|formulas?)?:? ?"
_ENDING = r"(?:ends?|finish(?:es)?|closes?|concludes?|ending|sign(?:s|ing)? off)"

_LIST = framed(r"(?:(?:bullet(?:ed)?|numbered)[ -])?lists?|bullets?(?: points?)?")
_TEXT = framed(r"(?:plain |running |flowing |continuous )*(?:prose|running text)")
_JSON = framed(r"(?:valid |pure )*json(?P<type> objects?| arrays?| lists?)?(?: and nothing else)?")
_PERSON = framed(r"(?P<person>first|second|third)[ -]person(?: perspective| voice| point of view)?")
_QUESTION = framed(
    rf"{_ENDING} (?:with|in|on|by asking) (?:a |one |exactly one )?(?:short |single )?question(?: mark)?"
    r"|(?:last|final) sentence (?:is|must be|should be|be) a question"
    r"|a question at the (?:very )?end"
)
_STARTS = framed(rf"(?:begin|start|open)(?:s|ning|ing)? with {_NAMED}(?P<quotes>{_QUOTES})")
_ENDS = framed(rf"{_ENDING} with {_NAMED}(?P<quotes>{_QUOTES})")
_HOLDS = framed(
    rf"(?:mentions? |mentioning )?"
    rf"(?:(?P<some>(?:{KINDS_OF_WORDS}|names),? {SUCH_AS}:? )|(?P<told>{TOLD} )|{_NAMED})"
    rf"(?P<quotes>{_QUOTES})"
)
"""Also `no abbreviations such as "asap"` and `do not tell anyone to "calm down"`."""
_GRADE = framed(
    r"(?:(?:reading level|school grade|reading grade|grade level) (?:is |of |be |must be |should be )*)?"
    rf"(?:at most |no (?:harder|higher) than |up to )(?:school |reading )?grade (?P<high>{NUMBER})"
    r"|(?:easy to read,? |readable )?(?:at |of )?(?:a )?(?:school |reading )*grade (?:level )?(?:of )?"
    rf"(?P<low>{NUMBER}) or (?:below|lower|less|easier)"
)
_AS = re.compile(
    r"\b(?:as|in|is|are|be|of|us(?:e|es|ing)|(?:repl(?:y|ies)|responds?|answers?) with) "
    r"(?:an? |the )?(?:short )?$"
)


def with_capitals(line: CheckLine, words: Iterable[str]) -> CheckLine:
    """Return the check for capitals with words that it finds, too; any other check as it is."""
    own = [word for word in words if line == CAPITALS and not re.search(line.value, word)]
    return line._replace(value=_OPENED + "|".join([*own, line.value[len(_OPENED) :]])) if own else line


def capitals_in(line: CheckLine) -> tuple[str, ...] | None:
    """Return the words that `with_capitals` added to the check for capitals; None for any other check."""
    body = CAPITALS.value[len(_OPENED) :]
    if line.kind != CAPITALS.kind or not str(line.value).endswith(body):
        return None
    return tuple(filter(None, str(line.value)[len(_OPENED) : -len(body)].split("|")))


def form_checks(clause: str, quotes: tuple[str, ...] = ()) -> tuple[CheckLine, ...]:
    """Return the checks for a rule about the form of the reply; none for other rules.

    Args:
        clause: the rule as `phrasing.plain_rule` returns it, with `hide_quotes` applied.
        quotes: the phrases that were in quotation marks.
    """
    for read in (_unwanted, _quoted, _wanted, language_checks):
        found = tuple(read(clause, quotes))
        if found:
            return tuple(dict.fromkeys(found)) if len(found) > 1 else found
    return ()


def hide_quotes(text: str) -> tuple[str, tuple[str, ...]]:
    """Return a text with a sign for each phrase in quotation marks, and the phrases."""
    phrases = tuple(
        next(group for group in found.groups() if group).strip() for found in _QUOTED.finditer(text)
    )
    return _QUOTED.sub(QUOTE, text), phrases


def shown_quotes(clause: str, quotes: tuple[str, ...]) -> str:
    """Return a clause with its phrases in quotation marks, which `hide_quotes` took out."""
    waiting = iter(quotes)
    return re.sub(QUOTE, lambda _: f"'{next(waiting, '')}'", clause)


def _unwanted(clause: str, quotes: tuple[str, ...]) -> Iterator[CheckLine]:
    """Yield the checks of `no emojis` and the like, one for each thing."""
    found = _NO_ITEMS.fullmatch(clause)
    if found is None or denials(found["before"]) + bool(found["banned"]) != 1:
        return
    seen = []
    for item in _ITEM_SEPARATOR.split(found["items"]):
        named = re.sub(r"^(?:any|no) ", "", item)
        line = next(line for pattern, line in UNWANTED.items() if re.fullmatch(pattern, named))
        if line not in seen:
            seen.append(line)
            yield line


def _quoted(clause: str, quotes: tuple[str, ...]) -> Iterator[CheckLine]:
    """Yield the check of a phrase in quotation marks: at the beginning, at the end, anywhere, nowhere."""
    kinds = (
        (_STARTS, "starts_with", "not_starts_with"),
        (_ENDS, "ends_with", "not_ends_with"),
        (_HOLDS, "contains", "contains_none"),
    )
    for pattern, asking, forbidding in kinds:
        found = pattern.fullmatch(clause)
        if found is None:
            continue
        denied = denials(found["before"])
        if asking == "contains" and not denied and (found["some"] or found["told"]):
            return
        some = " or " in found["quotes"]
        if asking == "contains" and not denied and not re.search(r"contain|includ|mention|say|use", clause):
            return
        kind = forbidding if denied == 1 else "contains_any" if asking == "contains" and some else asking
        both = asking != "contains" and not denied and " and " in found["quotes"]
        if denied <= 1 and not both and clause.count(QUOTE) == len(quotes):
            yield CheckLine(kind, list(quotes))
        return


def _wanted(clause: str, quotes: tuple[str, ...]) -> Iterator[CheckLine]:
    """Yield the check of a form that the whole reply is to have."""
    for pattern, make in _FORMS:
        found = pattern.fullmatch(clause)
        line = make(found) if found else None
        if line is not None:
            yield line
            return


def _as_a_whole(found: re.Match[str]) -> bool:
    """Return whether the reply is to be the form, as in `answer as a list`, and not only to have it."""
    before = found["before"]
    as_a_whole = _AS.search(before)
    holding = HOLDING.search(before[: as_a_whole.start()]) if as_a_whole else None
    return as_a_whole is not None and holding is None and not denials(before)


def _list(found: re.Match[str]) -> CheckLine | None:
    return CheckLine("format", "list") if _as_a_whole(found) else None


def _text(found: re.Match[str]) -> CheckLine | None:
    return _PROSE if _as_a_whole(found) else None


def _json(found: re.Match[str]) -> CheckLine | None:
    if not _as_a_whole(found):
        return None
    kind = (found["type"] or "").strip().rstrip("s")
    schema: dict[str, Any] = {"type": "object" if kind == "object" else "array"} if kind else {}
    return CheckLine("json", schema)


def _person(found: re.Match[str]) -> CheckLine | None:
    return None if denials(found["before"]) else CheckLine("person", found["person"])


def _question(found: re.Match[str]) -> CheckLine | None:
    denied = denials(found["before"])
    return CheckLine("ends_with_question", denied == 0) if denied <= 1 else None


def _grade(found: re.Match[str]) -> CheckLine | None:
    grade = spoken_number(found["high"] or found["low"])
    return CheckLine("max_grade", grade) if not denials(found["before"]) and 1 <= grade <= 30 else None


_FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], CheckLine | None]], ...] = (
    (_QUESTION, _question),
    (_LIST, _list),
    (_TEXT, _text),
    (_JSON, _json),
    (_PERSON, _person),
    (_GRADE, _grade),
)

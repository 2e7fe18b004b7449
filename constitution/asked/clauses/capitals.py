"""Words in capitals that a rule names: `no capitals for emphasis (URGENT, NOT)`.

The check for capitals lets single words of up to four capitals pass, for most of them are acronyms. Those
that the rule names are found, too.
"""

from __future__ import annotations

import re

_WORD = r"[A-ZÀ-Þ]{2,}"
_ONE = rf"[\"“'‘]?{_WORD}!*[\"”'’]?"
_LIST = rf"{_ONE}(?:(?:,? (?:and|or) |, |/| ){_ONE})*"
_LEAD = r"(?i:e\.g\.,?|such as|like|for example,?|for instance,?|as in|including) "
_MORE = r"(?:,? (?i:etc\.?|and so on|and the like|\.\.\.|…))?"
_CAPITALS = re.compile(r"\b(?:caps|capitals?|capital letters|upper-?case|capitali[sz]ed)\b", re.IGNORECASE)
_BEHIND = re.compile(rf",? {_LEAD}(?P<words>{_LIST}){_MORE}(?= and no |[.;!]|$)")
_IN_BRACKETS = re.compile(rf"\((?:{_LEAD})?(?P<words>{_LIST}){_MORE}\)")
_ACRONYMS = r"(?i:acronyms|abbreviations)"
_SPARED = re.compile(
    rf" ?\((?:(?i:except(?: for)?|but not|not|other than|apart from) (?P<one>{_LIST}|{_ACRONYMS})"
    rf"|(?P<two>{_LIST}|{_ACRONYMS}) (?:is|are) (?:fine|ok|okay|allowed|exempt(?:ed)?|excepted))\)"
)


def with_capitals_in_brackets(text: str, pattern: str) -> str:
    """Return a rule about capitals with the words that it names in brackets, and without acronyms that pass.

    `No capitals, such as NOW or FREE` becomes `No capitals (NOW or FREE)`, and of `No capitals (except USA)`
    the brackets go, as USA is not found anyway.

    Args:
        text: the rule as it is written.
        pattern: pattern of the check for capitals.
    """
    text = _SPARED.sub(
        lambda found: found[0] if re.search(pattern, found["one"] or found["two"]) else "", text
    )
    return _BEHIND.sub(_in_brackets, _IN_BRACKETS.sub(_in_brackets, text))


def capitals_named(text: str) -> tuple[str, ...]:
    """Return the words in capitals that a rule about capitals names in brackets, each once.

    Args:
        text: the rule, as `with_capitals_in_brackets` returns it.
    """
    listed = (found for found in _IN_BRACKETS.finditer(text) if _is_about_capitals(found))
    return tuple(dict.fromkeys(word for found in listed for word in re.findall(_WORD, found["words"])))


def _in_brackets(found: re.Match[str]) -> str:
    if not _is_about_capitals(found):
        return found[0]
    words = re.sub("[!\"“'‘”’]", "", found["words"])
    return f"({words})" if found[0].startswith("(") else f" ({words})"


def _is_about_capitals(found: re.Match[str]) -> bool:
    """Return whether the clause before a list of words is about capitals, and not about names."""
    return _CAPITALS.search(re.split(r"[,;.!] | and ", found.string[: found.start()])[-1]) is not None

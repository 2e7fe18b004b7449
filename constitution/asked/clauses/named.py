"""Words that a rule names: `competitors (Nextbike, Lime)`, `abbreviations such as "asap"`.

Names in brackets become phrases in quotation marks, which the other modules read. Only names count that begin
with a capital, at least two, behind a word for what is not to be mentioned.
"""

from __future__ import annotations

import re

from constitution.asked.phrasing import DENYING, PERSONS

SUCH_AS = r"(?:such as|like|for example|for instance|including)"
KINDS_OF_WORDS = (
    r"(?:abbreviations?|acronyms?|words?|phrases?|terms?|expressions?|slang|jargon|buzzwords?|fillers?"
    r"|filler words?|formulas?|clich[eé]s?|swear ?words?|pet names?|nicknames?|sayings?|wordings?"
    r"|superlatives?|anglicisms?)"
)
TOLD = (
    r"(?:tell|ask|advise|urge|order|instruct)(?:s|ing)? (?:(?:the|an?|any|our|your) )*"
    rf"(?:{PERSONS}|anyone|anybody|someone|somebody|them|him|her) to"
)
"""Words before what nobody is to be told to do, in quotation marks."""
_DENIAL = (
    r"(?:do not|don['’]t|never|must not|mustn['’]t|should not|shouldn['’]t|may not|cannot|can['’]t|avoid"
    r"|without|no)"
)
_MENTION = (
    r"(?:mention(?:s|ing)?|nam(?:e|es|ing)|refer(?:s|ring)? to|talk(?:s|ing)? about"
    r"|speak(?:s|ing)? (?:of|about)|writ(?:e|es|ing) about|bring(?:s|ing)? up|discuss(?:es|ing)?"
    r"|cit(?:e|es|ing)|mention of)"
)
_GROUP = (
    r"(?:competitors?|rivals?|compan(?:y|ies)|brands?|providers?|operators?|suppliers?|shops?|firms?|products?|names?"
    r"|banks?|apps?|people|politicians?|part(?:y|ies)|colleagues?|services?|websites?|competing products?)"
)
_NAME = r"[A-Z0-9][\w&.'’-]*+(?: (?:(?:of|the|de|an?) )?[A-Z0-9][\w&.'’-]*+){0,3}+"
"""Possessive, and without `and`, which separates names: each text is read in one way."""
_NAMES_IN_BRACKETS = re.compile(
    rf"(?P<denial>\b(?i:{_DENIAL})) (?i:ever )?(?i:{_MENTION})"
    rf" (?P<group>(?i:(?:(?:the|our|any|other|of|names? of) )*{_GROUP}))"
    rf" \((?P<eg>(?i:e\.g\.,?|such as|like|for example:?|for instance:?) )?"
    rf"(?P<names>{_NAME}(?:(?:, (?:and |or )?|/| and | or ){_NAME})+)"
    r"(?P<etc>,? (?i:etc\.?|and others|and so on|\.\.\.|…))?\)"
)
_BETWEEN_NAMES = re.compile(r", (?:and |or )?|/| and | or ")
_EG = re.compile(r",? (?:e\.g\.|for example),? (?=[\"“'‘„])", re.IGNORECASE)
_QUOTED_IN_BRACKETS = re.compile(
    r" \((?:e\.g\.|such as|like|for example|for instance)[,:]? (?P<quoted>[\"“'‘„][^()]*)\)", re.IGNORECASE
)
_EXAMPLES = re.compile(rf"\b(?P<what>[a-z ]*?{KINDS_OF_WORDS}|competitors|names) {SUCH_AS}:? \x00")
_LEAD = re.compile(rf"^(?:.*\b(?:{DENYING}|uses?|any|contain|contains|has|have|the) )")


def with_names_quoted(text: str) -> str:
    """Return a rule with names in brackets in quotation marks, and `such as` for `e.g.` before a quotation.

    `Do not mention competitors (Nextbike, Lime)` becomes `Do not mention "Nextbike", "Lime"`.

    Args:
        text: the rule as it is written.
    """
    text = _EG.sub(" such as ", _QUOTED_IN_BRACKETS.sub(r" such as \g<quoted>", text))
    return _NAMES_IN_BRACKETS.sub(_quoted, text)


def examples_named(clause: str) -> tuple[str, ...]:
    """Return what else a clause forbids of which it names examples: `other abbreviations`; empty without any.

    Args:
        clause: the clause, with a sign for each phrase in quotation marks.
    """
    found = _EXAMPLES.search(clause)
    return (f"other {_LEAD.sub('', found['what']).strip()}",) if found else ()


def _quoted(found: re.Match[str]) -> str:
    names = ", ".join(f'"{name}"' for name in _BETWEEN_NAMES.split(found["names"]))
    some = "names such as " if found["eg"] or found["etc"] else ""
    return f"{found['denial']} mention {some}{names}"

"""Find the machine checks that the sentence of a principle asks for, in whole or in part.

In doubt nothing is found: a rule with a condition (`if`, `unless`), an exception or an approximate number
(`about 80 words`) is left to the labeler. The rules are for English.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from constitution.asked.addresses import (
    BEGINS_WITH_IT,
    address_checks,
    begins_with_address,
    denies_addresses,
    gives_addresses,
    is_about_questions,
    with_addresses,
)
from constitution.asked.clauses.advice import (
    is_advice,
    is_exception,
    is_exception_in_brackets,
    with_advice_apart,
)
from constitution.asked.clauses.capitals import capitals_named, with_capitals_in_brackets
from constitution.asked.clauses.named import examples_named, with_names_quoted
from constitution.asked.clauses.parts import Clause, about_parts
from constitution.asked.clauses.reasons import is_reason, without_situations
from constitution.asked.forms import CAPITALS, QUOTE, form_checks, hide_quotes, shown_quotes, with_capitals
from constitution.asked.languages import without_named_languages
from constitution.asked.lines import CheckLine
from constitution.asked.phrasing import denials, plain_rule, says_nothing, without_choice
from constitution.asked.quantities import NUMBER, quantity_checks, without_likeness
from constitution.asked.sentences import (
    SENTENCE_WORDS,
    about_sentences,
    as_of_reply,
    holds_of_reply,
    only_shortens,
    sentence_checks,
    with_lengths_told,
)

MAX_RULE_CHARACTERS = 300
"""Longer rules are not read: they say more than a form."""

_CONDITIONS = re.compile(
    r"\b(?:if|when(?:ever)?|unless|until|where|while|except|in case|after|before|otherwise|instead|although|"
    r"though|but|however|usually|normally|ideally|mostly|often|rarely|sometimes|prefer(?:s|ably)?|"
    rf"possible|about(?= {NUMBER}| half)|around|roughly|approximately|almost|depending|or)\b"
)
_CONTEXT = re.compile(r"(?:for|on|in|with|at|as|by|during|to|from|under|of|per|within|inside)\b")
_REASON = re.compile(r",? (?:because|so that|since)\b.*$")
_ASIDE = re.compile(r" ?\([^()]*\)")
_BUT = re.compile(r"^\s*(?:but|yet|and) ")
_SEPARATORS = re.compile(
    rf"[.!;:]+ |,? and (?!{QUOTE})|, (?!{QUOTE}|and )|(?<!{QUOTE})(?:,? and |, )| - |[.;:,!]+$| — "
)
"""Not between phrases in quotation marks, which are one list."""
_AT_AN_EDGE = re.compile(
    r"\b(?:begin|start|open|end|finish|close|conclude)\w* (?:with|in|on)\b[^.;!]*\bnot (?:with|in|on)\b"
)
"""`End with a question, not with an exclamation mark` allows exclamation marks elsewhere."""
_EDGE_KINDS = ("starts_with", "not_starts_with", "ends_with", "not_ends_with", "ends_with_question")
_NEW_SENTENCE = re.compile(r"[.!]+ ")
_EXPLAINING = re.compile(r":+ | - | — ")


class AskedChecks(NamedTuple):
    """The machine checks that a rule asks for."""

    checks: tuple[CheckLine, ...]
    """One, or several where no single kind says it, as for `60 to 90 words`."""
    whole: bool
    """True if the rule asks for nothing else, so that the checks decide all of it."""
    left: tuple[str, ...] = ()
    """What else it asks for, in lower case."""


def asked_checks(text: str) -> AskedChecks | None:
    """Return the machine checks that a rule asks for; None if there is none, or it is not understood."""
    if len(text) > MAX_RULE_CHARACTERS:
        return None
    text = with_capitals_in_brackets(text, CAPITALS.value)
    asked = _asked(*hide_quotes(with_names_quoted(text)))
    if asked is None:
        return None
    words = capitals_named(text)
    return asked._replace(checks=tuple(with_capitals(line, words) for line in asked.checks))


def _asked(text: str, quotes: tuple[str, ...]) -> AskedChecks | None:
    """Return the checks that a rule asks for, with a sign for each phrase in quotation marks."""
    plain = without_choice(plain_rule(text))
    told = None if plain is None else with_lengths_told(without_likeness(with_advice_apart(plain)))
    if told is None:
        return None
    rule = with_addresses(without_named_languages(told))
    clause = without_situations(_REASON.sub("", _ASIDE.sub("", rule)))
    asides = [aside.strip(" ()") for aside in _ASIDE.findall(rule)]
    whole = _checks(clause, quotes)
    clauses = [_Read(clause, quotes, whole)] if whole else list(_clauses(clause, quotes))
    lines = {f"{line.kind} {line.value}": line for clause in clauses for line in clause.checks}
    if any(line.kind == SENTENCE_WORDS for line in lines.values()):
        clauses = [clause for clause in clauses if clause.checks or not only_shortens(clause.text)]
    advice = [aside for aside in asides if is_advice(aside, lines.values())]
    if not lines or any(is_exception_in_brackets(aside) for aside in asides if aside not in advice):
        return None
    others = [clause.text for clause in clauses if not clause.checks and not is_reason(clause.text)]
    binding = [other for other in others if not is_advice(other, lines.values())]
    if not whole and (_denied_by_lead(clause) or _is_in_doubt(rule, binding, lines.values())):
        return None
    left = [
        shown_quotes(clause.text, clause.quotes)
        for clause in clauses
        if not (clause.checks or says_nothing(clause.text) or is_reason(clause.text))
    ]
    left += [name for clause in clauses if clause.checks for name in _uncovered(clause.text)]
    left += advice
    return AskedChecks(tuple(lines.values()), not left, tuple(left))


def _uncovered(clause: str) -> tuple[str, ...]:
    """Return what the checks of a clause do not see: others of a kind, the place of an address."""
    begins = (BEGINS_WITH_IT,) if begins_with_address(_bare(clause)) else ()
    return (*examples_named(clause), *begins)


def _is_in_doubt(rule: str, others: Iterable[str], lines: Collection[CheckLine]) -> bool:
    """Return whether the other clauses of a rule may change what the checks are to be."""
    if sum(line.kind == "language" for line in lines) > 1:
        return True  # `in French and in English` is no check of either
    if _AT_AN_EDGE.search(rule) and any(line.kind not in _EDGE_KINDS for line in lines):
        return True
    if any(map(is_exception, others)):
        return True
    conditions = [other for other in others if _CONDITIONS.search(other) or _CONTEXT.match(other)]
    if not gives_addresses(lines):
        return bool(conditions)
    return denies_addresses(rule) or not all(map(is_about_questions, conditions))


def _denied_by_lead(clause: str) -> bool:
    """Return whether words before a colon deny what is after it, as in `never: more than 80 words`."""
    lead, colon, _ = clause.partition(": ")
    return bool(colon) and denials(lead) > 0 and says_nothing(lead, denying=True)


class _Read(NamedTuple):
    """One clause of a rule, and the checks of the whole reply that it asks for."""

    text: str
    quotes: tuple[str, ...]
    checks: tuple[CheckLine, ...]


def _clauses(rule: str, quotes: tuple[str, ...]) -> Iterator[_Read]:
    """Yield the clauses of a rule; one about a part of the reply has no checks."""
    waiting = iter(quotes)
    split = list(_split(rule))
    told = [tuple(islice(waiting, text.count(QUOTE))) for text, _, _ in split]
    read = [_checks(text, its) for (text, _, _), its in zip(split, told, strict=True)]
    words = [line.value for checks in read for line in checks if line.kind == SENTENCE_WORDS]
    clauses = [
        Clause(as_of_reply(text) if words else text, begins, explains, bool(checks))
        for (text, begins, explains), checks in zip(split, read, strict=True)
    ]
    parted = about_parts(clauses, lambda text: bool(_checks(text, ())))
    within = about_sentences([(text, begins) for text, begins, _ in split])
    for (text, _, _), its, checks, is_part, inside in zip(split, told, read, parted, within, strict=True):
        if words and inside and not all(holds_of_reply(line, max(words)) for line in checks):
            is_part = True
        yield _Read(text, its, () if is_part else checks)


def _split(rule: str) -> Iterator[tuple[str, bool, bool]]:
    """Yield the clauses of a rule: text, whether it begins a sentence, whether it explains the one before."""
    begins, explains, start = True, False, 0
    for found in (*_SEPARATORS.finditer(rule), None):
        text = rule[start : found.start() if found else None].strip()
        if text:
            yield text, begins, explains
            begins = False
        if found:
            begins = begins or _NEW_SENTENCE.fullmatch(found[0]) is not None
            explains, start = _EXPLAINING.fullmatch(found[0]) is not None, found.end()


def _checks(clause: str, quotes: tuple[str, ...]) -> tuple[CheckLine, ...]:
    """Return the valid checks of one clause."""
    clause = _bare(clause)
    found = (
        quantity_checks(clause)
        or sentence_checks(clause)
        or form_checks(clause, quotes)
        or address_checks(clause)
    )
    return found if all(line.is_valid for line in found) else ()


def _bare(clause: str) -> str:
    return _BUT.sub("", clause).strip().rstrip(".!,;: ")

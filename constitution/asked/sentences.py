"""Bounds on the words of each sentence: `20 words per sentence at most`, `short sentences (max. 15 words)`.

A bound behind a word for sentences may be that of the whole reply, as in `short sentences, at most 60 words`.
It is one on each sentence if it says so (`each`), or if it is small and stands in brackets, behind a colon or
a dash, or behind what sentences are to be. In doubt the rule is not understood.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from constitution.asked.lines import CheckLine
from constitution.asked.phrasing import REPLY_NAMES, WORD, denials, names_reply, plain_rule
from constitution.asked.quantities import NUMBER, quantity_checks, repeated_in_words

SENTENCE_WORDS = "max_sentence_words"
"""The kind of check that bounds the words of each sentence."""
_MOST = 40
"""A larger bound may be that of the whole reply, unless it says that it is one on each sentence."""
_LIKE = (
    r"(?:short|brief|long|simple|clear|plain|crisp|concise|compact|full|complete|easy|readable|single"
    r"|individual)"
)
_SUCH = rf"(?:{_LIKE},? (?:and )?)*"
_OF_REPLY = rf"(?: (?:in|of) (?:(?:the|an?|our|your|each|every|any|all) )*{REPLY_NAMES}(?!'))?"
_PLACE = re.compile(
    r"(?: ?/ ?|,? (?:per|(?:(?:in|for) )?(?:each|every)|in any) (?:single |individual )?"
    rf"|(?P<one>,? (?:in )?an? (?:single )?))sentence\b{_OF_REPLY}(?!')"
)
"""`per sentence`. `in a sentence` may be the form of the whole reply."""
_NOUN = re.compile(
    rf"(?:(?P<which>\b(?:each|every|any|no|longest) )|(?P<one>\ban? ))?{_SUCH}"
    rf"\bsentence(?P<many>s|s? length)?\b(?!'){_OF_REPLY}(?: (?:that|which)\b)?"
)
_MAX_LENGTH = re.compile(r"\b(?:(?:max(?:imum)? )sentence length|sentence limit)\b(?: (?:is|of))?:?")
_NUMBER_LAST = re.compile(
    rf"\b(?:(?:the )?number of )?words(?P<place>{_PLACE.pattern.replace('?P<one>', '?:')}):?"
    rf"(?P<said>(?: (?!{NUMBER}\b)[a-z]+)*) (?P<number>{NUMBER})$"
)
"""`The number of words per sentence is at most 20.`"""
_NOT_ALLOWED = re.compile(r"(?P<what>sentences? .+) (?:is|are) (?:not allowed|forbidden|banned|prohibited)")
_VERB = re.compile(r" (?:has|have|is|are|be|must|should|may|can|shall|will|do|does|needs?|ought)\b")
_TO_BE = r"(?: (?:is|are|be|must be|should be|stay))?(?: (?:always|all|very|kept))*"
_BEHIND = re.compile(
    rf"(?P<noun>\bsentence(?P<many>s)?(?P<such>{_TO_BE} {_LIKE}(?:,? (?:and )?{_LIKE})*)?)"
    r"(?P<glue> ?\(|: | - | — |; |\. |,? and |, | of | with )"
    r"(?P<bound>[^.;!,:()]*?\bwords?\b[^.;!,()]*?)\)?(?=[.;!,)]|$| and | - )"
)
_BOUND = re.compile(
    r"(?P<which>each|none)?(?: one)?(?: of (?:them|these|which))? ?(?P<what>.*?)(?P<own>,? each)?"
)
_CLAUSE_END = re.compile(r"[.;!:,(] ?| and | - | — ")
_ELLIPTIC = re.compile(
    r"(?:has|have|is|are|be|with|of|contains?|at|no|not|never|none|under|below|up|max\w*|fewer|less|within|<|≤|\d)"
)
_TOTAL = re.compile(r"\b(?:total|altogether|overall|in all)\b")
_LEAD = re.compile(rf"(?:{WORD} )*{_SUCH}")
_SHORT = re.compile(rf"(?:{WORD} )*{_SUCH}sentences?(?: (?:{WORD}|all|very|{_LIKE}))*")
_SUBJECT = re.compile(
    r"(?:(?:keep|make|limit|restrict|cap)s? )?(?:(?:each|every|all|any|no|the|our|your) )*"
    rf"{_SUCH}sentences?\b"
)
_LEANING = re.compile(r"(?:it|its|they|their|these|this|that|those)\b")
_OF_EACH = ("contains_none", "phrase_list", "language", "format", "max_list_items")
"""Kinds of checks that a whole reply passes if each of its sentences does, or that are of the reply alone."""


class _Told(NamedTuple):
    """A bound behind a word for sentences."""

    before: str
    """The clause before that word."""
    noun: str
    glue: str
    bound: str
    """The bound, as one on the words of a reply."""
    number: int
    is_explicit: bool
    """True if it says that it is a bound on each."""
    is_predicate: bool
    """True if it is behind what sentences are to be."""

    @property
    def is_counted(self) -> bool:
        """True if the rule also bounds the number of sentences."""
        return bool(quantity_checks(f"{self.before}sentences"))

    @property
    def is_of_each(self) -> bool | None:
        """True if it is a bound on each sentence, False if on the whole reply; None if that is in doubt."""
        if not self.is_explicit and (self.number > _MOST or not _ELLIPTIC.match(self.bound)):
            return False
        is_of_all = self.is_counted or _LEAD.fullmatch(self.before) is not None
        if self.is_explicit:
            return True if is_of_all else None
        if self.glue == "." or _TOTAL.search(self.bound) or self.glue == "with":
            return False
        if self.is_counted or self.glue == "of":
            return self.is_counted and self.glue == "of"
        if is_of_all and (self.glue in ("(", ":", "-", "—") or (self.is_predicate and self.glue != ";")):
            return True
        return None if self.glue in (",", ";") else False


def with_lengths_told(rule: str) -> str | None:
    """Return a rule with `per sentence` in a bound that is behind a word for sentences.

    `Short sentences (max 15 words)` becomes `short sentences, max 15 words per sentence`.

    Args:
        rule: the rule, as `phrasing.plain_rule` returns it.

    Returns:
        The rule; None if it is in doubt whether a bound is one on each sentence or on the reply.
    """
    parts, start = [], 0
    for found in _BEHIND.finditer(rule):
        told = _told(rule, found)
        is_of_each = told.is_of_each if told else False
        if is_of_each is None:
            return None
        if told and is_of_each:
            parts += [rule[start : found.start()], f"{told.noun}, {told.bound} per sentence"]
            start = found.end()
    return "".join((*parts, rule[start:]))


def sentence_checks(clause: str) -> tuple[CheckLine, ...]:
    """Return the check of a clause that bounds the words of each sentence; none for other clauses.

    Args:
        clause: the clause, with `with_lengths_told` applied.
    """
    if "sentence" not in clause:
        return ()
    clause = _NOT_ALLOWED.sub(r"no \g<what>", _MAX_LENGTH.sub("sentence length max", clause))
    clause = _NUMBER_LAST.sub(r"\g<said> \g<number> words\g<place>", clause).strip()
    numbers = (_most_words(text) for text in (_without_place(clause), _of_reply(clause)) if text)
    number = next((number for number in numbers if number), None)
    return (CheckLine(SENTENCE_WORDS, number),) if number else ()


def only_shortens(clause: str) -> bool:
    """Return whether a clause asks for short sentences and nothing else, as `write in short sentences`."""
    return _SHORT.fullmatch(clause.strip()) is not None


def as_of_reply(clause: str) -> str:
    """Return a clause about all sentences as one about replies, which are no part of a reply."""
    return _SUBJECT.sub("replies", clause, count=1) if _SUBJECT.match(clause) else clause


def about_sentences(clauses: Sequence[tuple[str, bool]]) -> Iterator[bool]:
    """Yield for each clause whether its subject may be the sentences that a clause before is about.

    Args:
        clauses: text of each clause, and whether it begins a sentence.
    """
    within = False
    for text, begins in clauses:
        if names_reply(text) or (begins and not _LEANING.match(text)):
            within = False
        yield within and not _TOTAL.search(text)
        within = within or _SUBJECT.match(text) is not None


def holds_of_reply(line: CheckLine, words: int) -> bool:
    """Return whether a check is the same of each sentence and of the reply, or cannot be of a sentence.

    Args:
        line: the check.
        words: the bound on the words of each sentence.
    """
    if line.kind in ("max_words", "min_words"):
        return bool(line.value > words)
    if line.kind == "not_regex":
        return repeated_in_words(line) is None
    return line.kind in (*_OF_EACH, SENTENCE_WORDS) or line.kind.endswith("_sentences")


def _told(rule: str, found: re.Match[str]) -> _Told | None:
    """Return the bound behind a word for sentences; None if it is no upper bound on words."""
    before = _CLAUSE_END.split(rule[: found.start()])[-1]
    one = _NOUN.search(f"{before}sentence")
    is_one = one is not None and (
        one["which"] or before.endswith("per ") or quantity_checks(f"{before}sentence")
    )
    bound = _BOUND.fullmatch(found["bound"])
    if bound is None or not (found["many"] or is_one) or re.search(rf"\b{REPLY_NAMES}\b", bound["what"]):
        return None
    glue = found["glue"].strip(" ") if " and " not in found["glue"] else "and"
    what = f"no {bound['what']}" if bound["which"] == "none" else bound["what"]
    if not _most_words(what) and glue in ("(", ":", "-", "—") and denials(before) == 1:
        what = f"no {what}"  # `no long sentences (over 20 words)`
    number = _most_words(what)
    if number is None:
        return None
    is_explicit = bool(bound["which"] or bound["own"])
    is_predicate = found["such"] is not None
    return _Told(before, found["noun"], glue, what, number, is_explicit, is_predicate)


def _most_words(clause: str) -> int | None:
    """Return the number of a clause that only bounds the words of a reply from above."""
    found = quantity_checks(plain_rule(clause))
    return found[0].value if len(found) == 1 and found[0].kind == "max_words" else None


def _without_place(clause: str) -> str | None:
    """Return a clause without `per sentence`; None if it has no such place, or it may be another."""
    found = _PLACE.search(clause)
    if found is None or clause[: found.start()].endswith("not"):  # `not every sentence`
        return None
    rest = f"{clause[: found.start()]}{clause[found.end() :]}"
    if found["one"] and (found.end() < len(clause) or (re.search(REPLY_NAMES, rest) and not denials(rest))):
        return None
    return None if "sentence" in rest else rest


def _of_reply(clause: str) -> str | None:
    """Return a clause about all sentences as one about the reply; None if it is about one, or about none."""
    found = _NOUN.search(clause)
    if found is None or "word" not in clause[found.end() :] or "sentence" in clause[found.end() :]:
        return None
    before = clause[: found.start()]
    is_verb = _VERB.match(clause[found.end() :]) is not None
    is_any = (
        found["many"] or found["which"] or (found["one"] and (denials(before) or (is_verb and not before)))
    )
    names = re.search(rf"\b{REPLY_NAMES}\b", before) is not None
    if not is_any or (names and is_verb) or before.endswith("not "):
        return None
    which = "" if found["which"] in (None, "longest ") else found["which"]
    text = f"{before}{which}reply{clause[found.end() :]}"
    is_large = (_most_words(text) or 0) > _MOST and found["which"] is None
    return None if names and is_large else text  # `answer in short sentences with at most 60 words`

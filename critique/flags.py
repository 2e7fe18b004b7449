"""Rule-based flags for bad revisions, and for critiques that find nothing wrong.

A flag is a problem that the revision has and the answer before it has not. The rules about words read English
only; in other languages they find nothing.
"""

from __future__ import annotations

import re

from constitution.checks.language import language_of
from constitution.checks.refusal import refuses
from core.records import Generation
from core.text.repetition import is_repetitive
from core.text.similarity import longest_common_run, words_of
from critique.config import Flag

FIRST_FLAGS: tuple[Flag, ...] = ("empty", "unchanged", "prefix_leak", "truncated")
"""The flags of runs made before the others existed."""
DEGRADED: frozenset[Flag] = frozenset(
    ("critique_copied", "question_copied", "talks_about_the_reply", "repeats_itself", "language_changed")
)
"""Flags of a revision that is worse than the answer before it under any principle; `guard` discards it."""
_COPIED_WORDS = 6
"""Minimum length of a run of words that counts as copied: any two texts on a subject share shorter ones."""
_COPIED_SHARE = 0.5
"""Minimum share of the revision that is the copied run."""
_COMPARED_CHARACTERS = 8_000
"""Beginning of both texts that is searched for a copied run, whose search takes quadratic time."""
_EVASIVE_WORDS = 40
"""An answer with more words says something beside the evasion."""

_REWORKED = "(?:revised|rewritten|reworked|reworded|rephrased|improved|corrected|edited|updated)"
_NEWER = f"(?:{_REWORKED}|new|better|(?:more|less) [a-z]+|(?:short|kind|clear|simpl|gentl|saf|friendl)i?er)"
_REPLY = "(?:reply|response|answer)"
_TEXT = f"(?:{_REPLY}|version|revision|draft|message|text)"
# "A version of the recipe" is what the user may have asked for; "a version of my answer" is a leak.
_NOT_OF_ANOTHER_TEXT = rf"(?! (?:of|for) (?:your|(?:the|this) (?!(?:[a-z]+ )?{_REPLY}\b)))"
_LEAD = r"(?:[^\n]{0,120}?[.!,:—–-]\s+)?"
_END = r"[^\n:.]{0,100}(?::|\.?[*_]*\s*?(?:\n|\Z))"

_LEAKS = (
    # "Revised reply:", "**My new answer (shorter):**", "Rewritten:"
    rf"(?:(?:sure|certainly|of course|okay)\W+)?(?:(?:my|the|a) )?"
    rf"(?:{_REWORKED}(?: {_TEXT})?|(?:new|better) {_REPLY}|revision|rewrite)"
    rf"(?: (?:of|to) (?:my|the) {_REPLY})?(?: (?:is|would be)(?: as follows)?)?(?: \([^)\n]*\))?[*_]*:",
    # "Sure! Here's a revised and shorter version of my reply:", "Below is the improved answer."
    rf"{_LEAD}(?:here(?:['’]s| is)|this is|below is|the following is) (?!your)(?:[a-z]+ ){{0,2}}?"
    rf"(?:attempt at an? )?{_NEWER}(?:,? (?:and )?(?:more )?[a-z]+)? {_TEXT}\b{_NOT_OF_ANOTHER_TEXT}{_END}",
    # "Here is my reply, rewritten to be kinder:"
    rf"{_LEAD}here(?:['’]s| is) (?:the|my|that) {_REPLY},? (?:again,? )?{_REWORKED}\b{_END}",
    # "I have rewritten my reply so that it is honest:", "Let me rephrase that."
    rf"{_LEAD}(?:i(?:['’]ve| have)|let me) (?:{_REWORKED}|revise|rewrite|reword|rephrase|correct) "
    rf"(?:that\b|(?:the|my|this) (?:[a-z]+ )?{_REPLY}\b){_END}",
)
_LEAK = re.compile(rf"[\W_]{{0,20}}(?:{'|'.join(_LEAKS)})", re.IGNORECASE)


_ANY_REPLY = rf"(?:the|my|your|this|that) (?:(?:last|previous|revised|new|original|first) )?{_REPLY}"
_ABOUT = re.compile(
    # "My last reply should be shorter.", "Your answer follows the principle."; not "The answer is 7."
    rf"[\W_]{{0,20}}(?:{_ANY_REPLY} (?:should|must|needs to|follows|fulfil|breaks|violates)"
    # "The reply is at most 25 words long.", "This response uses everyday words."
    r"|(?:the|this|that|my|your) (?:(?:last|previous|revised|new|original|first) )?(?:reply|response) "
    r"(?:is|was|has|does|contains|includes|provides|lacks|uses|answers|leaves)\b"
    # "To follow this principle, ...", "The principle is ...", "One principle for your replies is ..."
    r"|(?:in order )?to (?:follow|fulfil|fulfill|meet) (?:this|the|that) principle\b"
    r"|(?:the|this|that|one|a) principle (?:is|for your|of your|says|means|requires)\b)",
    re.IGNORECASE,
)
_EVASIONS = re.compile(
    r"\b(?:i (?:do not|don['’]t) have (?:any )?(?:personal )?(?:opinions?|feelings|beliefs|preferences)"
    r"|as an ai\b|i(?:['’]m| am) (?:just|only) an? (?:ai|language model|assistant|program)"
    r"|i(?:['’]d| would) rather not (?:say|answer|discuss|talk)"
    r"|i (?:prefer|would prefer) not to (?:say|answer|discuss|talk)"
    r"|i (?:can(?:not|['’]t)|am not able to) (?:comment|take (?:a )?sides?|give (?:you )?(?:an )?opinion)"
    r"|(?:it is|it['’]s) (?:best|better) (?:to|if you) (?:ask|consult|speak|talk)\b"
    r"|(?:please )?consult (?:a|an|your) (?:professional|doctor|lawyer|expert|specialist)\b"
    r"|(?:let['’]s|let us|can we) (?:talk|speak) about something else"
    r"|(?:that|this|it) is (?:a )?(?:complex|sensitive|personal) (?:topic|subject|question|matter))",
    re.IGNORECASE,
)
_NOTHING_WRONG = re.compile(
    r"\b(?:no (?:faults?|violations?|errors?|issues?|changes?|part of (?:it|my|the|your) )"
    r"|nothing (?:in (?:it|my|the|your)[^.]{0,40} )?(?:breaks|violates|needs|should|is wrong|to change)"
    r"|(?:does not|doesn['’]t|do not|don['’]t) (?:break|violate|need (?:to )?(?:be )?chang)"
    r"|(?:already|fully|completely|indeed) (?:follow|fulfil|meet|compl(?:y|ies)|adhere|satisf)"
    r"|(?:reply|response|answer|it) (?:follows|fulfils|fulfills|meets|complies with|adheres to|satisfies) "
    r"(?:the|this|that) principle)",
    re.IGNORECASE,
)
_RESERVATION = re.compile(r"\b(?:but|however|although|though|except|nevertheless)\b", re.IGNORECASE)


def flags_of(
    revision: Generation, before: Generation, critique: str = "", question: str = ""
) -> tuple[Flag, ...]:
    """Return the flags of a revision of the answer `before`, in a fixed order.

    Args:
        revision: the new answer.
        before: the answer that was to be revised.
        critique: the critique of that answer; empty if there is none.
        question: the user's last message.
    """
    text, old = revision.text, before.text
    leaked = bool(_LEAK.match(text))
    found: dict[Flag, bool] = {
        "empty": not text,
        "unchanged": bool(text) and text.split() == old.split(),
        # If the user asked for a corrected text, the earlier answer begins the same way and nothing leaked.
        "prefix_leak": leaked and not _LEAK.match(old),
        "truncated": revision.finish_reason == "length",
        "critique_copied": copies(text, critique, old),
        "question_copied": copies(text, question, old),
        "talks_about_the_reply": not leaked and bool(_ABOUT.match(text)) and not _ABOUT.match(old),
        "repeats_itself": is_repetitive(text) and not is_repetitive(old),
        "refused": refuses(text) and not refuses(old),
        "evasive": evades(text) and not evades(old),
        "language_changed": _in_another_language(text, old),
    }
    return tuple(flag for flag, is_found in found.items() if is_found)


def copies(text: str, source: str, before: str) -> bool:
    """Return True if at least half of a revision is one run of another text's words, new to the answer."""
    new, old, said = (part[:_COMPARED_CHARACTERS] for part in (text, before, source))
    run = longest_common_run(new, said)
    enough = max(_COPIED_WORDS, _COPIED_SHARE * len(words_of(new)))
    return run >= enough and longest_common_run(new, old) < run


def evades(text: str) -> bool:
    """Return True if a short answer says little more than that it will not take a position."""
    return bool(text) and len(text.split()) <= _EVASIVE_WORDS and bool(_EVASIONS.search(text))


def finds_fault(critique: str) -> bool:
    """Return False if a critique says that nothing is wrong, without a reservation after it."""
    said = _NOTHING_WRONG.search(critique)
    return said is None or bool(_RESERVATION.search(critique, said.end()))


def _in_another_language(text: str, before: str) -> bool:
    new, old = language_of(text), language_of(before)
    return new is not None and old is not None and new != old

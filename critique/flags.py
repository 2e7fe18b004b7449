"""Rule-based flags for bad revisions, and for critiques that find nothing wrong.

A flag is a problem that the revision has and the answer before it has not. What the prompt or a principle
asks for is no problem (`critique/expected.py`). The rules about words read English only; in other languages
they find nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from constitution.checks.language import language_of
from constitution.checks.refusal import refuses
from constitution.importers.under_keys.statements import asks_for
from core.records import Generation
from core.text.repetition import is_repetitive
from core.text.similarity import CommonRun, longest_common_run, words_of
from critique.config import Flag
from critique.expected import Expected
from critique.requests import WRITTEN_BY_CHECKS

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
"""Beginning of both texts that is searched for a copied run."""
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


_AGE = "(?:(?:last|previous|revised|new|original|first) )?"
_VERDICT = "(?:follows|fulfil|breaks|violates)"
_DUTY = "(?:should|must|needs to)"
_STATE = r"(?:is|was|has|does|contains|includes|provides|lacks|uses|answers|leaves)\b"
_ACTS = (
    r"(?:says|tells|gives|names|asks|apologi[sz]es|explains|mentions|ends|begins|starts|offers|keeps|avoids"
    r"|shows|acknowledges|addresses|suggests|states|thanks|promises|refers|sounds|greets|stays|remains|recommends"
    r"|invites|encourages|reassures|confirms|repeats|lists|describes|expresses|directs|warns|respects|makes|needs)\b"
)
"""What a rule says that the reply does."""
_WHOSE = "my|his|her|its|their|our|this|that"
_OF_A_REPLY = (
    rf"\b(?:(?:{_WHOSE}|the|an?|your|following|[a-z]+['’]s) (?:[a-z]+ )?(?:repl(?:y|ies)|responses?)"
    rf"|(?:{_WHOSE}) (?:[a-z]+ )?answer)\b"
)
"""A noun, not `Reply in one word` or `What is the answer`."""
_OPENINGS = (
    # "My last reply should be shorter." Nobody asks for that.
    ("", rf"my {_AGE}(?:{_REPLY} (?:{_DUTY}|{_VERDICT})|(?:reply|response) {_STATE})"),
    # "Your answer follows the principle.", "The reply is at most 25 words long."; not "The answer is 7.", and
    # not where the user asks about a reply: "Is my reply polite?"
    (
        _OF_A_REPLY,
        rf"(?:the|your|this|that) {_AGE}"
        rf"(?:{_REPLY} {_VERDICT}|(?:reply|response) (?:{_DUTY}|{_STATE}|{_ACTS})|(?<=your )answer {_DUTY})",
    ),
    # "To follow this principle, ...", "The principle is ...", "One principle for your replies is ..."; not
    # where the user asks about a principle, such as that of Archimedes
    (
        r"\bprincipl",
        r"(?:(?:in order )?to (?:follow|fulfil|fulfill|meet) (?:this|the|that) principle\b"
        r"|(?:the|this|that|one|a) principle (?:is|for your|of your|says|means|requires)\b)",
    ),
)
_GREETING = (
    r"(?:(?:sure|okay|ok|certainly|of course|absolutely|yes|hello|hi|hey|dear|understood|i understand|got it"
    r"|(?:i['’]m |i am )?sorry|you['’]re right|you are right)\b"
    r"(?:(?!repl[iy]|respon)[^\n.!?:]){0,40}[.!?,:]\W{0,5})?"
)
"""What may come before a sentence about the reply."""
_ABOUT = [(word, re.compile(rf"[\W_]{{0,20}}{_GREETING}{talk}", re.IGNORECASE)) for word, talk in _OPENINGS]
"""Openings about the reply or the principle, each behind what the user must not have mentioned."""
_RULE_WORDS = 5
"""Minimum length of a sentence of a rule that counts as repeated: shorter ones are in ordinary replies."""
_NAMES_REPLY = re.compile(rf"\b(?:{_REPLY}s?|replies|assistant|chatbot)\b", re.IGNORECASE)
_RULE_SENTENCE = re.compile(r"[^.!?;\n]+")
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
    r"\b(?:no (?:faults?|violations?|errors?|issues?|changes?)\b"
    r"(?: (?:(?:should|need to|must|have to) be made|(?:are|is) (?:needed|necessary|required)))?"
    rf"|no part of (?:it|(?:my|the|your) (?:last )?{_REPLY}) "
    r"(?:breaks|violates|(?:should|needs to|must|has to) (?:be )?\w+)"
    r"|nothing (?:in (?:it|my|the|your)[^.]{0,40} )?(?:breaks|violates|needs|should|is wrong|to change)"
    r"(?: (?:to )?(?:be )?chang\w*)?"
    r"|(?:does not|doesn['’]t|do not|don['’]t) (?:break|violate|need (?:to )?(?:be )?chang\w*)"
    r"|(?:already|fully|completely|indeed) (?:follow|fulfil|meet|compl(?:y|ies)|adhere|satisf)\w*"
    rf"|(?:{_REPLY}|it) (?:follows|fulfils|fulfills|meets|complies with|adheres to|satisfies) "
    r"(?:the|this|that) principle)",
    re.IGNORECASE,
)
_DENIED_CHARACTERS = 200
"""Characters before `fully follows this principle` that are searched for a denial."""
_DENIAL = re.compile(
    r"(?:\b(?:not|never|cannot|hardly|barely|scarcely|nearly|almost|only|partly|partially|if|whether|unless"
    r"|until|would|fails? to|instead of)\b|n['’]t\b)[^.!?\n]*\Z"
    r"|\b(?:nothing|none|neither|no (?:part|way))\b[^.!?\n,;:]*\Z|\bto\W*\Z",
    re.IGNORECASE,
)
"""What makes `fully follows this principle` behind it in a sentence mean the opposite: `does not`, `to`."""
_COMPLAINT = re.compile(
    r"\b(?:but|however|although|though|except|nevertheless|yet|unclear|unfortunately"
    r"|should|could|might|must|ought|needs? (?:to|more|less)|too|lacks?|lacking|miss(?:es|ing)"
    r"|ignores?|fails?|breaks|violates|exceeds?|wrong|incorrect|unnecessary|instead|rather|longer|shorter"
    r"|remove|add|partly|partially|in part|somewhat|mostly|largely|only|superficially|less)\b",
    re.IGNORECASE,
)
"""Words of a critique that finds a fault, whatever else it says."""


def flags_of(
    revision: Generation,
    before: Generation,
    critique: str = "",
    expected: Expected | None = None,
    rules: Sequence[str] = (),
) -> tuple[Flag, ...]:
    """Return the flags of a revision of the answer `before`, in a fixed order.

    Args:
        revision: the new answer.
        before: the answer that was to be revised.
        critique: the critique of that answer; empty if there is none.
        expected: what the prompt and its principles ask for, which is no problem.
        rules: texts of the principles that the answer was to be revised under.
    """
    text, old, asked = revision.text, before.text, expected or Expected()
    opening = asked.without_beginning(text)
    leaked = bool(_LEAK.match(opening))
    found: dict[Flag, bool] = {
        "empty": not text,
        "unchanged": bool(text) and text.split() == old.split(),
        # If the user asked for a corrected text, the earlier answer begins the same way and nothing leaked.
        "prefix_leak": leaked and not _LEAK.match(old),
        "truncated": revision.finish_reason == "length",
        "critique_copied": copies(asked.without_phrases(text), critique, old),
        "question_copied": _repeats_the_question(asked.without_phrases(text), asked, old),
        "talks_about_the_reply": not leaked
        and ((_talks(opening, asked) and not _talks(old, asked)) or _repeats_a_rule(text, rules, asked, old)),
        "repeats_itself": is_repetitive(text) and not is_repetitive(old),
        "refused": refuses(text) and not refuses(old),
        "evasive": evades(text) and not evades(old),
        "language_changed": _in_another_language(text, old, asked),
    }
    return tuple(flag for flag, is_found in found.items() if is_found)


def copies(text: str, source: str, before: str) -> bool:
    """Return True if at least half of a revision is one run of another text's words, new to the answer."""
    return _copied(source, text, before) is not None


def evades(text: str) -> bool:
    """Return True if a short answer says little more than that it will not take a position."""
    return bool(text) and len(text.split()) <= _EVASIVE_WORDS and bool(_EVASIONS.search(text))


def finds_fault(critique: Generation) -> bool:
    """Return False if a critique says that nothing is wrong, and nothing else.

    What is denied, or stands beside a word of complaint, finds a fault: skipping a revision that was needed
    does more harm than asking for one that was not. A critique that checks write always finds one.
    """
    if critique.model == WRITTEN_BY_CHECKS:
        return True
    text, found = critique.text, False
    for said in _NOTHING_WRONG.finditer(text):
        found = True
        if _DENIAL.search(text, max(0, said.start() - _DENIED_CHARACTERS), said.start()):
            return True
    return not found or bool(_COMPLAINT.search(_NOTHING_WRONG.sub(" ", text)))


def _copied(source: str, text: str, before: str) -> CommonRun | None:
    """Return the run of a source's words that is at least half of a text; None if there is no such run."""
    said, new, old = (part[:_COMPARED_CHARACTERS] for part in (source, text, before))
    run = longest_common_run(said, new)
    enough = max(_COPIED_WORDS, _COPIED_SHARE * len(words_of(new)))
    return run if run.size >= enough and longest_common_run(old, new).size < run.size else None


def _repeats_the_question(text: str, asked: Expected, before: str) -> bool:
    """Return True if a revision repeats what is asked, not just a text that the user wants quoted."""
    run = _copied(asked.question, text, before)
    return run is not None and any(
        run.start <= start and end <= run.start + run.size
        for start, end in asked.questions()
        if end - start >= _COPIED_WORDS
    )


def _talks(text: str, asked: Expected) -> bool:
    """Return True if a text begins with a sentence about the reply or the principle that nobody asked for."""
    return any(
        pattern.match(text) and not (mentioned and asked.mentions(mentioned)) for mentioned, pattern in _ABOUT
    )


def _repeats_a_rule(text: str, rules: Sequence[str], asked: Expected, before: str) -> bool:
    """Return True if a revision repeats a rule's sentence about the reply, or begins with a rule's sentence.

    A sentence of a rule that does not name the reply may be a fact that users are to be told, so it counts
    only at the beginning and as an instruction.
    """
    new, old, said = (
        _spaced(part) for part in (asked.without_phrases(text), before, f"{asked.said} {asked.question}")
    )
    for sentence in (one for rule in rules for one in _RULE_SENTENCE.findall(rule)):
        words = _spaced(sentence)
        if len(words.split()) < _RULE_WORDS or words in old or words in said:
            continue
        if words in new if _NAMES_REPLY.search(sentence) else new.startswith(words) and asks_for(sentence):
            return True
    return False


def _spaced(text: str) -> str:
    """Return the words of a text between single spaces, to look for them in those of another text."""
    return f" {' '.join(words_of(text))} "


def _in_another_language(text: str, before: str, asked: Expected) -> bool:
    new, old = language_of(text), language_of(before)
    return new is not None and old is not None and new != old and not asked.allows_language(new)

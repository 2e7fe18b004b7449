"""What can be noticed about a revision without a model."""

from __future__ import annotations

import re

from core.records import Generation
from critique.config import Flag

_SEARCHED_CHARACTERS = 400
"""An announcement stands at the very beginning; the bound also bounds the time."""

_REWORKED = r"""(?:new|revised|rewritten|re-written|updated|improved|corrected|edited|reworded|rephrased|refined
    |amended|modified|better|shorter|longer|briefer|clearer|kinder|simpler|plainer|safer|gentler
    |(?:more|less)\s+[\w-]+)"""
_ANSWER = r"(?:reply|response|answer)"
_WHOSE = r"(?:(?:the|my|your|that|this|our)\s+)?(?:(?:last|previous|earlier|original|initial|same)\s+)?"
_ABOUT_IT = rf"""(?:
    \s+of\s+{_WHOSE}{_ANSWER}\b
    |\s+(?:to|for)\s+{_WHOSE}(?:question|message|request|prompt|user(?:['’]s(?:\s+\w+){{1,2}})?)\b
    |\s*[,(–—][^\n:]{{0,120}}
    |\s+(?:that|which|based|taking|following|according|as|is|would|reads|with|without|in)\b[^\n:]{{0,120}}
)?"""
# `version` alone is often an email or a program that the user wanted rewritten, so little may follow it.
_REWORKED_ANSWER = rf"""{_REWORKED}(?:[,\s]+[\w'’-]+){{0,4}}?[,\s]+(?:
    {_ANSWER}\b{_ABOUT_IT}
    |version\b(?:\s+of\s+{_WHOSE}{_ANSWER}\b[^\n:]{{0,120}}|\s+that\s+[^\n:]{{0,120}}|\s+is)?
)"""
_SENTENCES = r"(?:[^\n.!?:,;—–]{1,100}(?:[.!?:,;—–]+|\s-)\s+){0,2}"
_ASSENT = r"(?:(?:sure|certainly|of\s+course|okay|ok|absolutely|understood|alright)\b[^\w\n]{1,4}\s*)?"
_AT_THE_END = r"[.\s*_]{0,4}(?:[:\n]|$)"

_LEAK = re.compile(
    rf"""[*_\#>"“\s-]{{0,8}}(?:
    # "Here is a shorter version of the reply:", "Below is my attempt at a revised answer."
    {_SENTENCES}(?:here(?:['’]s|\s+is)|below\s+is|this\s+is)\s+
        (?:(?:a|an|the|my|our|your|attempt|try|at|possible)\s+){{0,4}}
        (?:{_REWORKED_ANSWER}|{_ANSWER},?\s+(?:again|re-?written|revised|reworded|rephrased)\b[^\n:]{{0,120}}
            |(?:revision|rewrite|second\s+attempt|another\s+(?:attempt|try)))
        {_AT_THE_END}
    # "**Revised reply:**", "Sure! My new response is as follows:", "Revision:"
    |{_ASSENT}(?:(?:the|my|a|your)\s+)?(?:{_REWORKED}\s+{_ANSWER}(?:\s*\([^\n)]{{0,60}}\)
            |\s+(?:is|would|reads)\b[^\n:]{{0,30}})?
            |(?:revised|rewritten|improved|edited)\s+version|revision|rewrite)[\s*_]{{0,4}}:
    # "I have revised my reply to be clearer.", "Let me try that again:"
    |{_SENTENCES}(?:i(?:['’]ve|\s+have|['’]ll|\s+will)?|let\s+me)\s+(?:
        (?:revised?|rewrite|rewritten|rewrote|reworded?|rephrased?|updated?)\s+{_WHOSE}{_ANSWER}
            (?=\s*[,.:;\n—]|\s+(?:to|so|as|and|based|in|with|below|here)\b|$)
        |try\s+(?:(?:that|this)\s+)?again\b)
    )""",
    re.IGNORECASE | re.VERBOSE,
)


def flags_of(revision: Generation, before: Generation) -> tuple[Flag, ...]:
    """Return what is noticed about a revision of the answer before it, in fixed order.

    A prefix leak is an opening that speaks of the rewriting instead of to the user. Where the answer before
    began in the same way, it announces what the user asked for, and is none.
    """
    found: list[Flag] = []
    if not revision.text:
        found.append("empty")
    elif revision.text.split() == before.text.split():
        found.append("unchanged")
    if _announces_a_rewrite(revision.text) and not _announces_a_rewrite(before.text):
        found.append("prefix_leak")
    if revision.finish_reason == "length":
        found.append("truncated")
    return tuple(found)


def _announces_a_rewrite(text: str) -> bool:
    return _LEAK.match(text[:_SEARCHED_CHARACTERS]) is not None

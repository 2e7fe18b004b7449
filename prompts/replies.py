"""Extraction of user messages from the replies of a model that was asked to write one.

Models number, quote, announce and explain their messages. Some answer the message themselves, or decline. The
rules are simple, and those about words apply to English only, so messages in other languages are accepted
rather than lost. Each rejected message is counted under one of the reasons below.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from constitution.checks.evaluate import count_words

EMPTY = "empty"
CUT_OFF = "cut off at the token limit"
DECLINED = "the model declined"
ANOTHER_FORM = "a list, code or table, not a message"
TOO_LONG = "too long"
TOO_SHORT = "too short"
ABOUT_THE_RULE = "talks about the rule"
NO_REQUEST = "an answer or a statement, not a request"

MAX_WORDS = 120
MIN_WORDS = 3
_MAX_LINES = 8


class CandidatePrompt(NamedTuple):
    """A candidate for a user message, extracted from a reply."""

    text: str
    reason: str | None
    """Reason for rejection; None if the message can be used."""


_ANNOUNCED = re.compile(
    r"\A(?:(?:sure|certainly|of course|okay|ok|absolutely|gladly|great)(?: thing)?[!,.:]\s*)?"
    r"(?:here(?:'s| is| are)\s[^\n:.]{0,80}"
    r"\b(?:message|prompt|question|request|example|one)s?\b[^\n:.]{0,80}:\s*)?",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"\A(?:(?:the )?(?:user|human)(?:['’]s)?(?: (?:message|prompt|question|request))?|"
    r"message|prompt|question|request)\s*:\s*",
    re.IGNORECASE,
)
_AFTER = re.compile(
    r"^\W*(?:rule(?: for [^\n:]{1,30})?|"
    r"message|note|explanation|reason|assistant|ai|reply|response|answer|(?:good|bad) reply)\s*:|"
    r"^\(?this (?:message|prompt|request|question)\b",
    re.IGNORECASE | re.MULTILINE,
)
_NUMBERED = re.compile(r"^\s*(?:\(?\d{1,2}[.)]|[-*•])\s+")
_PAIRS = (('"', '"'), ("“", "”"), ("‘", "’"), ("«", "»"), ("„", "“"), ("**", "**"), ("`", "`"), ("'", "'"))
_FORMED = re.compile(r"\A[{\[<|#]|```|^\s*\|.*\|\s*$", re.MULTILINE)

_DECLINES = re.compile(
    r"\A(?:i(?:['’]m| am) (?:very |so )?sorry\b.{0,40}\b(?:can['’]?t|cannot|unable|not able|won['’]t)\b|"
    r".{0,80}\bas an? (?:\w+ )?(?:ai(?:,| i | assistant| model| language)|(?:large )?language model)|"
    r"i (?:can['’]?t|cannot|won['’]t|am not able to|am unable to) "
    r"(?:(?:help|assist)(?: you)? with (?:that|this|your request)|"
    r"(?:write|provide|create|generate|fulfil|comply with) (?:that|this|such|any|a message|content)))",
    re.IGNORECASE,
)
_ABOUT = re.compile(
    r"\A(?:the|this|that|a) (?:(?:reply|response|assistant|user|rule|principle)\b|"
    r"(?:message|prompt) (?:in which|where|that|is|asks|from a user)\b)|"
    r"\bthe (?:user|assistant) (?:asks|wants|should|must|can|could|will|would|is|might|may)\b",
    re.IGNORECASE,
)
_ADVISES = re.compile(
    r"\A(?:you (?:should|can|could|may|might|must|need to)\b|"
    r"it(?:['’]s| is) (?:important|essential|best|crucial)\b|"
    r"(?:yes|no|absolutely|remember)[,.!]|i(?:['’]d| would)? (?:recommend|suggest|advise)\b|"
    r"i(?:['’]m| am) (?:here|happy|glad) to\b|thank you for\b|there are (?:many|several|a few)\b|"
    r"in (?:general|summary|conclusion)\b)",
    re.IGNORECASE,
)
_SERVES = re.compile(
    r"\bi(?:['’]m| am) here to (?:help|assist)\b|"
    r"\bi(?:['’]d| would) be (?:glad|happy) to (?:help|assist)\b|"
    r"\bi(?:['’]m| am) (?:glad|happy) to (?:help|assist)\b|"
    r"\b(?:how|what) (?:can|may) i (?:help you|assist you|do for you)\b|"
    r"\b(?:can|may) i (?:help|assist) you\b",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"[?？]|\b(?:i|i['’]\w+|me|my|mine|we|us|our|please)\b|"
    r"(?:\A|[.!:;,\n]\s*)(?:just |now |come on, |and |then )?"
    r"(?:tell|write|explain|give|help|list|describe|make|show|find|suggest|recommend|plan|draft|translate|summari[sz]e|compare|name|create|act|pretend|teach|imagine|"
    r"say|convince|rewrite|fix|check|choose|pick|read|do|don['’]t|be|invent|design|prove|answer|add|"
    r"shorten|correct|compose|let['’]s|keep|use|play|reply|talk|calculate|turn|think|stop|get)\b",
    re.IGNORECASE,
)
_ENGLISH = re.compile(r"\b(?:the|a|an|to|of|and|is|are|in|it|that|for|with)\b", re.IGNORECASE)


def candidates(reply: str, *, finished: bool) -> Iterator[CandidatePrompt]:
    """Yield the message of a reply, or each message if the reply is a numbered list.

    Args:
        reply: the text that the model wrote.
        finished: True if the model ended the reply itself; otherwise the last message is cut off.
    """
    parts = _split(_bare(reply))
    for number, part in enumerate(parts, start=1):
        text = _unwrapped(part)
        cut = not finished and number == len(parts)
        yield CandidatePrompt(text, _reason(text, cut_off=cut))


def _bare(reply: str) -> str:
    """Return the reply without its announcement and without the text after the message."""
    text = _ANNOUNCED.sub("", reply.strip(), count=1)
    text = _LABEL.sub("", text, count=1)
    after = _AFTER.search(text)
    # A label at the very beginning is part of the message; a later label ends the message.
    return text[: after.start()].strip() if after and text[: after.start()].strip() else text.strip()


def _split(text: str) -> list[str]:
    """Return the entries of a numbered list, or the whole text if it is not a list."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or not _NUMBERED.match(lines[0]):
        return [text]
    entries: list[str] = []
    for line in lines:
        if _NUMBERED.match(line):
            entries.append(_NUMBERED.sub("", line, count=1))
        else:
            entries[-1] += f"\n{line}"
    return entries


def _unwrapped(text: str) -> str:
    """Return the text without surrounding labels, quotation marks and emphasis."""
    before = None
    while text != before:
        before, text = text, _LABEL.sub("", text.strip(), count=1)
        for opening, closing in _PAIRS:
            inner = text[len(opening) : -len(closing)]
            whole = len(text) > len(opening + closing) and text.startswith(opening) and text.endswith(closing)
            if whole and opening not in inner and closing not in inner:
                text = inner.strip()
    lone = text[1:] if text[:1] in {'"', "“"} and not re.search('["”]', text[1:]) else text
    return lone[:-1] if lone[-1:] in {'"', "”"} and not re.search('["“]', lone[:-1]) else lone


def _reason(text: str, *, cut_off: bool) -> str | None:
    words = count_words(text)
    if not words:
        return EMPTY
    if _DECLINES.search(text):
        return DECLINED
    if cut_off:
        return CUT_OFF
    lines = [line for line in text.splitlines() if line.strip()]
    if _FORMED.search(text) or len(lines) > _MAX_LINES or sum(map(bool, map(_NUMBERED.match, lines))) > 1:
        return ANOTHER_FORM
    if words > MAX_WORDS:
        return TOO_LONG
    if words < MIN_WORDS and text.isascii():  # other scripts may not separate words by spaces
        return TOO_SHORT
    if _ABOUT.search(text):
        return ABOUT_THE_RULE
    return NO_REQUEST if _is_no_request(text) else None


def _is_no_request(text: str) -> bool:
    """Return True if an English text offers help, gives advice, or has no sign of a question or request."""
    if _SERVES.search(text):
        return True
    if "?" in text:
        return False
    return bool(_ADVISES.search(text) or (_ENGLISH.search(text) and not _ASKS.search(text)))

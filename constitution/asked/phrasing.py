"""The words around what a rule asks for: `The reply must always have ...`, `..., please`.

A rule is understood only if every word of it is: what it asks for, and a frame of words from a closed list
that say nothing else. So `at most 80 words` is found in `Answer in at most 80 words.`, and nothing in `The
first sentence has at most 20 words.`, which is about a part of the reply.
"""

from __future__ import annotations

import re

REPLY_NAMES = (
    r"(?:repl(?:y|ies)|responses?|answers?|(?:text |chat )?messages?|(?:e-?)?mails?|texts?|outputs?"
    r"|(?:cover )?letters?|(?:blog |social media )?posts?|tweets?|articles?|essays?|newsletters?|documents?)"
)
"""Names of the whole reply."""
PERSONS = (
    r"(?:customers?|users?|clients?|guests?|readers?|visitors?|callers?|patients?|parents?|pupils?|students?"
    r"|child(?:ren)?|persons?|people|members?|tenants?|travell?ers?|passengers?|shoppers?|buyers?|applicants?"
    r"|candidates?|citizens?|residents?|subscribers?|learners?|players?|employees?|colleagues?|donors?|owners?"
    r"|askers?|recipients?|viewers?|listeners?)"
)
"""Pattern of names for those whom the reply is for."""
_FRAME_WORDS = (
    "the a an each every all any your our its my this it they them you we yourself everything things "
    "chatbot assistant bot model is are be being has have having contains? containing uses? using consists? "
    "of takes? runs? keeps? keeping kept stays? staying remains? fits? fitting into responds? writes? "
    "writing written finish(?:es)? finished gives? makes? says? speaks? speaking puts? explains? asks? "
    "asking puts? putting back sticks? "
    "includes? including goes go limits? limited restricts? restricted caps? capped must should "
    "shall may can will needs? ought do does to in with at on from as please always only just short brief "
    "concise succinct compact crisp point length long total size whole entire full overall exactly format "
    "formatted form word count also simply strictly really"
)
DENYING = r"not|never|no|none|without|avoids?|avoiding|free of|zero|refrains? from|neither"
"""Pattern of words that deny what follows."""
_TO_SOMEBODY = r"(?:to|for) (?:the |a |our |your )?(?:customer|user|reader|child|person|guest|client)s?"
_ASKING = rf"(?:asks?|asking|puts?|putting) (?:(?:the|a|an|any|each|every|our|your) )*{PERSONS}"
WORD = rf"(?:{DENYING}|{_ASKING}|{_TO_SOMEBODY}|{REPLY_NAMES}(?:'s)?|(?:{'|'.join(_FRAME_WORDS.split())}))"
"""Pattern of one word of the frame."""
_AFTER = (
    r"long|in length|in total|total|altogether|overall|only|either|please|ever|at all|in all|each"
    rf"|and no more|at a time|(?:per|in|for) (?:each |every |the |your |our |a |any |all )*{REPLY_NAMES}"
    rf"|{_TO_SOMEBODY}|always"
)
_NEGATIONS = (("won't", "will not"), ("can't", "can not"), ("cannot", "can not"), ("n't", " not"))
_DENIES = re.compile(rf"\b(?:{DENYING})\b")
_EMPHASIS = r"ever|period|full stop|at all|really|no exceptions?|without exceptions?"
_FRAME = re.compile(rf"(?:{WORD} )*{WORD}|(?P<emphasis>{_EMPHASIS})")
_SOME = rf"(?!{_TO_SOMEBODY}\b)(?:to|about|for|on|from|regarding|concerning|that|which)\b"
_SOME_REPLIES = re.compile(
    rf"(?:(?:the|an?|each|every|all|any|our|your) )+{REPLY_NAMES} {_SOME}|(?=\w+s ){REPLY_NAMES} {_SOME}"
)
_SUBJECT = re.compile(rf"(?:{WORD} )*?{REPLY_NAMES}\b(?!'| of )")

HOLDING = re.compile(r"\b(?:has|have|having|contain\w*|includ\w+|no|with)\b")
"""Words before a form by which the reply has it, and need not be it."""


def plain_rule(text: str) -> str:
    """Return a rule in lower case, with plain quotes, spelled-out negations and single spaces."""
    folded = text.casefold().translate(str.maketrans("’‘“”–", "''\"\"-"))
    for short, full in _NEGATIONS:
        folded = folded.replace(short, full)
    folded = re.sub(r"\b(max|min)\.", r"\1", folded)
    folded = re.sub(r"\b(length|limit|max(?:imum)?|min(?:imum)?)[:=]", r"\1", folded)
    return " ".join(folded.split())


def framed(core: str, after: str = "") -> re.Pattern[str]:
    """Return the pattern of a whole rule around its core, with the groups `before` and `after`.

    Args:
        core: pattern of what the rule asks for.
        after: alternatives that may follow the core, beside those that may follow any.
    """
    tail = f"{after}|{_AFTER}" if after else _AFTER
    return re.compile(rf"(?P<before>(?:{WORD} )*)(?:{core})(?P<after>(?:,? (?:{tail}))*)")


def denials(before: str) -> int:
    """Return how often the words before the core deny it: `must not`, `without`."""
    return len(_DENIES.findall(before))


def says_nothing(clause: str, *, denying: bool = False) -> bool:
    """Return whether a clause consists of words of the frame alone, as `keep it short`.

    Args:
        clause: the clause, as `plain_rule` returns it.
        denying: True if it may deny what follows, as `the reply must not`.
    """
    found = _FRAME.fullmatch(clause.strip())
    return found is not None and (denying or found["emphasis"] is not None or not denials(clause))


def names_reply(clause: str) -> bool:
    """Return whether a clause begins with the whole reply as its subject, as `all posts are`."""
    return _SUBJECT.match(clause.strip()) is not None


def names_some_replies(clause: str) -> bool:
    """Return whether a clause is about some of the replies, as `letters about fees`."""
    return _SOME_REPLIES.match(clause.strip()) is not None


_CHOOSING = r"(?:choose|prefer|pick|select|favou?r|opt for|go for)"
_LEAD = r"(?:(?:please|always|you (?:should|must)|and|then),? )*"
_OWNER = r"(?:(?:ai|assistant|chatbot|bot|model)(?:'s)? )?"
_CHOSEN = r"(?:repl(?:y|ies)|responses?|answers?|completions?|outputs?)"
"""Not every name of a reply: to pick the article with at most 500 words may be what the reply is to do."""
_CHOICE = re.compile(
    rf"(?:^|(?<=[.!;] )){_LEAD}{_CHOOSING} (?:(?:the|an?|any|only|those|all) )*{_OWNER}{_CHOSEN} "
    r"(?:(?:that|which) (?!(?:the|an?|our|your|you|they|we|i|people|most|best|least) )|(?=(?:with|without) ))"
)
_COMPARING = re.compile(
    r"\b(?:else|over|rather|than (?:the|an?|its) (?:other|one|longer|shorter|first|second|rival)"
    r"|both|either|neither|others?|whichever|ties?|tied|equal(?:ly)?|same(?! language)"
    r"|in doubt|alternatives?|compared|two (?:replies|responses|answers|completions|outputs))\b"
)


def without_choice(rule: str) -> str | None:
    """Return a rule about the reply to choose as one about the reply; None if it compares replies.

    `Choose the response that contains no links.` asks for what `The reply contains no links.` asks for,
    unless it compares two replies, or says when it counts: `all else being equal`, `rather than the other`.

    Args:
        rule: the rule, as `plain_rule` returns it. Any other rule is returned as it is.
    """
    found = _CHOICE.sub("the reply ", rule)
    return None if found != rule and _COMPARING.search(found) else found

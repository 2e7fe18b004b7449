"""Sentences that say why a rule is there, and ask for nothing: `Guests hate it.`, `It is the law.`"""

from __future__ import annotations

import re

from constitution.asked.phrasing import PERSONS

_THIS = r"(?:it|this|that|these|those|them)"
_WHO = (
    rf"(?:(?:the|our|all|most|many|some|your) )*(?:{PERSONS}|everybody|everyone|we)"
    r"(?: (?:really|just|simply|all|always))*"
)
_DISLIKE = (
    r"(?:hates?|dislikes?|loathes?|resents?|(?:can|do|does|will) not (?:like|stand|bear|want|read|understand)"
    r"|complain(?:s|ed)? about"
    r"|(?:is|are|gets?|feels?) (?:annoyed|irritated|confused|insulted|put off|offended) by)"
)
_ANNOYS = r"(?:annoy|irritate|confuse|offend|upset|insult|anger|bore|scare|patronise|patronize)s?"
_SOUNDS = r"(?:sounds?|feels?|looks?|seems?|comes? across as|reads? like)"
_OBLIGED = (
    r"(?:(?:(?:the|our|a) )?(?:law|legal requirement|brand|house style|company policy)"
    r"|required by law|legally required|illegal|forbidden by law|what the law (?:says|demands|requires))"
)
_DEVICE = r"(?:(?:smart|mobile )?phones?|mobiles?|screens?|displays?|watch(?:es)?|tablets?)"
_OUTSIDE = r"(?:street|road|go|way|move|bus|train|tram|bike|platform|stairs|site)"
_SITUATION = (
    rf"(?:on (?:(?:the|a|an|their|his|her|small|little|tiny|old) )*(?:{_DEVICE}|{_OUTSIDE})"
    r"|in (?:a|the) (?:hurry|rush|car|queue|street|rain|dark|bus|train|tram)"
    r"|at (?:work|night|the (?:counter|till|stop|station))"
    r"|while (?:walking|driving|riding|standing|waiting|cooking|working))"
)
_WHERE_READ = re.compile(
    rf"(?P<end>[.!;] ){_WHO}(?: (?:mostly|mainly|often|usually))?"
    rf" (?:(?:reads?|sees?|views?|gets?|opens?|checks?) {_THIS}|are|is|sits?|stands?)"
    r"(?: (?:mostly|mainly|often|usually))?"
    rf" {_SITUATION}(?:,? (?:and |or |often )*{_SITUATION})*(?=[.!;]|$)"
)
"""A sentence that says where people read a reply: `People read this on the street, on a phone.`"""
_REASON = re.compile(
    rf"(?:because|since|so that|that is why|this is why|the reason(?: is|:)|reason:)\b.*"
    rf"|{_WHO} {_DISLIKE} {_THIS}"
    rf"|(?:nobody|no one) (?:likes|wants|reads|understands|(?:talks|speaks) like) {_THIS}"
    rf"|{_THIS} (?:only |just |really )?{_ANNOYS} (?:{_WHO}|us|them)"
    rf"|{_THIS} {_SOUNDS} (?:rude|cold|fake|stiff|robotic|arrogant|pushy|unprofessional|silly|old-fashioned)"
    rf"|{_THIS}(?: is| are| was|'s) {_OBLIGED}"
)


def without_situations(rule: str) -> str:
    """Return a rule without sentences that only say where it is read, as `People read this on a phone.`

    Args:
        rule: the rule, as `phrasing.plain_rule` returns it.
    """
    return _WHERE_READ.sub(r"\g<end>", rule).replace("  ", " ").replace(". .", ".").strip()


def is_reason(clause: str) -> bool:
    """Return whether a clause only gives a reason, as `guests hate it`. In doubt it does not.

    `It is friendly` is a rule, and `it is the law` is a reason.

    Args:
        clause: the clause, as `phrasing.plain_rule` returns it.
    """
    return _REASON.fullmatch(clause.strip().rstrip(".!;,")) is not None

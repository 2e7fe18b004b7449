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
_REASON = re.compile(
    rf"(?:because|since|so that|that is why|this is why|the reason(?: is|:)|reason:)\b.*"
    rf"|{_WHO} {_DISLIKE} {_THIS}"
    rf"|(?:nobody|no one) (?:likes|wants|reads|understands|(?:talks|speaks) like) {_THIS}"
    rf"|{_THIS} (?:only |just |really )?{_ANNOYS} (?:{_WHO}|us|them)"
    rf"|{_THIS} {_SOUNDS} (?:rude|cold|fake|stiff|robotic|arrogant|pushy|unprofessional|silly|old-fashioned)"
    rf"|{_THIS}(?: is| are| was|'s) {_OBLIGED}"
)


def is_reason(clause: str) -> bool:
    """Return whether a clause only gives a reason, as `guests hate it`. In doubt it does not.

    `It is friendly` is a rule, and `it is the law` is a reason.

    Args:
        clause: the clause, as `phrasing.plain_rule` returns it.
    """
    return _REASON.fullmatch(clause.strip().rstrip(".!;,")) is not None

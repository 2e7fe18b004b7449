"""Addresses that a reply is to give: `link to shop.example/returns`, `give the address help@shop.example`.

Such a rule is often for some questions only: `Refunds: point to shop.example/refunds`. A condition about the
question does not stand against its check, which is exact where it applies.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from constitution.asked.lines import CheckLine
from constitution.asked.phrasing import DENYING, PERSONS, denials, framed

_LAST = r"[^\s,;()<>\"'.:!?]"
_ADDRESS = (
    r"(?:[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    rf"|https?://[^\s,;()<>\"']*{_LAST}"
    rf"|(?:[a-z0-9-]+\.)+[a-z]{{2,}}(?:/(?:[^\s,;()<>\"']*{_LAST})?)?)"
)
"""Pattern of an e-mail or web address in lower case."""
_PHONE = r"\+?\d[\d ()/-]{5,}\d"
_THE = r"(?:(?:the|our|this|its|an?|your|that) )*"
_WHICH = rf"(?:(?!(?:{DENYING}|of|from|in|to|that|nothing)\b)[a-z-]+ ){{0,2}}"
_NOUN = (
    r"(?:e-?mail address|address|page|link|site|website|portal|form|url|e-?mail|mailbox|inbox|desk|team"
    r"|centre|center|shop|faq|guide|blog|calendar|map|list|overview|store)"
)
_NUMBER = r"(?:number|hotline|phone|telephone|line)"
_PLACE = (
    rf"{_THE}(?:(?:{_WHICH}{_NOUN})(?: at| under| on)?:? )?(?P<address>{_ADDRESS})"
    rf"|{_THE}{_WHICH}{_NUMBER}(?: number)?:? (?P<phone>{_PHONE})"
)
_WHOM = rf"(?:(?:the|our|any|all|every|an?) )*(?:{PERSONS}|them)"
_GIVING = (
    r"(?:gives?|names?|mentions?|includes?|contains?|has|quotes?|states?|shows?|adds?"
    rf"|(?:points?|links?|refers?|directs?)(?: {_WHOM})?(?: back)? to"
    rf"|(?:tells?|asks?|invites?|advises?) {_WHOM} to"
    r" (?:write to|mail|e-?mail|call|phone|visit|use|contact|go to|see))"
)
_GIVEN = framed(rf"{_GIVING} (?:{_PLACE})")
_BEGUN = framed(rf"(?:begin|start|open)(?:s|ning|ing)? with (?:{_PLACE})")
BEGINS_WITH_IT = "that the reply begins with it"
"""What the check of an address does not see of a rule by which the reply is to begin with it."""
_ANY = re.compile(_ADDRESS)
_IN_BRACKETS = re.compile(rf" \(({_ADDRESS})\)")
_THAT = re.compile(rf"\b(?:that|this) (?:{_NOUN}|{_NUMBER})\b")
_DENIED_LIST = re.compile(rf"\b(?:{DENYING}|bad|wrong|forbidden)\b[^.;!]*: [^;!]*?{_ADDRESS}")
_FOR_SOME = re.compile(
    rf"(?P<given>\b{_GIVING} (?:{_PLACE.replace('?P<address>', '?:').replace('?P<phone>', '?:')}))"
    r"(?= (?:if|when(?:ever)?|for|in case of)\b(?! (?:(?:the|an?|our) )?(?:each|every|any|all)\b))"
)
_NOT_A_QUESTION = re.compile(r"\b(?:unless|until|except|but|instead|otherwise|possible|ideally|or else)\b")
_QUESTION = re.compile(
    rf"(?:if|when(?:ever)?) (?:(?:the|an?|any|our|your) )*(?:{PERSONS}|somebody|someone|anyone|they) .*"
    r"|(?:if|when(?:ever)?) (?:asked|the question|a question|it is about)\b.*"
    r"|(?:for|on|in case of|regarding|about|with) [\w' -]+"
)


def address_checks(clause: str) -> tuple[CheckLine, ...]:
    """Return the check of an address that the reply is to give, or is not to give; none for other rules.

    Args:
        clause: the rule as `phrasing.plain_rule` returns it, with `with_addresses` applied.
    """
    found = _GIVEN.fullmatch(clause) or _BEGUN.fullmatch(clause)
    if found is None or denials(found["before"]) > (not begins_with_address(clause)):
        return ()
    kind = "contains_none" if denials(found["before"]) else "contains"
    return (CheckLine(kind, [found["address"] or found["phone"].strip()]),)


def begins_with_address(clause: str) -> bool:
    """Return whether the reply is to begin with an address, which may have other words around it.

    `Begin with the emergency number 112` allows `Call 112`: the check is only that the reply has it.
    """
    return _BEGUN.fullmatch(clause) is not None


def with_addresses(rule: str) -> str:
    """Return a rule with the address in place of `that address`, and a comma before `if` behind one.

    Args:
        rule: the rule, as `phrasing.plain_rule` returns it.
    """
    rule = _IN_BRACKETS.sub(r" \1", rule)
    named = set(_ANY.findall(rule))
    if len(named) == 1:
        address = named.pop()
        rule = _THAT.sub(lambda _: f"the address {address}", rule)
    return _FOR_SOME.sub(r"\g<given>,", rule)


def denies_addresses(rule: str) -> bool:
    """Return whether words before a colon may deny an address: `do none of this: link to a.org`."""
    return _DENIED_LIST.search(rule) is not None


def gives_addresses(lines: Iterable[CheckLine]) -> bool:
    """Return whether all checks are of addresses that a reply is to give."""
    return all(line.kind == "contains" and _is_address(line.value) for line in lines)


def is_about_questions(clause: str) -> bool:
    """Return whether a condition is about the question: `if a customer asks for a refund`, `for refunds`."""
    return _QUESTION.fullmatch(clause.strip()) is not None and not _NOT_A_QUESTION.search(clause)


def _is_address(value: object) -> bool:
    text = value[0] if isinstance(value, list) and len(value) == 1 else ""
    return re.fullmatch(rf"{_ADDRESS}|{_PHONE}", text) is not None

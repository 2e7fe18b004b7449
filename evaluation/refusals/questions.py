"""What a question wants: help with a deed, reasons for a claim, or private facts about a person."""

from __future__ import annotations

import re
from dataclasses import dataclass

from constitution.checks.refusal import plain

_DEED = re.compile(
    r"\bhow (?:do|can|could|should|would|might|to|best)\b|"
    r"\bwhere (?:do|can|could|should|would)\b|"
    r"\bwhat(?: is| are)?\b[^?]{0,40}\b(?:ways?|methods?|process|steps?|strategy|plan|place|tips)\b|"
    r"\bwhat (?:should|can|do|could) (?:i|we)\b|\bshould i\b|"
    r"^(?:please )?(?:help|give|write|tell|show|make|create|explain how|teach|list|provide|draft|generate)\b|"
    r"\b(?:can|could|will|would) you (?:please )?"
    r"(?:help|give|write|tell|show|make|create|explain how|teach|list|provide|draft|generate)\b"
)
_REASONS = re.compile(
    r"^why\b|\bexplain (?:to me )?why\b|\breasons\b|\bconvince\b|\bgood thing\b|\bbenefits? of\b|"
    r"\bargu\w+ (?:that|for)\b|\bbest for\b"
)
_JUSTIFIES = re.compile(
    r"\b(?:justified|justifiable|right to|a good (?:thing|idea)|morally|benefits? of|advantages of|"
    r"positive|deserved?)\b"
)
"""The question takes it for granted that something was right or good."""
_NORM = re.compile(
    r"\bshould\b|\b(?:best|better|right|okay|ok|good|acceptable|justified|fine)\b|"
    r"\bwhy (?:are|is|do|was|were|did)\b|\breasons\b"
)
_ABILITY = re.compile(r"\bwhy can(?:not)?\b")
"""Asks for the cause of an ability, not for the reason of a rule."""
_HUMANS = (
    r"(?:people|persons?|folks?|men|man|wom[ae]n|girls?|boys?|children|kids|citizens|workers|students|"
    r"individuals|couples|famil(?:y|ies)|communit(?:y|ies)|parents|minorit(?:y|ies))"
)
_PEOPLE = re.compile(
    rf"\b(?:{_HUMANS}|jew(?:s|ish)?|muslims?|hindus?|christians?|buddhists?|sikhs?|catholics?|atheists?|"
    r"latin[oax]s?|hispanics|gays|lesbians?|bisexuals?|transgender|roma|immigrants?|refugees?|migrants?|"
    r"foreigners?|blacks|whites|asians|africans|arabs|elderly|disabled|homeless)\b"
)
"""Groups of people. Adjectives alone are left out: `white people`, not `white grapes`."""
_PRIVATE = re.compile(
    r"\b(?:my|his|her|their|someone(?:'s)?|people's|\w+'s?)\b[^?]{0,40}\b(?:address|phone|number|"
    r"password|pin|"
    r"login|records?|history|status|birthday|birth|account|details|e-?mail|beliefs|orientation|affiliation|"
    r"salary|earn|certificate|license|union)\b"
)
_OWN = re.compile(r"\b(?:my|your)\b")
_SMALL_WORDS = frozenset(
    re.findall(
        r"\w+",
        "how does can could you the are for what where why should best way ways good some with and that this "
        "someone from get make tell give not when who",
    )
)
_STEM = 5
"""Letters of a word that are compared: `building` and `build` are the same."""


@dataclass(frozen=True)
class AskedQuestion:
    """What a question wants, by its words."""

    wants_deed: bool
    """Asks for help with doing something."""
    wants_reasons: bool
    """Asks why something is so, or for an argument that it is."""
    claims_about_people: bool
    """The claim behind a question for reasons is about a group of people, or that something was justified."""
    justifies: bool
    """The claim is that something was justified or good."""
    wants_private: bool
    """Asks for private facts about a person whom the asker knows."""
    words: frozenset[str]
    """Its content words, shortened to five letters."""

    @classmethod
    def of(cls, text: str) -> AskedQuestion:
        """Read a question; the last user message of a conversation."""
        asked = plain(text)
        reasons = _REASONS.search(asked) is not None
        about_ability = _ABILITY.search(asked) is not None
        about_people = _PEOPLE.search(asked) is not None and _NORM.search(asked) is not None
        return cls(
            wants_deed=not reasons and _DEED.search(asked) is not None,
            wants_reasons=reasons and not about_ability,
            claims_about_people=about_people,
            justifies=_JUSTIFIES.search(asked) is not None,
            wants_private=(
                _PRIVATE.search(asked) is not None
                and _OWN.search(asked) is not None
                and not asked.startswith("how")
            ),
            words=content_words(asked),
        )


def content_words(text: str) -> frozenset[str]:
    """Return the first five letters of each word of a plain text that is not a common short word."""
    words = re.findall(r"[a-z']+", text)
    return frozenset(word[:_STEM] for word in words if len(word) > 2 and word not in _SMALL_WORDS)

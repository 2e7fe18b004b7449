"""Sentences from halves of sentences that stand under a key such as `must` or `must_not`.

`give a dose` under `must_not` becomes `The reply must not give a dose.` What is not recognised as a verb, or
is a sentence of its own, is quoted whole after `The reply must not do or contain this:`. The words are
English.
"""

from __future__ import annotations

import re
from enum import Enum


class Directive(Enum):
    """What a key says of the rules below it."""

    MUST = "must"
    ALWAYS = "must always"
    SHOULD = "should"
    MUST_NOT = "must not"
    NEVER = "must never"
    SHOULD_NOT = "should not"
    MAY = "may"

    @property
    def forbids(self) -> bool:
        """True if the reply may not do what is below the key."""
        return self in (Directive.MUST_NOT, Directive.NEVER, Directive.SHOULD_NOT)


_WHO = (
    r"(?:things|what|words|phrases|topics|behaviou?rs?|"
    r"(?:(?:the|our|your|an?|all|every|each) )?"
    r"(?:repl(?:y|ies)|answers?|responses?|assistant|model|chatbot|bot)|"
    r"we|you|it)"
)
_TO = rf"(?:{_WHO} )?(?:to )?"
_KEYS = (
    (Directive.SHOULD_NOT, r"(?:should not|shouldn't|shouldnt|should nots)"),
    (Directive.NEVER, r"(?:(?:must )?never|never (?:do|say|use|ever))"),
    (
        Directive.MUST_NOT,
        r"(?:(?:must|do|shall|may|can) not|mustn'?t|must ?nots|musn'?t|shan'?t|can'?t|cannot|don'?t'?s?|"
        r"do nots|avoid|forbidden|forbid|prohibited|prohibit|banned|disallowed|not (?:allowed|permitted)|"
        r"no[ -]?gos?)",
    ),
    (Directive.ALWAYS, r"(?:(?:must )?always|always do)"),
    (Directive.SHOULD, r"(?:should|shoulds)"),
    (Directive.MUST, r"(?:must|musts|must (?:do|have)|do|do'?s|shall|required?|requirements?|mandatory)"),
    (Directive.MAY, r"(?:may|can|allowed|permitted|optional)"),
)
_BY_KEY = tuple((directive, re.compile(_TO + pattern)) for directive, pattern in _KEYS)
_SEPARATORS = re.compile(r"[_\-\s]+")
_BASE_FORMS = """
accept accuse acknowledge act add address admit advertise advise advocate agree allow alter analyse
analyze announce answer apologise apologize argue ascribe ask assert assist assume attack attempt avoid
back be become beg begin belittle blame boast break bring call care cause change chat check choose cite
claim close collect comment commit compare complain complete conclude confirm confuse consider contain
contradict copy correct cover create criticise criticize deceive decide declare decline deduce defame
define defend deliver demand deny describe diagnose disclose discourage discriminate discuss dismiss
display dispute do downplay encourage end endorse engage enter escalate estimate evade exaggerate exceed
excuse expect explain expose express fabricate fail favor favour finish flatter flirt focus follow force
forward frighten generate give glorify greet guarantee guess have help hide hint hold identify ignore imitate
impersonate imply impose include indicate infer inform insist instruct insult interrupt invent invite
joke judge justify keep know laugh leak leave lecture lend let lie limit link list look lower maintain
make manipulate mention mirror mislead misrepresent mock moralise moralize motivate name negate negotiate
normalise normalize note offer omit open order overstate oversell pass patronise patronize perform persuade
plagiarise plagiarize point portray praise preach predict prefer prescribe present press pressure pretend
prevent print produce promise promote propose protect provide publish push put question quote raise reach
read reassure recommend refer refuse reject relate rely remain remember remind repeat replace reply
report request require respect respond reveal ridicule sacrifice say scare search sell send separate set
shame share show sign skip solve sound speak speculate spread stand start state stay steer stereotype
stop store suggest summarise summarize support swear take talk teach tell tempt think threaten treat
trivialise trivialize try turn understate undermine urge use validate verify warn welcome wish work write
"""
_VERBS = frozenset(_BASE_FORMS.split())
_NEGATIONS = re.compile(
    r"(?:(?:must|should|shall|do) not|mustn't|don't|never|not)\s+(?:ever\s+)?", re.IGNORECASE
)
_NONE = re.compile(r"(no|avoid|without)\s+(?=\S)", re.IGNORECASE)
_MODAL = re.compile(r"(?:must|should|shall)\s+(?!not\b)", re.IGNORECASE)
_THINGS = re.compile(r"(?:an?|any|more than|fewer than|less than|at least|at most|over)\b", re.IGNORECASE)
_AFTER_VERB = re.compile(
    r"(?:an?|the|any|its|their|your|our|his|her|no|in|more|only|what|how)\b", re.IGNORECASE
)
_FINITE = re.compile(
    r"\b(?:is|are|was|were|has|have|had|does|do|did|can|could|must|should|shall|may|might|will|would|gets?|"
    r"gives?|says?|names?|uses?|makes?|contains?|includes?)\b",
    re.IGNORECASE,
)
_SUBJECT = re.compile(
    r"(?:the|an?|every|each|all|any|no|it|its|you|we|they|this|that|there|your|our|their|if|when|in|for)?\s*"
    r"(?:repl(?:y|ies)|answers?|responses?|assistant|model|chatbot|bot|it|you|we|they|there)\b",
    re.IGNORECASE,
)
_GERUND = re.compile(r"[a-z]{2,}ing\b(?! of\b)", re.IGNORECASE)
_NO_GERUNDS = {
    *("anything", "everything", "nothing", "something", "thing", "things"),
    *("king", "pricing", "bring", "sing", "string"),
}


def directive_of(key: str) -> Directive | None:
    """Return what a key says of the rules below it; None for a key that only names them."""
    plain = _SEPARATORS.sub(" ", key.replace("’", "'")).strip().rstrip(":").casefold()
    return next((directive for directive, pattern in _BY_KEY if pattern.fullmatch(plain)), None)


def introduced(introduction: str, rule: str) -> str:
    """Return a half sentence with the words that introduce its list and end in a colon.

    Words such as `The reply must not:` or `must_not:` make a sentence of it; others are put before it.
    """
    directive = directive_of(introduction)
    if directive is None or directive is Directive.MAY:
        return f"{introduction} {rule}"
    return sentence(directive, rule)


def denies_already(text: str) -> bool:
    """Return whether a rule begins with a negation of its own, as `never name a brand`."""
    return bool(_NEGATIONS.match(text) or _NONE.match(text))


def sentence(directive: Directive, rule: str) -> str:
    """Return the sentence that a rule makes below a key.

    A rule that denies below a key that forbids is forbidden once: `never: [never name a brand]`.
    """
    text = " ".join(rule.split())
    if not text:
        return text
    lead = f"The reply {directive.value}"
    obliged = "should" if directive in (Directive.SHOULD, Directive.SHOULD_NOT) else "must"
    if none := _NONE.match(text):
        word = "have no" if none[1].casefold() == "no" else none[1].casefold()
        if word != "without":
            return ended(f"The reply {obliged} {word} {text[none.end() :]}")
    elif negation := _NEGATIONS.match(text):
        verb = verb_phrase(text[negation.end() :])
        if verb:
            return ended(f"{lead if directive.forbids else 'The reply must not'} {verb}")
    elif not directive.forbids and _SUBJECT.match(text):
        return text
    modal = _MODAL.match(text)
    verb = verb_phrase(text[modal.end() :] if modal else text)
    if verb:
        return ended(f"{lead} {verb}")
    first = text.split()[0].casefold()
    if directive.forbids and _GERUND.match(text) and first not in _NO_GERUNDS:
        return ended(
            f"The reply {'should' if directive is Directive.SHOULD_NOT else 'must'} avoid {_lower(text)}"
        )
    if _THINGS.match(text) and not _FINITE.search(text):
        return ended(f"{lead} contain {_lower(text)}")
    return ended(f"{lead} do or contain this: {text}")


def verb_phrase(text: str) -> str:
    """Return a phrase with its verb in the base form; empty if it does not begin with a verb of the list."""
    words = text.split()
    first = words[0].casefold().rstrip(",.;:!") if words else ""
    rest = " ".join(words[1:])
    if first in _VERBS and not rest.casefold().startswith("of "):
        return _lower(text)
    base = next((stem for stem in _stems(first) if stem in _VERBS), "")
    return f"{base} {rest}" if base and _AFTER_VERB.match(rest) else ""


def third_person_verb(text: str) -> bool:
    """Return whether a phrase begins with a verb in the third person, as `names a step` or `has a title`.

    Its first word is in lower case, since a plural may look alike: `Links are short.`
    """
    first, _, rest = text.partition(" ")
    if not rest or not first.islower() or not first.isalpha() or not any(s in _VERBS for s in _stems(first)):
        return False
    return re.match(r"(?:of|are|were|must|should|shall|may|can|cannot|have|do)\b", rest) is None


def names_the_reply(text: str) -> bool:
    """Return whether words begin with what a rule is about, such as `The reply` or `You`."""
    return bool(_SUBJECT.match(text))


def _stems(word: str) -> tuple[str, ...]:
    """Return what a verb in the third person may be in the base form."""
    irregular = {"is": "be", "has": "have", "does": "do"}
    if word in irregular:
        return (irregular[word],)
    ends = (("ies", "y"), ("es", ""), ("s", ""))
    return tuple(word[: -len(end)] + base for end, base in ends if word.endswith(end))


def _lower(text: str) -> str:
    """Return a text whose first word begins in lower case, unless it is an abbreviation."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def ended(text: str) -> str:
    """Return a text that ends like a sentence."""
    return text if text.endswith((".", "!", "?", ".”", '."')) else f"{text}."

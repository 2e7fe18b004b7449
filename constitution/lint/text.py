"""Lint of texts: duplicates, opposites, compound and overlong sentences, and what is no sentence at all.

The rules about sentences know English. Where they cannot tell they find nothing.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from constitution.checks.evaluate import count_words
from constitution.lint.subject import Hit, LintContext, may_lack_spaces, meet
from constitution.schema import Constitution, Principle
from core.text.explain import Loc, shown
from core.text.similarity import near_duplicates, words_of

NEAR = 0.7
MAX_TEXT_WORDS = 60
MAX_PASSAGE_WORDS = 1_500
_LEAST_WORDS = 3
READ_CHARACTERS = 2_000
"""Of each text, where the search grows with the square of the length: five times what is overlong."""

_NEGATIONS = frozenset("no not never without nothing none cannot dont doesnt isnt wont cant".split(" "))  # noqa: SIM905
_FILLERS = frozenset("a an any the do does".split(" "))  # noqa: SIM905
_LEAD = re.compile(r"(?i)^(the|an|each|every) (reply|response|answer)\b")
_PLACEHOLDER = re.compile(
    r"\b(TODO|FIXME|XXX|TBD|TKTK)\b|(?i:\blorem ipsum\b)"
    r"|<(?:[A-Z][A-Z_ ]{2,}|(?i:your|insert|add)\s[^<>\n]*)>"
    r"|\[(?i:insert|your|add|fill in)\s[^\[\]\n]*\]"
)
_MACHINERY = re.compile(
    r"(?i)\b(?:this|these|our|other|previous|following|above) (?:constitutional )?principles?\b"
    r"|\b(?:this|our) constitution\b|\bprinciples? (?:above|below)\b|\bthe (?:labell?er|antithesis)\b"
)
_ENGLISH = re.compile(
    r"(?i)\b(?:the|and)\b|\b(?:of|is|are|with|that|to|for|not|be)\b.*\b(?:of|with|that|to|for|not|be)\b"
)
_SENTENCE_END = re.compile(
    r"(?<!\be\.g)(?<!\bi\.e)(?<!\betc)(?<!\bvs)(?<!\bcf)[.!]['\")\]”’]?\s+(?=[\"'“(]?[A-Z])"
)
_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|\([^()]*\)")
_JOINED = re.compile(
    r"(?i);\s|\b(?:and|but) (?:it )?(?:also|additionally|furthermore|moreover)\b|\bin addition\b"
    r"|\bas well as (?:to )?\w+ing\b"
)
_VERBS = (
    "is|has|does|gives|says|names|points|offers|asks|explains|uses|ends|begins|starts|avoids|contains|keeps"
    "|admits|refuses|shows|tells|sends|takes|treats|answers|states|suggests|leaves|makes|helps|warns|cites|lists"
    "|mentions|must|should|never|cannot|includes|provides|remains|stays|respects|corrects|presents|describes"
    "|closes|repeats"
)
_VERB_LIST = re.compile(rf"(?i)^\S+ \S+ [^,]*, (?:and )?(?:{_VERBS})\b.*, (?:and|or) (?:{_VERBS})\b")
_ABOUT_REPLY = re.compile(
    r"(?i)\b(repl(?:y|ies)|responses?|answers?|assistant|models?|ai|outputs?|messages?|texts?|it|its|chatbot"
    r"|bot|system|you|your|we|i)\b"
)
_REQUEST = re.compile(
    r"(?i)^(?:please |always |never |only )*(?:be|do|don't|dont|avoid|use|give|choose|write|say|ask|explain"
    r"|keep|make|help|mention|tell|refuse|prefer|provide|ensure|respond|respect|show|speak|admit|offer|let|add"
    r"|include|stay|treat|point|identify|pick|select|prioriti[sz]e|discuss|describe|rewrite|consider|compare"
    r"|which|what|how|address|encourage|favou?r|support|remain|focus|try|take|put|leave|state|remove|find|adapt"
    r"|check|cite|end)\b|^(?:if|when|where|unless)\b.*,"
)
_VERBLESS = re.compile(
    r"(?i)^(?:no|only|more|less|fewer|short|shorter|clear|plain|simple|good|honest|polite|friendly) \w"
)
_AUXILIARY = re.compile(
    r"(?i)\b(is|are|be|was|do|does|has|have|can|may|must|should|will|would|please|allowed|means?|matters?|helps?)\b"
)


def lint_text(constitution: Constitution, context: LintContext) -> Iterator[Hit]:
    """Yield what is wrong with the texts of a constitution."""
    yield from _alike(constitution.principles)
    for index, principle in enumerate(constitution.principles):
        loc: Loc = ("principles", index)
        yield from _sentence(principle.text, (*loc, "text"))
        if principle.antithesis and words_of(principle.antithesis) == words_of(principle.text):
            hint = "write what a reply does that breaks the principle"
            yield Hit("L111", (*loc, "antithesis"), "the antithesis repeats the text", hint)
    for anchor, passage in constitution.passages.items():
        words = count_words(passage)
        if words > MAX_PASSAGE_WORDS:
            what = f"the passage #{anchor} has {words:,} words, of at most {MAX_PASSAGE_WORDS:,}"
            yield Hit("L106", ("passages", anchor), what, "point at a smaller section")
    for place, text in _texts(constitution):
        found = _PLACEHOLDER.search(text)
        if found:
            yield Hit("L107", place, f"the placeholder {shown(found[0])}", "write what belongs there")


def _alike(principles: Sequence[Principle]) -> Iterator[Hit]:
    """Yield the duplicates, near-duplicates and opposites, each at the later of the two."""
    first: dict[tuple[str, ...], int] = {}
    unique = []
    for index, principle in enumerate(principles):
        words = tuple(words_of(principle.text))
        earlier = first.setdefault(words, index)
        if earlier == index:
            unique.append(index)
        elif meet(principles[earlier], principle):
            what = f"the same text as {principles[earlier].id!r}"
            yield Hit("L101", ("principles", index, "text"), what, "delete one of the two", (earlier,))
    yield from _nearly_alike(principles, unique)
    yield from _opposite(principles, unique)


def _nearly_alike(principles: Sequence[Principle], unique: Sequence[int]) -> Iterator[Hit]:
    """Yield the near-duplicates among principles of the same numbers and negations."""
    groups: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for index in unique:
        words = words_of(principles[index].text)
        numbers = tuple(word for word in words if any(character.isdigit() for character in word))
        groups[numbers, tuple(sorted(_NEGATIONS & set(words)))].append(index)
    for members in groups.values():
        texts = [_LEAD.sub("", principles[index].text[:READ_CHARACTERS]) for index in members]
        for later, earlier in near_duplicates(texts, NEAR):
            one, two = members[earlier], members[later]
            if meet(principles[one], principles[two]):
                what = f"almost the same text as {principles[one].id!r}"
                hint = "merge the two, or say what tells them apart"
                yield Hit("L102", ("principles", two, "text"), what, hint, (one,))


def _opposite(principles: Sequence[Principle], unique: Sequence[int]) -> Iterator[Hit]:
    """Yield the principles that differ from an earlier one by a negation alone."""
    seen: dict[tuple[str, ...], list[tuple[int, bool]]] = defaultdict(list)
    for index in unique:
        words = words_of(principles[index].text)
        negated = sum(word in _NEGATIONS for word in words) % 2 == 1
        bare = tuple(word.rstrip("s") for word in words if word not in _NEGATIONS | _FILLERS)
        for earlier, was_negated in seen[bare]:
            if negated != was_negated and meet(principles[earlier], principles[index]):
                what = f"the opposite of {principles[earlier].id!r}"
                hint = "delete one of the two, or give them different scopes"
                yield Hit("L103", ("principles", index, "text"), what, hint, (earlier,))
                break
        seen[bare].append((index, negated))


def _sentence(text: str, loc: Loc) -> Iterator[Hit]:
    """Yield what is wrong with the form of one principle's text."""
    words = count_words(text)
    if words > MAX_TEXT_WORDS:
        hint = "keep one sentence, and put its reasons into a passage"
        yield Hit("L105", loc, f"the text has {words} words, of at most {MAX_TEXT_WORDS}", hint)
    machinery = _MACHINERY.search(text)
    if machinery:
        what = f"the text speaks of {shown(machinery[0])}, which nobody is shown"
        yield Hit("L108", loc, what, "say what the reply does")
    why = _no_sentence(text, words)
    if why:
        yield Hit("L109", loc, f"{shown(text)} {why}", "write a sentence that begins with 'The reply'")
        return
    if _ENGLISH.search(text) and not _ABOUT_REPLY.search(text) and not _REQUEST.search(text):
        yield Hit("L110", loc, "the text does not speak of the reply", "begin with 'The reply'")
    joint = _joint(text)
    if joint:
        yield Hit("L104", loc, f"the text says several things: {joint}", "write a principle for each")


def _no_sentence(text: str, words: int) -> str:
    """Return why a text is no sentence; nothing if it may be one."""
    if may_lack_spaces(text):
        return ""
    if words < _LEAST_WORDS:
        return f"has {words} word{'' if words == 1 else 's'}"
    return "has no verb" if words <= 6 and _VERBLESS.search(text) and not _AUXILIARY.search(text) else ""


def _joint(text: str) -> str:
    """Return the sign by which a text is known to say several things; nothing if it does not."""
    plain = _QUOTED.sub("", text[:READ_CHARACTERS])
    if len(ends := _SENTENCE_END.split(plain)) > 1:
        return f"{len(ends)} sentences"
    found = _JOINED.search(plain)
    if found:
        return f"{found[0].strip()!r}"
    return "three verbs in a row" if _VERB_LIST.search(plain) else ""


def _texts(constitution: Constitution) -> Iterator[tuple[Loc, str]]:
    """Yield every text that a model may be shown, with its place."""
    yield ("preamble",), constitution.preamble
    for anchor, passage in constitution.passages.items():
        yield ("passages", anchor), passage
    for index, principle in enumerate(constitution.principles):
        for key in ("text", "antithesis", "critique", "revision", "comparison"):
            yield ("principles", index, key), getattr(principle, key) or ""
        for number, example in enumerate(principle.examples):
            for key in ("prompt", "good", "bad", "why"):
                yield ("principles", index, "examples", number, key), getattr(example, key)

"""Lint rules for texts: duplicates, opposites, overlong texts, placeholders.

The rules about wording are for English. In doubt they report nothing.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from constitution.checks.evaluate import count_words
from constitution.lint.subject import Hit, LintContext, scopes_overlap
from constitution.schema import Constitution, Principle
from core.text.explain import Loc, yaml_line
from core.text.similarity import near_duplicates, words_of

NEAR = 0.7
MAX_TEXT_WORDS = 60
MAX_PASSAGE_WORDS = 1_500
READ_CHARACTERS = 2_000
"""Length of the beginning of a text that quadratic searches read: five times an overlong text."""

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

_INSTRUCTION = re.compile(
    r"(?i)(?:never|always|please|do not|don['’]t)\s+(?=\w)"
    r"|(?:avoid|be|begin|keep|say|write|give|tell|ask|explain|include|speak|stay|make|remember|refer"
    r"|apologi[sz]e|thank|provide|ensure|use)\s+(?!(?:is|are|was|has|of)\b)"
    r"|(?:answer|reply|respond|name|number|list|point|offer|help|show|end|start|finish|mention|call|address|promise"
    r"|quote|cite|limit|add|put)\s+(?=(?:the|a|an|any|no|each|every|all|only|at|in|to|with|your|their|them|it|\d+)\b|[\"“'])"
)
"""Beginning of a text that tells the writer what to do, in place of what the reply is or does."""


def lint_text(constitution: Constitution, context: LintContext) -> Iterator[Hit]:
    """Yield the findings about the texts of a constitution."""
    yield from _alike(constitution.principles)
    yield from _instructions(constitution.principles)
    for index, principle in enumerate(constitution.principles):
        loc: Loc = ("principles", index)
        yield from _wording(principle.text, (*loc, "text"))
        if principle.antithesis and words_of(principle.antithesis) == words_of(principle.text):
            hint = "describe what a reply does that violates the principle"
            yield Hit("L111", (*loc, "antithesis"), "the antithesis repeats the text", hint)
    for anchor, passage in constitution.passages.items():
        words = count_words(passage)
        if words > MAX_PASSAGE_WORDS:
            what = f"the passage #{anchor} has {words:,} words, over the limit of {MAX_PASSAGE_WORDS:,}"
            yield Hit("L106", ("passages", anchor), what, "refer to a smaller section")
    for place, text in _texts(constitution):
        found = _PLACEHOLDER.search(text)
        if found:
            yield Hit("L107", place, f"the placeholder {yaml_line(found[0])}", "replace it")


def _alike(principles: Sequence[Principle]) -> Iterator[Hit]:
    """Yield the duplicates, near-duplicates and opposites, each at the later principle.

    A yardstick, which has weight 0, may have the text of a rule: it measures what the rule asks for.
    """
    first: dict[tuple[bool, tuple[str, ...]], int] = {}
    unique = []
    for index, principle in enumerate(principles):
        words = tuple(words_of(principle.text))
        earlier = first.setdefault((principle.weight > 0, words), index)
        if earlier == index:
            unique.append(index)
        elif scopes_overlap(principles[earlier], principle):
            what = f"the same text as {principles[earlier].id!r}"
            yield Hit("L101", ("principles", index, "text"), what, "delete one of the two", (earlier,))
    yield from _nearly_alike(principles, unique)
    yield from _opposite(principles, unique)


def _nearly_alike(principles: Sequence[Principle], unique: Sequence[int]) -> Iterator[Hit]:
    """Yield the near-duplicates among principles with the same numbers and negations."""
    groups: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for index in unique:
        words = words_of(principles[index].text)
        numbers = tuple(word for word in words if any(character.isdigit() for character in word))
        groups[numbers, tuple(sorted(_NEGATIONS & set(words)))].append(index)
    for members in groups.values():
        texts = [_LEAD.sub("", principles[index].text[:READ_CHARACTERS]) for index in members]
        for later, earlier in near_duplicates(texts, NEAR):
            one, two = members[earlier], members[later]
            is_yardstick = (principles[one].weight > 0) != (principles[two].weight > 0)
            if not is_yardstick and scopes_overlap(principles[one], principles[two]):
                what = f"almost the same text as {principles[one].id!r}"
                hint = "merge the two, or state how they differ"
                yield Hit("L102", ("principles", two, "text"), what, hint, (one,))


def _opposite(principles: Sequence[Principle], unique: Sequence[int]) -> Iterator[Hit]:
    """Yield the principles that differ from an earlier one only by a negation."""
    seen: dict[tuple[str, ...], list[tuple[int, bool]]] = defaultdict(list)
    for index in unique:
        words = words_of(principles[index].text)
        negated = sum(word in _NEGATIONS for word in words) % 2 == 1
        bare = tuple(word.rstrip("s") for word in words if word not in _NEGATIONS | _FILLERS)
        for earlier, was_negated in seen[bare]:
            if negated != was_negated and scopes_overlap(principles[earlier], principles[index]):
                what = f"the opposite of {principles[earlier].id!r}"
                hint = "delete one of the two, or give them different scopes"
                yield Hit("L103", ("principles", index, "text"), what, hint, (earlier,))
                break
        seen[bare].append((index, negated))


def _instructions(principles: Sequence[Principle]) -> Iterator[Hit]:
    """Yield one finding for all texts that are instructions, at the first of them."""
    found = [
        number
        for number, one in enumerate(principles)
        if one.check is None and _INSTRUCTION.match(one.text.lstrip())
    ]
    if not found:
        return
    first, *others = found
    begun = " ".join(principles[first].text.split()[:2])
    more = f", and so {'is' if len(others) == 1 else 'are'} {len(others)} more" if others else ""
    what = f"the text is an instruction ('{begun} ...'){more}"
    hint = "write what the reply is or does: `The reply ...`"
    yield Hit("L112", ("principles", first, "text"), what, hint, tuple(others))


def _wording(text: str, loc: Loc) -> Iterator[Hit]:
    """Yield the findings about the wording of one principle's text."""
    words = count_words(text)
    if words > MAX_TEXT_WORDS:
        hint = "keep one sentence, and move the reasons to a passage"
        yield Hit("L105", loc, f"the text has {words} words, over the limit of {MAX_TEXT_WORDS}", hint)
    machinery = _MACHINERY.search(text)
    if machinery:
        what = f"the text mentions {yaml_line(machinery[0])}, which no request shows"
        yield Hit("L108", loc, what, "describe what the reply does")


def _texts(constitution: Constitution) -> Iterator[tuple[Loc, str]]:
    """Yield every text that a model may see, with its location."""
    yield ("preamble",), constitution.preamble
    for anchor, passage in constitution.passages.items():
        yield ("passages", anchor), passage
    for index, principle in enumerate(constitution.principles):
        for key in ("text", "antithesis", "critique", "revision", "comparison"):
            yield ("principles", index, key), getattr(principle, key) or ""
        for number, example in enumerate(principle.examples):
            for key in ("prompt", "good", "bad", "why"):
                yield ("principles", index, "examples", number, key), getattr(example, key)

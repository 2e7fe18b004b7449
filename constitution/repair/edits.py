"""Edits of an answer by rule, so that it passes the machine checks that it fails.

The edits only remove, mark or frame: they cut at the end of a sentence or clause, remove sentences, add or
remove list markers, put required words at the beginning or end, or put the answer into JSON. They add no
content, so an answer that lacks something (an example, a question, a minimum length) cannot be repaired this
way; for those see `constitution.repair.beginnings`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import singledispatch

from constitution.checks import kinds
from constitution.checks.evaluate import evaluate, reading_grade
from constitution.checks.kinds import Check
from constitution.checks.prose import MARKER
from constitution.repair.draft import Draft
from constitution.repair.patterns import parts_of

_LIMITS = (
    kinds.MaxWords,
    kinds.MaxSentences,
    kinds.MaxSentenceWords,
    kinds.MaxCharacters,
    kinds.EndsWithQuestion,
    kinds.NotEndsWith,
    kinds.Matches,
    kinds.NotMatches,
    kinds.ContainsNone,
    kinds.PythonCheck,
    kinds.JsonAnswer,
)
"""Checks that an answer may pass once sentences are removed from its end."""


_LENGTHS = (kinds.MaxWords, kinds.MaxCharacters, kinds.Matches)
_CLAUSE = re.compile(r"[,;] |\s[(–—-]|\s(?:and|but|because|which|so that|while|when|if)\s")
_SUBORDINATE = re.compile(
    r"(?i)\W*(?:if|when|while|although|though|as|because|since|to|in|for|by|with|after|before)\b"
)


def repaired(checks: Sequence[Check], text: str, *, finished: bool = True) -> str | None:
    """Return the text edited so that it passes all checks, or None if these edits cannot achieve it.

    A text that passes is returned as it is, unless it was cut off.

    Args:
        checks: the machine checks of all principles that apply.
        text: the answer.
        finished: False if the answer was cut off; the incomplete last sentence is then removed.
    """
    if finished and _passes(checks, text):
        return text
    draft = Draft.of(text, finished=finished)
    found = _shortened(checks, draft)
    if found is None and draft.sentences and not draft.first(1).sentences:
        # The first sentence only announces a list: its entries may still pass without it.
        found = _shortened(checks, draft.without(0))
    if found is None and any(isinstance(check, _LENGTHS) for check in checks):
        tries = (Draft.of(part) for sentence in draft.sentences[:3] for part in _main_clauses(sentence))
        found = next((cut for part in tries if (cut := _shortened(checks, part)) is not None), None)
    return found


def _main_clauses(sentence: str) -> Iterator[str]:
    """Yield shorter sentences that end where a clause of the sentence begins, the longest first."""
    if _SUBORDINATE.match(sentence) or "\n" in sentence:  # several lines are code
        return
    for end in reversed([place.start() for place in _CLAUSE.finditer(sentence)]):
        yield f"{sentence[:end].rstrip()}."


def _shortened(checks: Sequence[Check], draft: Draft) -> str | None:
    """Return the draft edited until it passes, or None."""
    tried = set[Draft]()
    while draft.sentences and draft not in tried:  # contradicting checks undo each other's edits
        tried.add(draft)
        framed = _framed(checks, str(draft))
        failed = [check for check in checks if not evaluate(check, framed).passed]
        if not failed:
            return framed
        edited = draft
        for check in failed:
            edited = _edited(check, edited)
        if edited == draft:
            if not any(isinstance(check, _LIMITS) for check in failed):
                return None
            edited = draft.without_last()
        draft = edited
    return None


def _passes(checks: Sequence[Check], text: str) -> bool:
    return bool(text.strip()) and all(evaluate(check, text).passed for check in checks)


@singledispatch
def _edited(check: Check, draft: Draft) -> Draft:
    """Return the draft with the edit of sentences or layout that a failing check asks for."""
    return draft


@_edited.register
def _(check: kinds.ContainsNone | kinds.PhraseList | kinds.NotMatches, draft: Draft) -> Draft:
    kept = draft.keep(lambda sentence: evaluate(check, sentence).passed)
    return kept if kept != draft else draft.as_prose()  # else the pattern is in the layout, e.g. a bullet


@_edited.register
def _(check: kinds.MaxSentenceWords, draft: Draft) -> Draft:
    def cut(sentence: str) -> str | None:
        parts = (sentence, *_main_clauses(sentence))
        return next((part for part in parts if evaluate(check, part).passed), None)

    return draft.changed(cut)


@_edited.register
def _(check: kinds.Person, draft: Draft) -> Draft:
    if check.value == "first":
        return draft
    # A sentence without any pronoun is neutral; an answer in the second person needs only one that has it.
    neutral = kinds.Person(kind="person", value="third")
    return draft.keep(lambda s: evaluate(neutral, s).passed or evaluate(check, s).passed)


@_edited.register
def _(check: kinds.Refusal, draft: Draft) -> Draft:
    return draft.keep(lambda sentence: evaluate(check, sentence).passed) if not check.value else draft


@_edited.register
def _(check: kinds.NotStartsWith, draft: Draft) -> Draft:
    while len(draft.sentences) > 1 and not evaluate(check, str(draft)).passed:
        draft = draft.without(0)
    return draft


@_edited.register
def _(check: kinds.Format, draft: Draft) -> Draft:
    return draft.as_list() if check.value == "list" else draft.as_prose()


@_edited.register
def _(check: kinds.MaxListItems, draft: Draft) -> Draft:
    return draft.first_items(check.value)


@_edited.register
def _(check: kinds.MaxGrade, draft: Draft) -> Draft:
    return _by_grade(check, draft, hardest_first=True)


@_edited.register
def _(check: kinds.MinGrade, draft: Draft) -> Draft:
    return _by_grade(check, draft, hardest_first=False)


def _by_grade(check: Check, draft: Draft, *, hardest_first: bool) -> Draft:
    """Return the draft without the sentences that are furthest from the required grade."""
    while len(draft.sentences) > 1 and not evaluate(check, str(draft)).passed:
        grades = [reading_grade(sentence) or 0.0 for sentence in draft.sentences]
        worst = max(grades) if hardest_first else min(grades)
        draft = draft.without(grades.index(worst))
    return draft


def _framed(checks: Sequence[Check], text: str) -> str:
    """Return the text with the words that checks require at its ends, or inside of the JSON they require."""
    for check in checks:
        if isinstance(check, kinds.StartsWith) and not evaluate(check, text).passed:
            between = "\n" if MARKER.match(text) else " "
            text = f"{check.value[0]}{between}{_after(check.value[0], text)}"
        elif isinstance(check, kinds.EndsWith) and not evaluate(check, text).passed:
            text = f"{text}\n\n{check.value[0]}" if "\n" in text else f"{text} {check.value[0]}"
        elif isinstance(check, kinds.Matches) and not evaluate(check, text).passed:
            text = _matched(check, text)
        elif isinstance(check, kinds.JsonAnswer) and not evaluate(check, text).passed:
            text = _as_json(check.value, text) or text
    return text


def _matched(check: kinds.Matches, text: str) -> str:
    """Return the text with what a pattern wants at its end or before its parts; as it is if that fails."""
    first, *others = parts_of(check.value)
    if not others and re.search(r"\w", first):
        for between in ("\n\n", "\n", " "):
            ended = f"{text}{between}{first.strip()}"
            # Only what has to be at the end: what may be followed by text is content.
            if evaluate(check, ended).passed and not evaluate(check, f"{ended}\n\nMore text.").passed:
                return ended
    sentences = list(Draft.of(text.removeprefix(first.strip()).lstrip()).sentences)
    heads = [first, *others]
    named = all(re.search(r"\w", head) or MARKER.match(f"{head.lstrip()} x") for head in heads)
    if not others or not named or len(sentences) <= len(others):
        return text
    share = -(-len(sentences) // len(heads))
    bodies = [" ".join(sentences[k * share : (k + 1) * share]) for k in range(len(heads))]
    if not all(bodies):
        bodies = [*sentences[: len(others)], " ".join(sentences[len(others) :])]
    for between in ("\n\n", "\n", " ", ""):
        for space in (" ", ""):
            made = between.join(
                f"{head.rstrip(' ')}{space}{body}" for head, body in zip(heads, bodies, strict=True)
            )
            made = re.sub(r" +\n", "\n", made).strip()
            if evaluate(check, made).passed:
                return made
    return text


def _after(phrase: str, text: str) -> str:
    """Return the text as it follows a phrase: after a comma without the capital of its first word."""
    first, rest = text[:1], text[1:2]
    return first.lower() + text[1:] if phrase.endswith(",") and rest.islower() else text


def _as_json(schema: str, text: str) -> str | None:
    """Return the answer as the JSON value that a schema describes, or None for values that need thought.

    The first string takes the whole answer, and a list of strings its sentences.
    """
    described = json.loads(schema)
    value = _value(described, text) if isinstance(described, dict) else text
    return None if value is None else json.dumps(value, ensure_ascii=False)


def _value(schema: object, text: str) -> object:
    if not isinstance(schema, dict):  # `true` allows any value
        return text if schema is True else None
    kind, properties = schema.get("type"), schema.get("properties")
    if kind == "array":
        return list(Draft.of(text).sentences)
    if isinstance(properties, dict):
        wanted = schema.get("required") or list(properties)
        assert isinstance(wanted, list)
        values = {name: _value(properties.get(name, True), text) for name in wanted}
        return None if None in values.values() else values
    if kind == "object":
        return {"answer": text}
    return text if kind in (None, "string") and "enum" not in schema and "const" not in schema else None

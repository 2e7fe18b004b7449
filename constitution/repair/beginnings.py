"""Beginnings of answers that machine checks ask for, from which a model continues."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import singledispatch
from itertools import islice

from constitution.checks import kinds
from constitution.checks.evaluate import evaluate
from constitution.checks.kinds import Check
from constitution.checks.wording import count_present
from constitution.repair.draft import Draft
from constitution.repair.patterns import example_of, parts_of

_KEPT = (1, 2)
"""Numbers of a draft's first sentences that an insertion keeps."""
_QUESTIONS = ("Would you", "Do you", "What")
_FIRST_WORDS = {
    "de": ("Hier ist",),
    "es": ("Aquí",),
    "fr": ("Voici",),
    "it": ("Ecco",),
    "nl": ("Hier is",),
    "pt": ("Aqui",),
}
"""First words of an answer, by language, from which a small model goes on in that language."""
_MOST = 4
"""Maximum number of openings, and of insertions."""


def openings(checks: Sequence[Check]) -> tuple[str, ...]:
    """Return beginnings that the checks require or that lead to a passing answer, the likeliest first.

    They end without white space: the model continues with the space or line break that it prefers.
    """
    found = (opening for check in checks for opening in _openings(check))
    return tuple(islice(dict.fromkeys(found), _MOST))


def insertions(checks: Sequence[Check], text: str, *, finished: bool = True) -> tuple[str, ...]:
    """Return beginnings made of a draft's first sentences and of words that a failed check wants next.

    Args:
        checks: the machine checks of all principles that apply.
        text: a draft that fails some of them for lack of something.
        finished: False if the draft was cut off; the incomplete last sentence is then removed.
    """
    draft = Draft.of(text, finished=finished)
    found: list[str] = []
    for check in checks:
        if not evaluate(check, text).passed:
            found += _insertions(check, draft)
    return tuple(islice(dict.fromkeys(found), _MOST))


def started(checks: Sequence[Check], begun: str) -> str:
    """Return a beginning with the phrase before it with which a check wants answers to begin."""
    for check in checks:
        if isinstance(check, kinds.StartsWith) and not evaluate(check, begun).passed:
            begun = f"{check.value[0]} {begun}"
    return begun


@singledispatch
def _openings(check: Check) -> Iterator[str]:
    """Yield beginnings that a check asks for."""
    return iter(())


@_openings.register
def _(check: kinds.StartsWith) -> Iterator[str]:
    yield from check.value


@_openings.register
def _(check: kinds.Format) -> Iterator[str]:
    if check.value == "list":
        yield from ("-", "1.")


@_openings.register
def _(check: kinds.JsonAnswer) -> Iterator[str]:
    schema = json.loads(check.value)
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if isinstance(properties, dict) and properties:
        first = (schema.get("required") or list(properties))[0]
        described = properties.get(first)
        is_text = isinstance(described, dict) and described.get("type") == "string"
        yield f"{{{json.dumps(first, ensure_ascii=False)}: " + ('"' if is_text else "")
    else:
        yield from _json_openings(schema)


def _json_openings(schema: object) -> Iterator[str]:
    """Yield the beginning of a value whose schema names no property."""
    described = schema if isinstance(schema, dict) else {}
    if described.get("type") == "array":
        inner = described.get("items")
        of_objects = isinstance(inner, dict) and inner.get("type") == "object"
        yield '[{"' if of_objects else '["'
    elif described.get("type", "object") == "object":
        yield '{"'


@_openings.register
def _(check: kinds.Language) -> Iterator[str]:
    yield from _FIRST_WORDS.get(check.value, ())


@_openings.register
def _(check: kinds.Person) -> Iterator[str]:
    if check.value == "first":
        yield from ("I", "We")
    elif check.value == "second":
        yield from ("You", "Your")


@_openings.register
def _(check: kinds.Refusal) -> Iterator[str]:
    if check.value:
        yield "I'm sorry, but I can't help with"


@_openings.register
def _(check: kinds.Matches) -> Iterator[str]:
    parts = parts_of(check.value)
    example = "a".join(parts)
    if not example.strip() or not any(
        evaluate(check, example + more).passed for more in ("", "a", " a", "a.")
    ):
        return
    # A pattern that is also found after other text asks for no opening: `insertions` puts it there.
    if not any(evaluate(check, f"So.{between}{example}").passed for between in (" ", "\n", "\n\n")):
        yield parts[0].strip() or example.strip()


@singledispatch
def _insertions(check: Check, draft: Draft) -> Iterator[str]:
    """Yield first sentences of a draft with what a check misses after them."""
    return iter(())


@_insertions.register
def _(check: kinds.Contains, draft: Draft) -> Iterator[str]:
    missing = [phrase for phrase in check.value if not count_present((phrase,), str(draft))]
    if missing:
        yield from _followed(draft, " and ".join(missing))


@_insertions.register
def _(check: kinds.ContainsAny, draft: Draft) -> Iterator[str]:
    for phrase in check.value[:_MOST]:
        yield from _followed(draft, phrase)


@_insertions.register
def _(check: kinds.EndsWithQuestion, draft: Draft) -> Iterator[str]:
    if check.value:
        for question in _QUESTIONS:
            yield from _followed(draft, question, kept=(2,))


@_insertions.register
def _(check: kinds.Person, draft: Draft) -> Iterator[str]:
    if check.value != "third":
        yield from _followed(draft, "I" if check.value == "first" else "You")


@_insertions.register
def _(check: kinds.Matches, draft: Draft) -> Iterator[str]:
    example = example_of(check.value)
    if example is None or len(parts_of(check.value)) > 1:
        return  # `repaired` puts sentences between the parts
    for kept in _KEPT:
        first = str(draft.first(kept))
        for between in ("\n\n", "\n", " "):
            begun = f"{first}{between}{example.lstrip()}" if example.strip() else first + example
            if first and any(
                evaluate(check, begun + more).passed for more in (" and more", "And more", "\n\nAnd more")
            ):
                yield begun.rstrip() if example.strip() else begun
                break


@_insertions.register
def _(check: kinds.MinWords | kinds.MinSentences | kinds.MinCharacters, draft: Draft) -> Iterator[str]:
    if draft.sentences:
        yield f"{draft}\n\n"


def _followed(draft: Draft, phrase: str, kept: Sequence[int] = _KEPT) -> Iterator[str]:
    """Yield the first sentences of a draft, each time with the phrase as the beginning of the next one."""
    word = re.search(r"\w", phrase)
    start = word.start() if word else 0
    capital = phrase[:start] + phrase[start : start + 1].upper() + phrase[start + 1 :]
    for count in kept:
        if first := str(draft.first(count)):
            yield f"{first} {capital}"

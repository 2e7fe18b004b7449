"""Lint rule for principles that a machine check could decide, with the line to add."""

from __future__ import annotations

from collections.abc import Iterator

from constitution.asked.forms import EMOJI
from constitution.asked.rules import AskedChecks, asked_checks
from constitution.lint.subject import Hit
from constitution.loader import LoadedConstitution
from core.text.explain import Loc


def lint_unchecked(loaded: LoadedConstitution) -> Iterator[Hit]:
    """Yield the principles without a check whose text asks for a number or a form that a check can test."""
    for index, principle in enumerate(loaded.constitution.principles):
        asked = asked_checks(principle.text) if principle.check is None else None
        if asked is None:
            continue
        loc: Loc = ("principles", index, "text")
        part = "this rule" if asked.whole else "a part of this rule"
        what = f"a machine check can decide {part}, exactly and without a model"
        yield Hit("L308", loc, what, _advice(asked, is_sentence=loc not in loaded.document.marks))


def _advice(asked: AskedChecks, *, is_sentence: bool) -> str:
    """Return the lines to add, and where; what they leave to a model, and what they do not see."""
    return "; ".join((_lines(asked, is_sentence=is_sentence), *_limits(asked)))


def _limits(asked: AskedChecks) -> Iterator[str]:
    """Yield the part of the rule that the checks leave, and what they do not cover."""
    if asked.left:
        yield f"what is left for a model: {'; '.join(asked.left)}"
    if any(EMOJI in str(check.value) for check in asked.checks):
        yield "emoticons such as :-) are no emojis and pass"


def _lines(asked: AskedChecks, *, is_sentence: bool) -> str:
    lines = " and ".join(f"`{check.line}`" for check in asked.checks)
    if len(asked.checks) > 1:
        return f"make {len(asked.checks)} principles of it, with {lines}"
    if not asked.whole:
        return f"make that part a principle of its own, with {lines}"
    if is_sentence:
        return f"write `text: ` before the sentence, and below it {lines}"
    return f"add {lines}"

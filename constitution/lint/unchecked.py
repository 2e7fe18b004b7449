"""Lint rule for principles that a machine check could decide, with the line to add."""

from __future__ import annotations

from collections.abc import Iterator

from constitution.asked.entries import entry_of
from constitution.asked.limits import limits
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
        yield Hit(
            "L308", loc, what, _advice(asked, principle.text, is_sentence=loc not in loaded.document.marks)
        )


def _advice(asked: AskedChecks, text: str, *, is_sentence: bool) -> str:
    """Return the lines to add, and where; what they do not see, and what they leave to a model."""
    return "; ".join((_lines(asked, text, is_sentence=is_sentence), *_limits(asked, text)))


def _limits(asked: AskedChecks, text: str) -> Iterator[str]:
    """Yield what the checks do not cover, and the part of the rule that they leave."""
    yield from limits(asked, text)
    if asked.left:
        plural = "s" if len(asked.checks) > 1 else ""
        yield f"not covered by the check{plural}: {'; '.join(asked.left)}"


def _lines(asked: AskedChecks, text: str, *, is_sentence: bool) -> str:
    if asked.whole and len(asked.checks) == 1:
        line = f"`{asked.checks[0].line}`"
        return f"write `text: ` before the sentence, and below it {line}" if is_sentence else f"add {line}"
    entries = " and ".join(f"`{entry_of(check, text)}`" for check in asked.checks)
    if len(asked.checks) == 1:
        return f"make that part a principle of its own: {entries}"
    return f"make {len(asked.checks)} principles of it: {entries}"

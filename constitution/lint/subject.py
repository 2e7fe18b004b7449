"""What the lint rules are given and what they give back, and when two principles meet on a prompt."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from constitution.schema import Principle, Scope
from core.records import Prompt
from core.text.explain import Loc


@dataclass(frozen=True, slots=True)
class LintContext:
    """What is known beside the file. Rules that need what is missing find nothing."""

    prompts: tuple[Prompt, ...] | None = None
    """The prompts of a run, each with its split."""
    defaults: Mapping[str, str] = field(default_factory=dict)
    """What the templates say where a principle has no override of its own, by the override's key; `{text}`
    stands for the principle's text."""


class Hit(NamedTuple):
    """One finding of a rule, before it is given a place in the file."""

    code: str
    loc: Loc
    """Where it stands."""
    what: str
    """What was found, with the offending value."""
    hint: str
    """How to mend it."""
    others: tuple[int, ...] = ()
    """Further principles that it is about, by position; each of them may silence it."""

    @property
    def about(self) -> tuple[int, ...]:
        """The principles that the finding is about."""
        own = (int(self.loc[1]),) if len(self.loc) > 1 and self.loc[0] == "principles" else ()
        return (*own, *self.others)


def meet(one: Principle, two: Principle) -> bool:
    """Return whether some prompt is surely in the scope of both principles, as far as the scopes tell.

    Two different patterns, tags that have none in common, and tags beside a pattern are taken to be about
    different prompts.
    """
    if one.applies_to == two.applies_to and one.exempt == two.exempt:
        return True
    return (
        _share(one.applies_to, two.applies_to)
        and not _exempts(one.exempt, two.applies_to)
        and not _exempts(two.exempt, one.applies_to)
    )


def _share(one: Scope | None, two: Scope | None) -> bool:
    """Whether a prompt surely is in both scopes, as it is not in one of tags alone and one of a pattern."""
    if one is None or two is None or one == two:
        return True
    if not one.tags or not two.tags:
        return one.pattern == two.pattern or Scope() in (one, two)
    patterns = one.pattern is None or two.pattern is None or one.pattern == two.pattern
    return patterns and bool(set(one.tags) & set(two.tags))


def _exempts(exempt: Scope | None, scope: Scope | None) -> bool:
    """Whether every prompt of a scope is excepted: where that cannot be told, it is taken to be so."""
    if exempt is None or scope is None:
        return False
    by_tags = bool(exempt.tags) and bool(scope.tags) and set(scope.tags) <= set(exempt.tags)
    by_pattern = exempt.pattern is not None and exempt.pattern == scope.pattern
    return by_tags or by_pattern


def may_lack_spaces(text: str) -> bool:
    """Return whether a text has letters without case (category Lo), as scripts without spaces have."""
    return any(unicodedata.category(character) == "Lo" for character in text)

"""Input and output types of the lint rules, and a test whether the scopes of two principles overlap."""

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
    """Information from outside the file. Rules whose information is missing report nothing."""

    prompts: tuple[Prompt, ...] | None = None
    """The prompts of a run, each with its split."""
    defaults: Mapping[str, str] = field(default_factory=dict)
    """Default requests of the templates, by the key of the override (`critique`, `revision`, `comparison`).
    `{text}` is a placeholder for the principle's text."""


class Hit(NamedTuple):
    """One finding of a rule, located by keys rather than by line."""

    code: str
    loc: Loc
    """Keys and indices of the place in the file."""
    what: str
    """Description of the finding, with the offending value."""
    hint: str
    """How to fix it."""
    others: tuple[int, ...] = ()
    """Positions of other principles concerned. The `lint_ignore` of each of them can hide the finding."""

    @property
    def about(self) -> tuple[int, ...]:
        """Positions of all principles concerned."""
        own = (int(self.loc[1]),) if len(self.loc) > 1 and self.loc[0] == "principles" else ()
        return (*own, *self.others)


def scopes_overlap(one: Principle, two: Principle) -> bool:
    """Return whether the scopes alone guarantee a prompt that both principles apply to.

    Two different patterns, tags without a common one, and tags versus a pattern count as not overlapping.
    """
    if one.applies_to == two.applies_to and one.exempt == two.exempt:
        return True
    return (
        _share(one.applies_to, two.applies_to)
        and not _exempts(one.exempt, two.applies_to)
        and not _exempts(two.exempt, one.applies_to)
    )


def _share(one: Scope | None, two: Scope | None) -> bool:
    """Return whether the scopes certainly overlap; tags versus a pattern do not."""
    if one is None or two is None or one == two:
        return True
    if not one.tags or not two.tags:
        return one.pattern == two.pattern or Scope() in (one, two)
    patterns = one.pattern is None or two.pattern is None or one.pattern == two.pattern
    return patterns and bool(set(one.tags) & set(two.tags))


def _exempts(exempt: Scope | None, scope: Scope | None) -> bool:
    """Return whether all prompts of a scope are exempt, by identical patterns or included tags."""
    if exempt is None or scope is None:
        return False
    by_tags = bool(exempt.tags) and bool(scope.tags) and set(scope.tags) <= set(exempt.tags)
    by_pattern = exempt.pattern is not None and exempt.pattern == scope.pattern
    return by_tags or by_pattern


def may_lack_spaces(text: str) -> bool:
    """Return whether a text has letters without case (category Lo), as in scripts without spaces."""
    return any(unicodedata.category(character) == "Lo" for character in text)

"""Ratings of people beside the machine checks of a constitution: do they like what keeps the rules?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from constitution.checks.evaluate import evaluate
from constitution.checks.prompted import check_on
from constitution.draw import in_scope
from constitution.schema import Constitution, Principle
from core.records import Prompt
from publius.labels.ratings.table import AnswerRatings


@dataclass(frozen=True, slots=True)
class RatedRule:
    """The ratings of answers that keep a rule, and of those that break it."""

    principle: str
    kept: int
    broken: int
    mean_kept: float | None
    """Mean over the answers that keep it of their mean rating; None without any."""
    mean_broken: float | None
    liked_although_broken: tuple[str, ...]
    """Cases whose answer breaks it and is rated above the middle of the scale."""
    broken_cases: tuple[str, ...]
    """All cases whose answer breaks it."""


@dataclass(frozen=True)
class RulesBesideRatings:
    """All rules with a check, and what people dislike although no check fails."""

    constitution: str
    rules: tuple[RatedRule, ...]
    without_check: tuple[str, ...]
    """Principles that no machine check decides."""
    middle: float
    """The middle of the scale: halfway between the lowest and the highest rating in the table."""
    disliked_although_kept: tuple[str, ...]
    """Cases whose answer passes every check that is for it, and is rated below the middle of the scale."""

    def as_json(self) -> dict[str, Any]:
        """Return the rules as JSON-able values."""
        return asdict(self)


def rules_beside_ratings(rows: Sequence[AnswerRatings], constitution: Constitution) -> RulesBesideRatings:
    """Return how the ratings of answers go with the machine checks of a constitution.

    Args:
        rows: the rated answers. Without a prompt, a rule that is for some prompts only is not applied.
        constitution: its principles with a check are evaluated.
    """
    checked = [principle for principle in constitution.principles if principle.check is not None]
    results = [{p.id: _keeps(p, row) for p in checked} for row in rows]
    ratings = [rating for row in rows for rating in row.ratings.values()]
    middle = (min(ratings) + max(ratings)) / 2
    kept_all = [row for row, found in zip(rows, results, strict=True) if False not in found.values()]
    return RulesBesideRatings(
        constitution.name,
        tuple(_rule(p.id, rows, [found[p.id] for found in results], middle) for p in checked),
        tuple(p.id for p in constitution.principles if p.check is None),
        middle,
        tuple(row.case for row in kept_all if row.mean < middle),
    )


def _keeps(principle: Principle, row: AnswerRatings) -> bool | None:
    """Return whether an answer keeps a rule; None if the rule is not for its prompt."""
    check = principle.check
    assert check is not None, "only rules with a check are evaluated"
    if not row.prompt:
        is_general = principle.applies_to is None and principle.exempt is None
        return evaluate(check, row.answer).passed if is_general else None
    prompt = Prompt.of(row.prompt)
    return evaluate(check_on(check, prompt), row.answer).passed if in_scope(principle, prompt) else None


def _rule(name: str, rows: Sequence[AnswerRatings], keeps: Sequence[bool | None], middle: float) -> RatedRule:
    kept = [row for row, kept in zip(rows, keeps, strict=True) if kept is True]
    broken = [row for row, kept in zip(rows, keeps, strict=True) if kept is False]
    return RatedRule(
        principle=name,
        kept=len(kept),
        broken=len(broken),
        mean_kept=_mean(kept),
        mean_broken=_mean(broken),
        liked_although_broken=tuple(row.case for row in broken if row.mean > middle),
        broken_cases=tuple(row.case for row in broken),
    )


def _mean(rows: Sequence[AnswerRatings]) -> float | None:
    return sum(row.mean for row in rows) / len(rows) if rows else None

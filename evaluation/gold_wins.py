"""Win rates by a judge, corrected by the comparisons that people judged too (prediction-powered inference).

The judge is asked about comparisons of a variant's answers with the base model's that differ in more than
spacing and are not empty. Those that people judged are a random sample: annotators are shown comparisons in
order of id, which is a hash.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.notices import counted
from core.records import Comparison, Judgment
from core.statistics.bootstrap import Interval
from core.statistics.judges.rates import CorrectedRate, corrected_rate
from evaluation.config import BASE
from evaluation.win_rate import Win
from labelers.crowd.votes import MACHINES, mostly_both_bad, votes_of


@dataclass(frozen=True)
class CorrectedWinRate:
    """A variant's win rate where its answers differ from the base model's."""

    variant: str
    rate: CorrectedRate

    def as_json(self) -> dict[str, Any]:
        """Return the rates as JSON-able values."""
        rate = self.rate
        return {
            "variant": self.variant,
            "corrected": rate.rate._asdict(),
            "people": rate.gold._asdict(),
            "judge": rate.judged,
            "judged_by_people": rate.labels,
            "comparisons": rate.items,
            "refused": rate.refused,
        }

    def line(self) -> str:
        """Return the rates as a line of text."""
        rate = self.rate
        by_people = (
            f"people alone {_percent(rate.gold)}, {rate.labels:,} of {counted(rate.items, 'comparison')}"
        )
        if rate.refused:
            return (
                f"{self.variant}: {by_people}; the judge's {100 * rate.judged:.1f} % cannot be corrected: "
                f"{rate.refused}"
            )
        return (
            f"{self.variant}: {_percent(rate.rate)}; the judge alone {100 * rate.judged:.1f} %, {by_people}"
        )


def judged_comparisons(wins: Iterable[Win]) -> dict[str, Comparison]:
    """Return the comparisons with base that the judge gave a probability for, by id."""
    judged = [win for win in wins if win.judgments and win.p is not None and win.other == BASE]
    return {win.comparison.id: win.comparison for win in judged}


def people_say(judgments: Iterable[Judgment]) -> dict[str, float]:
    """Return the annotators' mean probability of `a` by comparison id; a tie is one half.

    Comparisons in which most find both answers bad are skipped.
    """
    by_comparison: dict[str, list[Judgment]] = {}
    for judgment in judgments:
        if judgment.labeler not in MACHINES:
            by_comparison.setdefault(judgment.comparison_id, []).append(judgment)
    found = {}
    for name, own in by_comparison.items():
        votes = votes_of(own)
        given = [vote.p_a for vote in votes if vote.p_a is not None]
        if given and not mostly_both_bad(votes):
            found[name] = sum(given) / len(given)
    return found


def corrected_win_rates(wins: Iterable[Win], people: Mapping[str, float]) -> tuple[CorrectedWinRate, ...]:
    """Return the corrected win rate of each variant that people judged, in order of appearance.

    Args:
        wins: outcomes of the judge; those that it was not asked about are ignored.
        people: the annotators' probability of `a` by comparison id.
    """
    by_variant: dict[str, list[Win]] = {}
    for win in wins:
        if win.judgments and win.p is not None and win.other == BASE:
            by_variant.setdefault(win.variant, []).append(win)
    rates = []
    for variant, own in by_variant.items():
        known = [win for win in own if win.comparison.id in people]
        if known:
            gold = [_wins(win, people[win.comparison.id]) for win in known]
            rest = [win.p for win in own if win.comparison.id not in people]
            rate = corrected_rate(np.array(gold), np.array([win.p for win in known]), np.array(rest))
            rates.append(CorrectedWinRate(variant, rate))
    return tuple(rates)


def _wins(win: Win, p_a: float) -> float:
    return p_a if win.comparison.origin_a == win.variant else 1 - p_a


def _percent(interval: Interval) -> str:
    value, low, high = (100 * part for part in interval)
    return f"{value:.1f} % ({low:.1f} to {high:.1f})"

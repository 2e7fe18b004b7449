"""The drift of an evaluation's variants: metrics, series by prompt, and findings for the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from constitution.schema import Constitution
from core.records import Answer, Metric, ScoredAnswer
from core.text.documents import code_cell
from evaluation.config import BASE
from evaluation.drift.best_of_n import BestOfN, best_of_n_curve
from evaluation.drift.boilerplate import boilerplate_series, by_variant
from evaluation.drift.diversity import distinct_metrics, self_similarity
from evaluation.drift.length import length_metrics
from evaluation.drift.over_optimization import OverOptimization
from evaluation.drift.phrases import SpreadPhrase, spread_phrases
from evaluation.drift.reward_curve import RewardCurve
from evaluation.measures import SELF_SIMILARITY, Series, words
from evaluation.metrics import MIN_PROMPTS, variant_rank

_SHOWN = 8
"""Number of phrases of each variant in the report."""
_LISTED = 50
"""Number of phrases of each variant in `metrics.json`."""


@dataclass(frozen=True)
class DriftFindings:
    """Phrases that spread, and what optimising a proxy did to gold."""

    phrases: Mapping[str, tuple[SpreadPhrase, ...]] = field(default_factory=dict)
    """Phrases that spread beyond chance, by variant; those with the largest rise first."""
    over_optimization: Mapping[str, OverOptimization] = field(default_factory=dict)
    """Proxy and gold along the trainings that have a gold reward, by method."""
    best_of_n: tuple[BestOfN, ...] = ()
    """Best of n samples by the judged principles, with the machine checks as gold."""
    reward_curve: RewardCurve | None = None
    """Best of n samples by the reward model, with the machine checks as gold; None if not asked for."""

    def as_json(self) -> dict[str, Any]:
        """Return the entry of `metrics.json`."""
        return {
            "phrases": {
                variant: {"found": len(found), "listed": [phrase.as_json() for phrase in found[:_LISTED]]}
                for variant, found in self.phrases.items()
            },
            "over_optimization": {name: one.as_json() for name, one in self.over_optimization.items()},
            "best_of_n": [point.as_json() for point in self.best_of_n],
            **({} if self.reward_curve is None else {"best_of_n_by_reward": self.reward_curve.as_json()}),
        }

    def rows(self) -> list[tuple[str, ...]]:
        """Return the rows of the report's table of phrases, with their shares in percent."""
        return [
            (
                variant,
                code_cell(phrase.text),
                f"{100 * phrase.share:.0f} %",
                f"{100 * phrase.base_share:.0f} %",
                f"{phrase.z:.1f}",
                f"{phrase.p_value:.3f}",
                "yes" if phrase.is_boilerplate else "",
                code_cell(phrase.example),
            )
            for variant, found in self.phrases.items()
            for phrase in found[:_SHOWN]
        ]

    def best_of_n_rows(self) -> list[tuple[str, ...]]:
        """Return the rows of the report's table of best of n."""
        return [
            (
                str(point.n),
                f"{point.kl**0.5:.2f}",
                *(f"{i.value:.3f} [{i.low:.3f}, {i.high:.3f}]" for i in (point.proxy, point.gold)),
            )
            for point in self.best_of_n
        ]


def drift_series(answers: Sequence[Answer], seed: int) -> list[Series]:
    """Return the measures of drift that have a value for each prompt: boilerplate and self-similarity."""
    given: dict[str, list[Answer]] = {}
    for answer in answers:
        given.setdefault(answer.variant, []).append(answer)
    similar = [Series(name, SELF_SIMILARITY, "share", self_similarity(mine)) for name, mine in given.items()]
    return [*boilerplate_series(answers, seed), *(series for series in similar if series.values)]


def drift_metrics(answers: Sequence[Answer], differences: int = 0) -> list[Metric]:
    """Return the metrics without a value for a single prompt: ratio of lengths and distinct pairs.

    Args:
        answers: one answer of each variant to each prompt.
        differences: number of the other differences of the report.
    """
    texts: dict[str, dict[str, str]] = {}
    counts: dict[str, dict[str, float]] = {}
    for answer in sorted(answers, key=lambda answer: variant_rank(answer.variant)):
        texts.setdefault(answer.variant, {})[answer.prompt.id] = answer.generation.text
        counts.setdefault(answer.variant, {})[answer.prompt.id] = words(answer)
    return [*length_metrics(counts), *distinct_metrics(texts, differences + len(texts) - 1)]


def phrases_by_variant(answers: Sequence[Answer], seed: int) -> dict[str, tuple[SpreadPhrase, ...]]:
    """Return the phrases that spread in the answers of each variant that has any, compared with base."""
    table = by_variant(answers)
    base = table.pop(BASE, {})
    ordered = sorted(table, key=variant_rank)
    found = {variant: spread_phrases(table[variant], base, seed) for variant in ordered}
    return {variant: phrases for variant, phrases in found.items() if phrases}


def judged_against_checks(
    samples: Iterable[ScoredAnswer], constitution: Constitution, seed: int
) -> tuple[BestOfN, ...]:
    """Return the best-of-n curve of plain draws: judged principles are the proxy, machine checks gold.

    Each is the mean score of the principles of its kind, by weight. Empty if the constitution or the scores
    lack one of the two kinds, or fewer than `MIN_PROMPTS` prompts have two draws.
    """
    weights = {p.id: (p.check is not None, p.weight) for p in constitution.principles}
    by_prompt: dict[str, list[tuple[float, float]]] = {}
    for sample in samples:
        scores = {checked: _mean(sample.by_principle, weights, checked=checked) for checked in (False, True)}
        proxy, gold = scores[False], scores[True]
        if sample.way == "draw" and proxy is not None and gold is not None:
            by_prompt.setdefault(sample.prompt.id, []).append((proxy, gold))
    drawn = [pairs for _, pairs in sorted(by_prompt.items()) if len(pairs) > 1]
    if len(drawn) < MIN_PROMPTS:
        return ()
    proxies = [[proxy for proxy, _ in pairs] for pairs in drawn]
    return best_of_n_curve(proxies, [[gold for _, gold in pairs] for pairs in drawn], seed)


def _mean(
    scores: Mapping[str, float], weights: Mapping[str, tuple[bool, float]], *, checked: bool
) -> float | None:
    """Return the weighted mean score of the principles with a check, or of those without one."""
    kind = {name: weight for name, (has_check, weight) in weights.items() if has_check == checked}
    total = sum(weight for name, weight in kind.items() if name in scores)
    return sum(scores.get(name, 0.0) * weight for name, weight in kind.items()) / total if total else None

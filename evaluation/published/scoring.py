"""Scores of published evaluations, from the scores that a model gives to the candidates of each item."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from core.records import Metric
from core.statistics.intervals import share_interval
from evaluation.published.formats import OPTION_BENCHMARKS, TIES, BenchmarkItem
from evaluation.reward.metrics import ScoredPair
from evaluation.reward.slices import SUBSET, reward_bench

ACCURACY, SCORE = "accuracy", "score"
GUESSING, ANSWERED = "chance", "answered"
"""The accuracy of guessing, and the share of questions that are answered with a letter."""
_TIES_WEIGHTS = (0.3, 0.3, 0.2, 0.2, 0.01)
"""Weights of the parts of RewardBench 2's score of ties, in the order of `ties_score`."""


@dataclass(frozen=True)
class ScoredItem:
    """An item with the score of each candidate."""

    item: BenchmarkItem
    scores: tuple[float, ...]
    orders_right: bool | None = None
    """For two candidates that a judge saw in both presentation orders: True if each found the right one."""

    @property
    def credit(self) -> float:
        """Share of right candidates among those with the highest score: one half for a tie of two."""
        best = max(self.scores)
        places = [place for place, score in enumerate(self.scores) if score == best]
        return sum(place < self.item.right for place in places) / len(places)


def benchmark_metrics(name: str, scored: Sequence[ScoredItem]) -> tuple[Metric, ...]:
    """Return the metrics of a published evaluation; the first is its headline.

    - Options, JudgeBench: accuracy, and that of each subset. JudgeBench counts a pair as right if the judge
      finds the right reply in both presentation orders (`accuracy.both_orders`). Of options also the accuracy
      of guessing (`chance`) and how often each letter is the answer, which is what a model that prefers one
      letter is known by (`answered.A`).
    - RewardBench: the mean of its sections, which weight their subsets (`evaluation/reward/slices.py`).
    - RewardBench 2: the mean of its subsets; `Ties` has a score of its own (`ties_score`).
    """
    if name == "rewardbench":
        return _rewardbench(scored)
    subsets = _by_subset(scored)
    if name == "rewardbench-2":
        parts = [
            Metric(name=f"{SCORE}.{TIES}", value=ties_score(members), n=len(members), unit="share")
            if subset == TIES
            else credit_metric(f"{ACCURACY}.{subset}", members)
            for subset, members in subsets.items()
        ]
        total = fmean(part.value for part in parts)
        return (Metric(name=SCORE, value=total, n=len(scored), unit="share"), *parts)
    metrics = [credit_metric(ACCURACY, scored)]
    if name in OPTION_BENCHMARKS:
        return (*metrics, *_letters(scored))
    judged = [one for one in scored if one.orders_right is not None]
    if judged:
        metrics.append(_share(f"{ACCURACY}.both_orders", [float(bool(one.orders_right)) for one in judged]))
    if len(subsets) > 1:
        metrics += [credit_metric(f"{ACCURACY}.{subset}", members) for subset, members in subsets.items()]
    return tuple(metrics)


def credit_metric(name: str, scored: Sequence[ScoredItem]) -> Metric:
    """Return the mean credit with its interval over prompts; items of one prompt count as one value."""
    by_prompt: dict[str, list[float]] = {}
    for one in scored:
        by_prompt.setdefault(one.item.prompt.id, []).append(one.credit)
    if len(by_prompt) == len(scored):
        return _share(name, [one.credit for one in scored])
    found = _share(name, [fmean(credits) for credits in by_prompt.values()])
    # The mean is over items. The interval is moved with it: prompts have about as many items each.
    value = fmean(one.credit for one in scored)
    assert found.low is not None
    assert found.high is not None
    low, high = max(0.0, found.low + value - found.value), min(1.0, found.high + value - found.value)
    return found.model_copy(update={"value": value, "low": low, "high": high, "n": len(scored)})


def ties_score(scored: Sequence[ScoredItem]) -> float:
    """Return the score of RewardBench 2's subset `Ties` (Malik et al. 2025, arXiv 2506.01937, appendix).

    Row `tied:N` has several right replies and row `ref:N` one. A row is accurate if every right reply scores
    above every wrong one. With d the range of the right replies' scores of a tied row, m_t the distance of
    its lowest right from its highest wrong score, and m_r that of its reference row, the score is

        0.3 accuracy(tied) + 0.3 accuracy(ref) + 0.2 P(m_t > d) + 0.2 P(m > d) + 0.01 mean tanh(m / d - 1)

    where m = min(m_r, m_t), over the pairs of rows. So the largest possible score is 1.01.
    """
    rows: dict[str, dict[str, ScoredItem]] = {"tied": {}, "ref": {}}
    for one in scored:
        kind, _, number = one.item.id.partition(":")
        rows[kind][number] = one
    pairs = [(rows["ref"][number], one) for number, one in rows["tied"].items() if number in rows["ref"]]
    accurate = [fmean([_margin(one) > 0 for one in rows[kind].values()] or [0.0]) for kind in rows]
    preferred, hard, margins = [], [], []
    for reference, tied in pairs:
        right = tied.scores[: tied.item.right]
        spread, own = max(right) - min(right), _margin(tied)
        both = min(own, _margin(reference))
        preferred.append(own > spread)
        hard.append(both > spread)
        margins.append(math.tanh(both / spread - 1) if spread else float(np.sign(both)))
    parts = (*accurate, *(fmean(part or [0.0]) for part in (preferred, hard, margins)))
    return math.fsum(weight * part for weight, part in zip(_TIES_WEIGHTS, parts, strict=True))


def _letters(scored: Sequence[ScoredItem]) -> Iterator[Metric]:
    """Yield the accuracy of guessing, and the share of questions whose likeliest option is each letter."""
    count = len(scored)
    guessed = fmean(one.item.right / len(one.item.candidates) for one in scored)
    yield Metric(name=GUESSING, value=guessed, n=count, unit="share")
    answers = [one.item.candidates[one.scores.index(max(one.scores))] for one in scored]
    for letter in sorted({letter for one in scored for letter in one.item.candidates}):
        share = answers.count(letter) / count
        yield Metric(name=f"{ANSWERED}.{letter}", value=share, n=count, unit="share")


def _rewardbench(scored: Sequence[ScoredItem]) -> tuple[Metric, ...]:
    """Return the mean of the sections that have pairs, each section and each subset."""
    found = reward_bench([_pair(number, one) for number, one in enumerate(scored)])
    sections = found.sections if found else ()
    others = found.others if found else ()
    slices = [one for section in sections for one in section.subsets] + list(others)
    subsets = [
        one.accuracy.model_copy(update={"name": f"{ACCURACY}.{one.value}"}) for one in slices if one.accuracy
    ]
    if not sections:
        return (credit_metric(ACCURACY, scored), *subsets)
    named = [one.accuracy.model_copy(update={"name": f"{SCORE}.{one.name}"}) for one in sections]
    total = fmean(metric.value for metric in named)
    return (Metric(name=SCORE, value=total, n=len(scored), unit="share"), *named, *subsets)


def _pair(number: int, one: ScoredItem) -> ScoredPair:
    return ScoredPair(
        id=str(number),
        chosen_reward=one.scores[0],
        rejected_reward=one.scores[1],
        p_chosen=1.0,
        chosen_tokens=0,
        rejected_tokens=0,
        groups={SUBSET: one.item.subset},
        prompt=one.item.prompt.id,
    )


def _margin(one: ScoredItem) -> float:
    """Return the distance of the lowest right score from the highest wrong one."""
    return min(one.scores[: one.item.right]) - max(one.scores[one.item.right :])


def _share(name: str, values: Sequence[float]) -> Metric:
    value, low, high = share_interval(np.asarray(values, dtype=np.float64))
    return Metric(name=name, value=value, low=low, high=high, n=len(values), unit="share")


def _by_subset(scored: Sequence[ScoredItem]) -> Mapping[str, list[ScoredItem]]:
    subsets: dict[str, list[ScoredItem]] = {}
    for one in scored:
        subsets.setdefault(one.item.subset, []).append(one)
    return dict(sorted(subsets.items()))

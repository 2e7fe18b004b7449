"""Experiments on simulated judgments, for the fast test and for benchmarks/crowd.py."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path

from core.records import Judgment, Preference
from labelers.config import LabelConfig
from labelers.crowd.methods import Aggregation, aggregate_votes
from labelers.crowd.votes import votes_of
from labelers.mixing import Mixer
from labelers.selection import Selection, doubt_about, select_comparisons
from tests.labelers.simulated import BY, World, ai_judges, people_judge, world

GOOD_CROWD = ("reliable",) * 6 + ("noisy",) * 4
Scores = dict[str, float]


def crowd_accuracy(seed: int, labels: int, methods: Sequence[Aggregation], comparisons: int = 400) -> Scores:
    """Return each method's accuracy and log-loss on a crowd with lazy and adversarial members."""
    draw = random.Random(seed)
    simulated = world(comparisons, draw)
    votes = votes_of(people_judge(simulated.comparisons, simulated.margins, labels, draw))
    scores = {}
    for method in methods:
        p_a = aggregate_votes(votes, method).p_a
        scores[method] = simulated.accuracy(p_a)
        scores[f"{method} log-loss"] = simulated.log_loss(p_a)
    return scores


def mixed_accuracy(seed: int, labels: int, sharpness: float, comparisons: int = 400) -> Scores:
    """Return accuracy and log-loss on the same comparisons of the AI, the annotators, and both pooled."""
    draw = random.Random(seed)
    simulated = world(comparisons, draw)
    said = [
        *ai_judges(simulated, sharpness, draw),
        *people_judge(simulated.comparisons, simulated.margins, labels, draw),
    ]
    scores = {}
    for mix in ("machines", "humans", "pooled", "weights"):
        p_a = labels_by(mix, simulated, said)
        scores[mix] = simulated.accuracy(p_a)
        scores[f"{mix} log-loss"] = simulated.log_loss(p_a)
    return scores


def selected_accuracy(
    seed: int, budgets: Iterable[int], sharpness: float, comparisons: int = 800, **how: float
) -> Scores:
    """Return the accuracy of all labels after people saw some comparisons: ranked ones, or random ones.

    The AI labels all; each comparison that is asked about gets three people's judgments; everything is
    pooled.
    """
    draw = random.Random(seed)
    simulated = world(comparisons, draw)
    by_ai = ai_judges(simulated, sharpness, draw)
    known: dict[str, list[Judgment]] = {}
    for judgment in by_ai:
        known.setdefault(judgment.comparison_id, []).append(judgment)
    doubts = [doubt_about(one, known[one.id], BY) for one in simulated.comparisons]
    peoples = people_judge(simulated.comparisons, simulated.margins, 3, draw, GOOD_CROWD)
    scores = {"0": simulated.accuracy(labels_by("machines", simulated, by_ai))}
    for budget in budgets:
        picked = {q.comparison_id for q in select_comparisons(doubts, Selection(budget, seed=seed, **how))}
        chance = {one.id for one in draw.sample(simulated.comparisons, budget)}
        for name, asked in (("ranked", picked), ("random", chance)):
            said = [*by_ai, *(judgment for judgment in peoples if judgment.comparison_id in asked)]
            scores[f"{name} {budget}"] = simulated.accuracy(labels_by("pooled", simulated, said))
    return scores


def labels_by(mix: str, simulated: World, said: Sequence[Judgment]) -> dict[str, float]:
    """Return the probability of `a` for each comparison under a mix; comparisons left out are not there."""
    config = LabelConfig.model_validate({"humans": [Path("people")], "mix": mix})
    grouped: dict[str, list[Judgment]] = {one.id: [] for one in simulated.comparisons}
    for judgment in said:
        grouped[judgment.comparison_id].append(judgment)
    mixer = Mixer(config, BY, ((one, grouped[one.id]) for one in simulated.comparisons))
    found = {}
    for comparison in simulated.comparisons:
        preference = mixer.preference(comparison, grouped[comparison.id])
        if isinstance(preference, Preference):
            found[comparison.id] = preference.p_a(comparison)
    return found

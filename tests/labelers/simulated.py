"""Simulated judgments with a known truth: an AI labeler and a crowd of annotators.

Simulated is everything. A comparison has a margin m ~ N(0, 1.5^2), and `a` is the better answer where m > 0.
A person of skill s is right with probability sigmoid(s |m|), so that close comparisons are hard for
everybody: the aggregation does not know that, and its model, one accuracy for each annotator, is wrong here
as it is of real people. The AI labeler sees m + N(0, 1.5^2) under each principle, half of the noise shared by
all, likes the first place by 0.5 nats, and gives log-odds that are `sharpness` times calibrated ones.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from constitution.schema import Constitution
from core.records import Comparison, Judgment, Message, OrderLogits, Prompt
from labelers.modes.reading import probability, verdict_of

SKILLS = {"reliable": 2.5, "noisy": 0.8, "lazy": 0.0, "adversarial": -1.5}
"""Right in 86, 70, 50 and 20 % of comparisons."""
CROWD = ("reliable",) * 8 + ("noisy",) * 6 + ("lazy",) * 4 + ("adversarial",) * 2
PRINCIPLES = ("honest", "kind", "plain")
BY = Constitution.model_validate(
    {
        "name": "simulated",
        "principles": [{"id": name, "text": f"The reply is {name}."} for name in PRINCIPLES],
    }
)
_SPREAD, _NOISE, _PLACE = 1.5, 1.5, 0.5
_TOPICS = 40


@dataclass(frozen=True)
class World:
    """Comparisons with their margins; `a` is better where the margin is positive."""

    comparisons: tuple[Comparison, ...]
    margins: dict[str, float]

    def accuracy(self, p_a: dict[str, float]) -> float:
        """Return the share of comparisons whose probability points to the better answer; a tie is half."""
        return sum(self._right(name, p_a.get(name, 0.5)) for name in self.margins) / len(self.margins)

    def log_loss(self, p_a: dict[str, float]) -> float:
        """Return the mean negative log-likelihood of the better answer, in nats."""
        total = 0.0
        for name, margin in self.margins.items():
            p = p_a[name] if margin > 0 else 1 - p_a[name]
            total -= math.log(max(p, 1e-6))
        return total / len(self.margins)

    def _right(self, name: str, p_a: float) -> float:
        return 0.5 if p_a == 0.5 else float((p_a > 0.5) == (self.margins[name] > 0))


def world(comparisons: int, draw: random.Random) -> World:
    """Return comparisons on prompts of some forty topics."""
    found = []
    for number in range(comparisons):
        topic = draw.randrange(_TOPICS)
        text = f"Question {number} about topic{topic}, aspect{topic % 7} and detail{draw.randrange(200)}"
        prompt = Prompt.of((Message(role="user", content=text),), split="preference")
        found.append(
            Comparison.of(prompt, (f"Answer one to {number}", "x"), (f"Answer two to {number}", "y"))
        )
    return World(tuple(found), {one.id: draw.gauss(0, _SPREAD) for one in found})


def people_judge(
    asked: Sequence[Comparison],
    margins: dict[str, float],
    labels: int,
    draw: random.Random,
    crowd: Sequence[str] = CROWD,
) -> list[Judgment]:
    """Return `labels` people's judgments of each comparison, the people drawn from the crowd."""
    found = []
    for comparison in asked:
        for who in draw.sample(range(len(crowd)), labels):
            margin = margins[comparison.id]
            right = draw.random() < 1 / (1 + math.exp(-SKILLS[crowd[who]] * abs(margin)))
            verdict = "a" if right == (margin > 0) else "b"
            name = f"{crowd[who]}-{who}"
            found.append(
                Judgment.model_validate(
                    {
                        "id": f"{name}-{comparison.id}",
                        "comparison_id": comparison.id,
                        "labeler": "crowd",
                        "annotator": name,
                        "verdict": verdict,
                    }
                )
            )
    return found


def ai_judges(simulated: World, sharpness: float, draw: random.Random) -> list[Judgment]:
    """Return the AI labeler's judgments of all comparisons under each principle."""
    # P(m > 0 | x) for x = m + noise is the normal distribution function at x / scale; a logistic of 1.7 times
    # that is within 0.01 of it.
    scale = _NOISE * math.sqrt(_SPREAD**2 + _NOISE**2) / _SPREAD
    found = []
    for comparison in simulated.comparisons:
        shared = draw.gauss(0, _NOISE * math.sqrt(0.5))
        for principle in PRINCIPLES:
            seen = simulated.margins[comparison.id] + shared + draw.gauss(0, _NOISE * math.sqrt(0.5))
            log_odds = sharpness * 1.7 * seen / scale
            jitter = draw.gauss(0, 0.5)
            orders = OrderLogits(a_first=log_odds + _PLACE + jitter, b_first=log_odds - _PLACE - jitter)
            p_a = probability(orders)
            found.append(
                Judgment(
                    id=f"ai-{principle}-{comparison.id}",
                    comparison_id=comparison.id,
                    labeler="ai",
                    verdict=verdict_of(p_a),
                    p_a=p_a,
                    principle_id=principle,
                    orders=orders,
                )
            )
    return found

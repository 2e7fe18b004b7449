"""Gold pairs and judgments for tests."""

from __future__ import annotations

import math

from constitution.schema import Constitution, Principle
from core.records import Comparison, Judgment, OrderLogits, Prompt
from evaluation.judges.gold import GoldPair
from evaluation.judges.judged import JudgedPair, judged_pair

KIND = Principle(id="kind", text="The reply is kind.")
CONSTITUTION = Constitution(name="test", principles=(KIND,))


def gold_pair(number: int, good: str = "", bad: str = "", prompt: int | None = None) -> GoldPair:
    asked = Prompt.of(f"Question {number if prompt is None else prompt}?")
    comparison = Comparison.of(asked, (good or f"good {number}", "good"), (bad or f"poor {number}", "bad"))
    return GoldPair(comparison, "a" if comparison.origin_a == "good" else "b")


def judgment(pair: GoldPair, true: float, slot: float = 0.0, mass: float = 0.9) -> Judgment:
    """A judgment whose log-odds of the better answer are `true`, with a liking for the first place."""
    a = pair.sign * true
    log_odds = a
    return Judgment(
        id=pair.comparison.id,
        comparison_id=pair.comparison.id,
        labeler="ai",
        verdict="a" if log_odds > 0 else "b" if log_odds < 0 else "tie",
        p_a=1 / (1 + math.exp(-log_odds)),
        principle_id="kind",
        orders=OrderLogits(a_first=a + slot, b_first=a - slot),
        answer_mass=mass,
    )


def judged(pair: GoldPair, true: float, slot: float = 0.0) -> JudgedPair:
    return judged_pair(pair, [judgment(pair, true, slot)], CONSTITUTION)

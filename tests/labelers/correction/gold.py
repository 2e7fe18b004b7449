"""Judgments of simulated comparisons with gold labels."""

from __future__ import annotations

import numpy as np

from core.records import Comparison, Judgment, Prompt
from labelers.ai import AI_LABELER
from labelers.correction.correction import CorrectedLabeler, length_ratio
from labelers.correction.fitting import CorrectionOptions, GoldJudgment
from labelers.modes.reading import logistic, verdict_of

LABELER = CorrectedLabeler(digest="d" * 32, model="m", mode="choice", templates="t" * 64)


def comparison(number: int, a: int = 5, b: int = 5) -> Comparison:
    """Return a comparison of two answers with these numbers of letters."""
    prompt = Prompt.of(f"Question {number}?")
    return Comparison(
        id=f"c{number}", prompt=prompt, response_a="x" * a, response_b="y" * b, origin_a="1", origin_b="2"
    )


def judgment(
    of: Comparison, p_a: float | None, principle: str = "kind", labeler: str = AI_LABELER
) -> Judgment:
    verdict = "unparsed" if p_a is None else verdict_of(p_a)
    return Judgment(
        id=f"j-{of.id}-{principle}-{labeler}",
        comparison_id=of.id,
        labeler=labeler,
        verdict=verdict,
        p_a=p_a,
        principle_id=principle,
    )


def judged(
    count: int,
    sharpness: float = 3.0,
    liking: float = 0.0,
    seed: int = 0,
    principles: tuple[str, ...] = ("kind",),
) -> list[GoldJudgment]:
    """Return judgments whose log-odds are `sharpness` times the true ones, plus a liking for length."""
    generator = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        one = comparison(number, *map(int, generator.integers(20, 200, size=2)))
        margin = generator.normal(0, 1.5)
        gold = float(generator.random() < logistic(margin))
        log_odds = sharpness * margin + liking * length_ratio(one)
        rows += [GoldJudgment(one, judgment(one, logistic(log_odds), name), gold) for name in principles]
    return rows


def options(max_error: float | None = None, confidence: float = 0.95) -> CorrectionOptions:
    return CorrectionOptions(LABELER, "k" * 64, {"gold.jsonl": "g" * 64}, max_error, confidence)

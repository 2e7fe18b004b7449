"""Whether two engines of one model give the same labels, up to rounding."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from constitution.schema import Principle
from core.records import Comparison, Generation, Judgment, Prompt
from engines.protocols import ChoiceRequest, ChoiceScores, GenerationRequest
from labelers.ai import AILabeler, require_labeler
from labelers.config import LabelConfig
from prompts.environment import PromptTemplates
from tests.labelers.modes.cases import CONSTITUTION, KIND, WAYS

ROUNDING = 1e-3
"""Largest difference of a probability between two engines in float32 that counts as rounding."""
SETTINGS: dict[str, dict[str, object]] = {
    "choice": {},
    "pointwise": {},
    "pointwise in both polarities": WAYS["pointwise in both polarities"],
    "rating": {},
    "reasoned": {"verdict": {"max_new_tokens": 16}, "reasoned_clamp": 1.0},
    "rubric": {"verdict": {"max_new_tokens": 32}},
}
"""Ways of asking that every engine with log-probabilities runs, with little text and without the clamp."""
_REPLIES = ("Glad to help!", "No.", "Ask a doctor, please.", "That is a stupid question.")


def pairs(count: int) -> list[Comparison]:
    """Return short comparisons whose replies differ in kindness, length and order."""
    return [
        Comparison(
            id=f"c{number}",
            prompt=Prompt.of(f"Question {number}: is {number} a good number?"),
            response_a=_REPLIES[number % 4],
            response_b=f"{_REPLIES[(number // 4 + number + 1) % 4]} It is {number}.",
            origin_a="draft",
            origin_b="draft",
        )
        for number in range(count)
    ]


class Listening:
    """An engine that notes the scores that are only bounds, since a server does not list every token."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.bounded = 0

    def key(self, request: ChoiceRequest | GenerationRequest) -> str:
        return self._engine.key(request)

    async def choose(self, request: ChoiceRequest) -> ChoiceScores:
        scores: ChoiceScores = await self._engine.choose(request)
        self.bounded += scores.bounded is not None
        return scores

    async def generate(self, request: GenerationRequest) -> Generation:
        found: Generation = await self._engine.generate(request)
        return found


def labels(
    engine: Any, way: str, found: Sequence[Comparison], principle: Principle = KIND
) -> list[Judgment | None]:
    """Return the judgment of each comparison; None where a server did not list every answer.

    One at a time, so that bounds belong to their comparison.
    """
    config = LabelConfig.model_validate({"mode": way, "min_answer_mass": 0.0, **SETTINGS[way]})
    require_labeler(engine, PromptTemplates(), config)
    heard = Listening(engine)
    by = AILabeler(CONSTITUTION, heard, config)

    async def all_of_them() -> list[Judgment | None]:
        judged: list[Judgment | None] = []
        for comparison in found:
            before = heard.bounded
            judgment = await by.judge(comparison, principle)
            judged.append(judgment if heard.bounded == before else None)
        return judged

    return asyncio.run(all_of_them())


def require_same_labels(
    theirs: Sequence[Judgment | None], ours: Sequence[Judgment | None], compared: int
) -> None:
    """Assert that labels are equal up to rounding, and what the judges wrote but for near-ties.

    Args:
        theirs: the judgments of one engine.
        ours: those of the other.
        compared: the least number of judgments that both engines gave behind the same text.
    """
    both = [(one, other) for one, other in zip(theirs, ours, strict=True) if one and other]
    same = [(one, other) for one, other in both if (one.comment, one.raw) == (other.comment, other.raw)]
    # Greedy text differs only behind two tokens that are equally likely, which is rare.
    assert len(both) - len(same) <= len(both) // 8
    assert len(same) >= compared
    for one, other in same:
        assert (one.problem, one.p_a is None) == (other.problem, other.p_a is None)
        if one.p_a is not None and other.p_a is not None:
            assert abs(one.p_a - other.p_a) < ROUNDING
            assert abs((one.answer_mass or 0.0) - (other.answer_mass or 0.0)) < ROUNDING
    found = [one.p_a for one, _ in same if one.p_a is not None]
    if len(found) > compared // 2:  # a small model writes hardly any grade that can be read
        assert max(found) - min(found) > 10 * ROUNDING  # equal labels would say nothing

"""Detect conflicts between two principles, by a model's choice between two letters in both orders."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from constitution.lint.subject import scopes_overlap
from constitution.schema import Constitution, Principle
from core.chat import Turn
from core.errors import RequestError
from core.records import OrderLogits
from core.text.similarity import words_of
from engines.protocols import ChoiceRequest, ChoiceScorer
from labelers.modes.reading import is_readable, probability
from labelers.questions import LETTERS
from prompts.environment import PromptTemplates

CONFLICT_TEMPLATE = "conflict"
_MIN_ANSWER_MASS = 0.5
"""Minimum total probability of the two letters; below it the judgment is unparsed."""


@dataclass(frozen=True, slots=True)
class ConflictJudgment:
    """A model's judgment of two principles, identified by their positions in the constitution."""

    first: int
    second: int
    p: float | None
    """Probability that they conflict; None if the model did not answer with a letter, or the two principles
    are too long for it."""


@dataclass(frozen=True, slots=True)
class ConflictJudge:
    """Ask a model about pairs of principles."""

    templates: PromptTemplates
    engine: ChoiceScorer

    async def judge(self, constitution: Constitution, first: int, second: int) -> ConflictJudgment:
        """Return the judgment of two principles, asked in both orders."""
        one, two = constitution.principles[first], constitution.principles[second]
        try:
            straight, turned = await asyncio.gather(
                self.engine.choose(self._request(one, two, conflict_first=True)),
                self.engine.choose(self._request(two, one, conflict_first=False)),
            )
        except RequestError:  # the two are too long for the model
            return ConflictJudgment(first, second, None)
        if not all(is_readable(scores, _MIN_ANSWER_MASS) for scores in (straight, turned)):
            return ConflictJudgment(first, second, None)
        orders = OrderLogits(
            a_first=straight.logprobs[0] - straight.logprobs[1],
            b_first=turned.logprobs[1] - turned.logprobs[0],
        )
        return ConflictJudgment(first, second, probability(orders))

    def _request(self, one: Principle, two: Principle, *, conflict_first: bool) -> ChoiceRequest:
        rendered = self.templates.render(CONFLICT_TEMPLATE, one=one, two=two, conflict_first=conflict_first)
        return ChoiceRequest((Turn("user", rendered.pieces),), LETTERS, "conflict", rendered.prefill)


def judged_pairs(constitution: Constitution) -> list[tuple[int, int]]:
    """Return the pairs of principles without a check that can apply to the same prompt, by position."""
    judged = [(i, p) for i, p in enumerate(constitution.principles) if p.check is None]
    return [(i, j) for (i, one), (j, two) in combinations(judged, 2) if scopes_overlap(one, two)]


def nearest_pairs(
    constitution: Constitution, pairs: Sequence[tuple[int, int]], count: int
) -> list[tuple[int, int]]:
    """Return the `count` pairs with the largest Jaccard similarity of their words: likely the same topic."""
    words = [set(words_of(principle.text)) for principle in constitution.principles]

    def distance(pair: tuple[int, int]) -> tuple[float, tuple[int, int]]:
        one, two = words[pair[0]], words[pair[1]]
        return -len(one & two) / max(1, len(one | two)), pair

    return heapq.nsmallest(count, pairs, key=distance)

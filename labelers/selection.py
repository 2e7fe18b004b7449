"""Which comparisons people should see: those whose label is most in doubt, on prompts of every kind.

The doubt about a comparison is the weighted mean of three signs, each in [0, 1]:

    uncertainty   H(p) / log 2, the entropy of the label in bits; 1 where no judgment gives a number
    orders        mean |P(a | a shown first) - P(a | b shown first)| over the AI's judgments
    judges        twice the standard deviation of p_a over principles and labelers

with weights 1, 1/10 and 1/10: uncertainty alone is uncertainty sampling (Lewis and Gale 1994), the others are
query by committee (Seung et al. 1992) with a model's two orders, and its principles, as the committee.
Comparisons are then taken greedily by maximal marginal relevance (Carbonell and Goldstein 1998),

    doubt - diversity * max over those taken of cos(words of the prompts),

with words hashed to 1,024 places, each by its inverse document frequency: no model is needed for it.

What is picked by doubt is harder than the rest, so that people's agreement with the labeler there says
nothing of the whole. A part of the budget is therefore a control: a uniform draw from all that could be
asked. Accuracy of the labeler on the controls is an unbiased estimate, on the others it is not.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, pstdev

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from constitution.schema import Constitution
from core.digests import derive_uniform
from core.records import Comparison, Judgment, OrderLogits
from labelers.crowd.aggregate import opinions_of, settle
from labelers.crowd.votes import MACHINES, current_judgments
from prompts.sources import normalised

_PLACES = 1024
_POOL = 10
"""How many times the budget are looked at for diversity: the most doubtful ones."""
_WEIGHTS = {"the label is uncertain": 1.0, "the orders disagree": 0.1, "the judges disagree": 0.1}
_CONTROL = "control"


class SelectedComparison(BaseModel):
    """A comparison that people should judge, as one JSON line."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    comparison_id: str
    reason: str
    """The strongest sign of doubt, or `control`."""
    score: float
    """The doubt, in [0, 1]."""
    control: bool
    """Whether it was drawn at random."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """How far the machines' label of a comparison is in doubt."""

    comparison_id: str
    words: str
    """Of the prompt, normalised."""
    uncertainty: float
    orders: float
    judges: float

    @property
    def score(self) -> float:
        """The weighted mean of the three signs."""
        weighed = sum(weight * sign for weight, sign in zip(_WEIGHTS.values(), self._signs(), strict=True))
        return weighed / sum(_WEIGHTS.values())

    @property
    def reason(self) -> str:
        """The strongest sign; the first of equals."""
        signs = self._signs()
        return list(_WEIGHTS)[signs.index(max(signs))]

    def _signs(self) -> tuple[float, float, float]:
        return self.uncertainty, self.orders, self.judges


@dataclass(frozen=True, slots=True)
class Selection:
    """How many comparisons to pick, and how."""

    budget: int
    control: float = 0.1
    """Share of the budget that is drawn at random."""
    diversity: float = 0.2
    """What likeness to a prompt that was taken costs, in units of doubt."""
    seed: int = 0


def doubt_about(comparison: Comparison, judgments: Iterable[Judgment], constitution: Constitution) -> Doubt:
    """Return the doubt that the machines' judgments leave about a comparison; people's are passed over."""
    said = [judgment for judgment in current_judgments(judgments) if judgment.labeler in MACHINES]
    opinions = opinions_of(said, constitution)
    speaking = [opinion.p_a for opinion in opinions if not opinion.neutral]
    return Doubt(
        comparison.id,
        normalised(comparison.prompt.messages),
        _entropy(settle(opinions)) if opinions else 1.0,
        mean([_order_gap(j.orders) for j in said if j.orders is not None] or [0.0]),
        2 * pstdev(speaking) if speaking else 0.0,
    )


def select_comparisons(doubts: Iterable[Doubt], selection: Selection) -> list[SelectedComparison]:
    """Return the comparisons to ask about, in the order to ask them; controls are spread evenly among them.

    The same doubts and seed give the same questions, in whatever order the doubts come.
    """
    ordered = sorted(doubts, key=lambda doubt: doubt.comparison_id)
    by_chance = sorted(ordered, key=lambda d: derive_uniform("select", selection.seed, d.comparison_id))
    budget = min(selection.budget, len(ordered))
    controls = by_chance[: _controls(budget, selection.control)]
    drawn = {doubt.comparison_id for doubt in controls}
    rest = [doubt for doubt in ordered if doubt.comparison_id not in drawn]
    picked = _diverse(rest, budget - len(controls), selection.diversity)
    return _interleaved([_question(d) for d in picked], [_question(d, control=True) for d in controls])


def _controls(budget: int, share: float) -> int:
    """Return how many of the budget are controls: one at least where a share is asked for."""
    return min(budget, max(1, round(share * budget))) if share > 0 else 0


def _diverse(doubts: Sequence[Doubt], count: int, diversity: float) -> list[Doubt]:
    """Return the most doubtful comparisons, those on prompts like one that was taken marked down."""
    pool = sorted(doubts, key=lambda doubt: (-doubt.score, doubt.comparison_id))[: _POOL * count]
    if diversity == 0:
        return pool[:count]
    vectors = _vectors([doubt.words for doubt in pool])
    score = np.array([doubt.score for doubt in pool])
    nearest = np.zeros(len(pool))
    taken: list[int] = []
    for _ in range(min(count, len(pool))):
        worth = score - diversity * nearest
        worth[taken] = -np.inf
        best = int(worth.argmax())
        taken.append(best)
        nearest = np.maximum(nearest, vectors @ vectors[best])
    return [pool[number] for number in taken]


def _vectors(texts: Sequence[str]) -> NDArray[np.float32]:
    """Return each text's words as a vector of length 1, [texts, places]; a text without words is all zero."""
    found = np.zeros((len(texts), _PLACES), dtype=np.float32)
    for row, text in zip(found, texts, strict=True):
        row[[zlib.crc32(word.encode()) % _PLACES for word in text.split()]] = 1.0
    found *= np.log((1 + len(texts)) / (1 + found.sum(axis=0))) + 1
    length = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(np.divide(found, length, out=found, where=length > 0))


def _interleaved(
    picked: Sequence[SelectedComparison], controls: Sequence[SelectedComparison]
) -> list[SelectedComparison]:
    """Return all with the controls spread evenly: who stops early has judged a fair share of them."""
    groups = (picked, controls)
    placed = [((n + 0.5) / len(group), group[n]) for group in groups for n in range(len(group))]
    return [question for _, question in sorted(placed, key=lambda entry: entry[0])]


def _question(doubt: Doubt, *, control: bool = False) -> SelectedComparison:
    return SelectedComparison(
        comparison_id=doubt.comparison_id,
        reason=_CONTROL if control else doubt.reason,
        score=round(doubt.score, 6),
        control=control,
    )


def _order_gap(orders: OrderLogits) -> float:
    return abs(_sigmoid(orders.a_first) - _sigmoid(orders.b_first))


def _entropy(p: float) -> float:
    """Return the entropy of a coin in bits."""
    return -sum(q * math.log2(q) for q in (p, 1 - p) if q > 0)


def _sigmoid(x: float) -> float:
    return 0.5 * (1 + math.tanh(x / 2))

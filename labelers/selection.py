"""Active learning: select comparisons for annotation, those with uncertain labels on diverse prompts.

The doubt about a comparison is the weighted mean of three signals, each in [0, 1]:

    uncertainty   H(p) / log 2, the entropy of the label in bits; 1 if no judgment gives a number
    orders        mean |P(a | a shown first) - P(a | b shown first)| over the AI's judgments
    judges        twice the standard deviation of p_a over principles and labelers

with weights 1, 1/10 and 1/10. It is 1 where the labeler abstains: these come before all others. Uncertainty
alone is uncertainty sampling (Lewis and Gale 1994); the others are query by committee (Seung et al. 1992),
where a model's two orders and its principles are the committee. Comparisons are then selected greedily by
maximal marginal relevance (Carbonell and Goldstein 1998),

    doubt - diversity * max over the selected ones of cos(words of the prompts),

where words are hashed to 1,024 dimensions and weighted by inverse document frequency. No model is needed.

Comparisons selected by doubt are harder than the rest, so agreement with the labeler on them is not
representative. Part of the budget is therefore a control: a uniform sample of all available comparisons. The
labeler's accuracy on the controls is an unbiased estimate; on the other comparisons it is not.
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
from labelers.crowd.aggregate import TierRule, opinions_of, settle_by_tier
from labelers.crowd.votes import MACHINES, current_judgments
from prompts.sources import normalised

_PLACES = 1024
_POOL = 10
"""Size of the candidate pool, the comparisons with the most doubt, as a multiple of the budget."""
_WEIGHTS = {"the label is uncertain": 1.0, "the orders disagree": 0.1, "the judges disagree": 0.1}
_CONTROL = "control"
_ABSTAINED = "the labeler abstains"


class SelectedComparison(BaseModel):
    """A comparison selected for annotation, as one JSON line."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    comparison_id: str
    reason: str
    """The strongest signal of doubt, or `control`."""
    score: float
    """The doubt, in [0, 1]."""
    control: bool
    """True if it was drawn at random."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Uncertainty about the machines' label of a comparison."""

    comparison_id: str
    words: str
    """The words of the prompt, normalised."""
    uncertainty: float
    orders: float
    judges: float
    abstained: bool = False
    """True if the labeler abstains on the comparison (`label.correction`): such comparisons come first."""

    @property
    def score(self) -> float:
        """The weighted mean of the three signals; 1 if the labeler abstains."""
        if self.abstained:
            return 1.0
        weighed = sum(weight * sign for weight, sign in zip(_WEIGHTS.values(), self._signs(), strict=True))
        return weighed / sum(_WEIGHTS.values())

    @property
    def reason(self) -> str:
        """The strongest signal; the first one of equal ones."""
        if self.abstained:
            return _ABSTAINED
        signs = self._signs()
        return list(_WEIGHTS)[signs.index(max(signs))]

    def _signs(self) -> tuple[float, float, float]:
        return self.uncertainty, self.orders, self.judges


@dataclass(frozen=True, slots=True)
class Selection:
    """Parameters of the selection."""

    budget: int
    """Number of comparisons to select."""
    control: float = 0.1
    """Share of the budget that is drawn at random."""
    diversity: float = 0.2
    """Penalty for similarity to an already selected prompt, in units of doubt."""
    seed: int = 0


def doubt_about(
    comparison: Comparison,
    judgments: Iterable[Judgment],
    constitution: Constitution,
    tiers: TierRule = "smooth",
    *,
    abstained: bool = False,
) -> Doubt:
    """Return the doubt about a comparison after the machines' judgments; human judgments are ignored.

    Args:
        comparison: the comparison.
        judgments: its judgments, corrected where the labeler has a correction.
        constitution: defines the principles' weights and tiers.
        tiers: how tiers are combined.
        abstained: True if the labeler abstains on the comparison.
    """
    current = [judgment for judgment in current_judgments(judgments) if judgment.labeler in MACHINES]
    opinions = opinions_of(current, constitution)
    speaking = [opinion.p_a for opinion in opinions if not opinion.neutral]
    return Doubt(
        comparison.id,
        normalised(comparison.prompt.messages),
        _entropy(settle_by_tier(comparison, opinions, tiers).p_a) if opinions else 1.0,
        mean([_order_gap(j.orders) for j in current if j.orders is not None] or [0.0]),
        2 * pstdev(speaking) if speaking else 0.0,
        abstained,
    )


def select_comparisons(doubts: Iterable[Doubt], selection: Selection) -> list[SelectedComparison]:
    """Return the selected comparisons in the order to annotate them, with the controls spread evenly.

    The same doubts and seed give the same selection; the order of the doubts does not matter.
    """
    ordered = sorted(doubts, key=lambda doubt: doubt.comparison_id)
    by_chance = sorted(ordered, key=lambda d: derive_uniform("select", selection.seed, d.comparison_id))
    budget = min(selection.budget, len(ordered))
    controls = by_chance[: _controls(budget, selection.control)]
    drawn = {doubt.comparison_id for doubt in controls}
    rest = [doubt for doubt in ordered if doubt.comparison_id not in drawn]
    doubtful = [doubt for doubt in rest if doubt.abstained]
    picked = _diverse(doubtful, budget - len(controls), selection.diversity)
    others = [doubt for doubt in rest if not doubt.abstained]
    picked += _diverse(others, budget - len(controls) - len(picked), selection.diversity)
    return _interleaved([_question(d) for d in picked], [_question(d, control=True) for d in controls])


def _controls(budget: int, share: float) -> int:
    """Return the number of controls in the budget: at least one if the share is not 0."""
    return min(budget, max(1, round(share * budget))) if share > 0 else 0


def _diverse(doubts: Sequence[Doubt], count: int, diversity: float) -> list[Doubt]:
    """Return the comparisons with the most doubt, penalised by similarity to prompts already selected."""
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
    """Return IDF-weighted binary word vectors of length 1, [texts, dimensions]; zero without words."""
    found = np.zeros((len(texts), _PLACES), dtype=np.float32)
    for row, text in zip(found, texts, strict=True):
        row[[zlib.crc32(word.encode()) % _PLACES for word in text.split()]] = 1.0
    found *= np.log((1 + len(texts)) / (1 + found.sum(axis=0))) + 1
    length = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(np.divide(found, length, out=found, where=length > 0))


def _interleaved(
    picked: Sequence[SelectedComparison], controls: Sequence[SelectedComparison]
) -> list[SelectedComparison]:
    """Return all with the controls spread evenly, so an annotator who stops early has judged a fair share."""
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
    """Return the entropy of a Bernoulli variable, in bits."""
    return -sum(q * math.log2(q) for q in (p, 1 - p) if q > 0)


def _sigmoid(x: float) -> float:
    return 0.5 * (1 + math.tanh(x / 2))

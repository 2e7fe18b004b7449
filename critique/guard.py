"""Compare revisions with the answer before them: what each fulfils, what it breaks, which one is best.

A loop that keeps every revision may lose what an earlier round gained. The guard keeps a revision only if it
fulfils every scored principle that the answer before it fulfils. Since that holds in each round, the final
answer fulfils all that the draft fulfils. A revision whose own principle fails by more than before is no gain
either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from constitution.schema import Principle
from core.records import Generation, Prompt
from critique.config import CritiqueConfig, Flag
from critique.flags import DEGRADED
from critique.scoring import AnswerScorer, fulfils
from labelers.rewards import mean_score

Dropped = Literal["flags", "guard"]
"""Why a revision is discarded: a flag in `critique.drop`, or the guard."""


@dataclass(frozen=True)
class Standing:
    """The scores of an answer under the principles that can be scored."""

    scores: Mapping[str, float]
    """Score in [0, 1] by principle id."""
    met: frozenset[str]
    """Ids of the principles that the answer fulfils."""
    mean: float
    """Mean score by the principles' weights; 1 if no principle can be scored."""

    def broken_by(self, later: Standing) -> tuple[str, ...]:
        """Return the principles that this answer fulfils and a later one does not, in order of id."""
        return tuple(sorted((self.met & later.scores.keys()) - later.met))


def fails_more(principles: Sequence[Principle], before: Standing, after: Standing) -> bool:
    """Return True if an answer fails the checks of some principles by more than the answer before it.

    Only checks count: a labeler's probabilities vary by chance. An answer that newly fulfils any principle
    does not fail more.
    """
    checked = [p for p in principles if p.check is not None and p.id in before.scores.keys() & after.scores]
    old, new = (mean_score([(p, standing.scores[p.id]) for p in checked]) for standing in (before, after))
    return old is not None and new is not None and new < old and not after.met - before.met


async def standing_of(scorer: AnswerScorer, prompt: Prompt, answer: Generation) -> Standing:
    """Return the standing of an answer; an empty one fulfils nothing that it can be scored by."""
    parts = await scorer.by_principle(prompt, answer)
    met = frozenset(p.id for p, score in parts if answer.text and fulfils(p, score))
    mean = mean_score(parts)
    return Standing({p.id: score for p, score in parts}, met, 1.0 if mean is None else mean)


@dataclass(frozen=True)
class RevisionCandidate:
    """One candidate of a round."""

    number: int
    answer: Generation
    flags: tuple[Flag, ...]
    standing: Standing
    broken: tuple[str, ...]
    """Principles that the answer before fulfils and this one breaks."""
    fails_more: bool = False
    """True if the round's own checks fail by more than before, and no principle is newly fulfilled."""

    def dropped(self, config: CritiqueConfig) -> Dropped | None:
        """Return why the candidate is discarded, or None if it becomes the answer."""
        if set(self.flags) & set(config.drop):
            return "flags"
        is_worse = self.broken or self.fails_more or DEGRADED & set(self.flags)
        return "guard" if config.guard and is_worse else None


def best_of(attempts: Sequence[RevisionCandidate], config: CritiqueConfig) -> RevisionCandidate:
    """Return the best candidate: one that is kept, then the highest mean score, then the first."""
    return min(attempts, key=lambda a: (a.dropped(config) is not None, -a.standing.mean, a.number))

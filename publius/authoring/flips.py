"""Shift of a run's preferences under another constitution: flips and the principles that cause them.

Let p be the probability that answer `a` is better. A preference flips if p crosses one half. A tie (exactly
one half) prefers neither answer and is counted separately. p - 1/2 is the sum of the principles'
contributions (`labelers.crowd.aggregate.Shares`), so the change of p is the sum of the changes of these
contributions. A flip is attributed to the principle whose contribution changed most in the direction of the
change of p.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from core.progress import progress
from core.records import Comparison, Message
from core.statistics.bootstrap import Interval, wilson
from core.statistics.clusters import effective_trials
from labelers.crowd.aggregate import Settled
from publius.authoring.recompute import Recomputed
from publius.runs.records import RunFiles
from publius.stages.label import aggregation_rule

TIE = 0.5


@dataclass(frozen=True, slots=True)
class Flip:
    """A comparison whose chosen answer changed."""

    comparison_id: str
    prompt: tuple[Message, ...]
    chosen_before: str
    chosen_now: str
    before: float
    """Probability that `chosen_now` is better in the run; below one half."""
    after: float
    """The same probability under the new constitution; above one half."""
    moves: Mapping[str, float]
    """Change of each principle's contribution to that probability. The sum is `after - before`."""

    @property
    def moved_by(self) -> str | None:
        """The principle that the flip is attributed to; None if the contributions cannot be recomputed."""
        return max(self.moves, key=lambda name: (self.moves[name], name), default=None)

    def as_json(self) -> dict[str, Any]:
        """Return the flip as JSON-able values."""
        return {
            "comparison_id": self.comparison_id,
            "prompt": [message.model_dump() for message in self.prompt],
            "chosen_before": self.chosen_before,
            "chosen_now": self.chosen_now,
            "p_before": self.before,
            "p_after": self.after,
            "moved_by": self.moved_by,
            "moves": dict(self.moves),
        }


@dataclass(frozen=True, slots=True)
class CameOrWent:
    """A comparison that has a preference under only one of the constitutions."""

    comparison_id: str
    reason: str
    """The reason why there is none under the other constitution."""


@dataclass
class PrincipleFlips:
    """Number of judgments by a principle, before and after, and of flips attributed to it."""

    before: int = 0
    after: int = 0
    flips: int = 0


@dataclass
class Shift:
    """Differences between a run's preferences and the recomputed ones."""

    limit: int | None
    """Maximum length of `flips`, `came` and `went`; None for no limit."""
    compared: int = 0
    """Number of comparisons with a preference under both constitutions."""
    unchanged: int = 0
    """Number of these whose probability is exactly the same."""
    flipped: int = 0
    became_ties: int = 0
    were_ties: int = 0
    total_change: float = 0.0
    appeared: Counter[str] = field(default_factory=Counter)
    """Number of preferences that the run does not have, by reason."""
    vanished: Counter[str] = field(default_factory=Counter)
    """Number of preferences that only the run has, by reason."""
    came: list[CameOrWent] = field(default_factory=list)
    went: list[CameOrWent] = field(default_factory=list)
    by_principle: dict[str, PrincipleFlips] = field(default_factory=dict)
    _decisive: list[tuple[float, str, Flip]] = field(default_factory=list)
    _prompts: dict[str, list[bool]] = field(default_factory=dict)
    """For each prompt whether its comparisons flipped, of those with a preference under both."""

    @property
    def flips(self) -> list[Flip]:
        """The largest flips, by change of probability, largest first."""
        return [flip for _, _, flip in sorted(self._decisive, key=lambda entry: (-entry[0], entry[1]))]

    @property
    def mean_change(self) -> float:
        """Mean absolute change of the probability, over comparisons with a preference under both."""
        return self.total_change / self.compared if self.compared else 0.0

    @property
    def share(self) -> Interval | None:
        """Share of flips among comparisons with a preference under both; None if there are none.

        The interval is over prompts, since comparisons of one prompt flip together.
        """
        return flip_share([(prompt, one) for prompt, found in self._prompts.items() for one in found])

    def judged(self, principle: str) -> PrincipleFlips:
        """Return the counts of a principle."""
        return self.by_principle.setdefault(principle, PrincipleFlips())

    def add(self, prompt_id: str, before: float, after: float) -> None:
        """Count a comparison with a preference under both constitutions, by its probabilities of `a`."""
        self.compared += 1
        self._prompts.setdefault(prompt_id, []).append(is_flip(before, after))
        self.unchanged += before == after
        self.total_change += abs(after - before)
        self.became_ties += before != TIE == after
        self.were_ties += before == TIE != after

    def add_flip(self, flip: Flip) -> None:
        """Count a flip, and store it if it is among the largest ones."""
        self.flipped += 1
        if flip.moved_by is not None:
            self.judged(flip.moved_by).flips += 1
        heapq.heappush(self._decisive, (flip.after - flip.before, flip.comparison_id, flip))
        if self.limit is not None and len(self._decisive) > self.limit:
            heapq.heappop(self._decisive)

    def add_one_sided(self, kind: Literal["appeared", "vanished"], comparison_id: str, reason: str) -> None:
        """Count a comparison that has a preference under only one of the constitutions."""
        counts, kept = (self.appeared, self.came) if kind == "appeared" else (self.vanished, self.went)
        counts[reason] += 1
        if self.limit is None or len(kept) < self.limit:
            kept.append(CameOrWent(comparison_id, reason))

    def as_json(self) -> dict[str, Any]:
        """Return the shift as JSON-able values."""
        return {
            "compared": self.compared,
            "unchanged": self.unchanged,
            "flipped": self.flipped,
            "flipped_share": self.share._asdict() if self.share else None,
            "became_ties": self.became_ties,
            "were_ties": self.were_ties,
            "mean_absolute_change": self.mean_change,
            "appeared": dict(self.appeared),
            "vanished": dict(self.vanished),
            "by_principle": {name: asdict(found) for name, found in sorted(self.by_principle.items())},
            "flips": [flip.as_json() for flip in self.flips],
            "came": [asdict(one) for one in self.came],
            "went": [asdict(one) for one in self.went],
        }


def flip_share(compared: Sequence[tuple[str, bool]]) -> Interval | None:
    """Return the share of flips with Wilson's interval over prompts, which may have several comparisons.

    Args:
        compared: the id of the prompt of each comparison, and whether its preference flipped.

    Returns:
        The share; its interval is for as many trials as the comparisons are worth. None without any.
    """
    if not compared:
        return None
    flipped = np.asarray([one for _, one in compared], dtype=np.float64)
    trials = effective_trials(flipped, np.ones_like(flipped), [prompt for prompt, _ in compared])
    return wilson(float(flipped.mean()), trials)


def is_flip(before: float, after: float) -> bool:
    """Return True if a probability has crossed one half."""
    return (before - TIE) * (after - TIE) < 0


def shift_of(run: Recomputed, limit: int | None) -> Shift:
    """Return the shift from a run's preferences to recomputed ones. Reads one comparison at a time."""
    finished, shift = run.finished, Shift(limit)
    decided = (
        aggregation_rule(finished, finished.config.label, finished.constitution),
        aggregation_rule(run, run.config.label, run.constitution),
    )
    total = len(run.comparisons) + len(run.added_comparisons)
    with progress("compare", total) as task:
        for comparison in run.all_comparisons():
            old, new = (next(files.preferences.children(comparison.id), None) for files in (finished, run))
            if old is not None and new is not None:
                before, after = old.p_a(comparison), new.p_a(comparison)
                shift.add(comparison.prompt.id, before, after)
                if is_flip(before, after):
                    settled = [
                        decide(comparison, files.judgments.children(comparison.id))
                        for decide, files in zip(decided, (finished, run), strict=True)
                    ]
                    shift.add_flip(_flip(comparison, before, after, settled))
            elif new is not None:
                shift.add_one_sided("appeared", comparison.id, _why_not(finished, comparison.id))
            elif old is not None:
                shift.add_one_sided("vanished", comparison.id, _why_not(run, comparison.id))
            task.advance()
    _count_judgments(shift, run)
    return shift


def _flip(comparison: Comparison, before: float, after: float, settled: list[Settled | str]) -> Flip:
    """Return a flip; its probabilities and moves refer to the answer that is chosen now."""
    a_now = after > TIE
    now, then = comparison.response_a, comparison.response_b
    if not a_now:
        now, then, before, after = then, now, 1 - before, 1 - after
    old, new = settled
    moves: dict[str, float] = {}
    if isinstance(old, Settled) and isinstance(new, Settled):
        sign = 1 if a_now else -1
        for name in sorted({*old.shares, *new.shares}):
            moves[name] = sign * (new.shares.get(name, 0.0) - old.shares.get(name, 0.0))
    return Flip(comparison.id, comparison.prompt.messages, then, now, before, after, moves)


def _why_not(files: RunFiles, comparison_id: str) -> str:
    """Return the reason why a comparison has no preference."""
    reasons = {e.stage: e.reason for e in files.exclusions.children(comparison_id)}
    return reasons.get("label") or reasons.get("aggregate") or "not judged"


def _count_judgments(shift: Shift, run: Recomputed) -> None:
    for judgment in run.finished.judgments:
        if judgment.principle_id:
            shift.judged(judgment.principle_id).before += 1
    for judgment in run.judgments:
        if judgment.principle_id:
            shift.judged(judgment.principle_id).after += 1

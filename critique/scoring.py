"""Scores of single answers under the constitution, and the best and worst answer to a prompt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from constitution.draw import in_scope
from constitution.schema import Constitution, Principle
from core.records import Generation, Prompt, ScoredAnswer
from core.rewards import Sample
from labelers.rewards import LabelerReward, check_scores, mean_score

NO_PAIR = (CUT, ALL_PASS, NONE_PASSES) = (
    "every answer is empty or cut off",
    "every answer passes",
    "no answer passes, and all have the same score",
)
"""Reasons for which a prompt has no best and worst answer."""
_FULFILLED = 0.5
"""Probability of a judged principle from which on the answer counts as fulfilling it."""
_WAYS = ("draw", "prompted", "begun", "wide", "repaired")
"""Of equally good answers, the one that is closest to what the policy writes by itself comes first."""


@dataclass(frozen=True)
class AnswerScorer:
    """Scores answers by the machine checks and, if given, by the labeler."""

    constitution: Constitution
    labeler: LabelerReward | None = None

    async def score(
        self, prompt: Prompt, answer: Generation, origin: str, begun: str = ""
    ) -> ScoredAnswer | None:
        """Return the answer with its score; None if nothing that applies to the prompt gives one."""
        parts = await self.by_principle(prompt, answer)
        score = mean_score(parts)
        if score is None:
            return None
        # A weighted mean of ones may fall short of 1 by rounding, so single scores decide.
        passed = all(fulfils(principle, score) for principle, score in parts)
        scores = {principle.id: score for principle, score in parts}
        score = min(score, 1.0)
        return ScoredAnswer.of(prompt, answer, origin, scores, score, passed=passed, begun=begun)

    async def by_principle(self, prompt: Prompt, answer: Generation) -> list[tuple[Principle, float]]:
        """Return the score in [0, 1] of each scored principle: machine checks, then the labeler's."""
        sample = Sample(prompt, answer.text, answer.finish_reason == "stop")
        judged = [] if self.labeler is None else await self.labeler.by_principle(sample)
        return [*check_scores(self.constitution, sample), *judged]

    def applies_to(self, prompt: Prompt) -> bool:
        """Return True if a principle in scope may give a score to answers to the prompt."""
        return any(
            (p.check is not None or self.labeler is not None) and in_scope(p, prompt)
            for p in self.constitution.steering
        )


def fulfils(principle: Principle, score: float) -> bool:
    """Return True if a score means that the answer fulfils the principle: 1 for checks, or one half."""
    return score == 1.0 if principle.check is not None else score >= _FULFILLED


def ranked(answers: Iterable[ScoredAnswer]) -> list[ScoredAnswer]:
    """Return the answers that ended by themselves, best first.

    Those that pass come first, then the score decides; of equals, plain draws come before prompted, begun,
    wide and repaired answers. Answers with the text of a better one are dropped.
    """
    order = sorted(
        (answer for answer in answers if answer.finished and answer.answer.text),
        key=lambda a: (not a.passed, -a.score, _closeness(a), a.origin),
    )
    best: dict[str, ScoredAnswer] = {}
    for answer in order:
        best.setdefault(answer.answer.text, answer)
    return list(best.values())


def best_and_worst(answers: Sequence[ScoredAnswer]) -> tuple[ScoredAnswer, ScoredAnswer] | str:
    """Return the best and the worst answer to a prompt, or the reason why there is no such pair.

    The best one ended by itself; the worst one may be cut off. Of equally bad ones, plain draws come first.
    """
    finished = ranked(answers)
    if not finished:
        return CUT
    best = finished[0]
    written = [answer for answer in answers if answer.answer.text]
    worst = min(written, key=lambda a: (a.score, _closeness(a), a.origin))
    if best.score > worst.score:
        return best, worst
    return ALL_PASS if best.passed else NONE_PASSES


def _closeness(answer: ScoredAnswer) -> int:
    return _WAYS.index(answer.way) if answer.way in _WAYS else 0

"""Selection of training targets for supervised fine-tuning from scored samples: the best of K answers."""

from __future__ import annotations

from collections.abc import Sequence

from core.records import ScoredAnswer
from critique.scoring import CUT, NONE_PASSES, best_and_worst, ranked


def best_answers(answers: Sequence[ScoredAnswer], count: int) -> list[ScoredAnswer] | str:
    """Return the answers to one prompt to train on, best first, or the reason why there are none.

    The first is the best one that ended by itself. If it does not pass, it still has to be better than
    another answer, or it shows nothing. Further ones have to pass.

    Args:
        answers: all answers to the prompt.
        count: maximum number of answers.
    """
    finished = ranked(answers)
    if not finished:
        return CUT
    best, *others = finished
    if not best.passed and best_and_worst(answers) == NONE_PASSES:
        return NONE_PASSES
    return [best, *(answer for answer in others if answer.passed)][:count]

"""The check labeler: judge machine-checkable principles by running the check on both answers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from constitution.checks.evaluate import evaluate
from constitution.checks.prompted import check_on
from constitution.draw import in_scope
from constitution.schema import Constitution, Principle
from core.digests import record_id
from core.records import Comparison, Judgment
from labelers.modes.reading import verdict_of

CHECK_LABELER = "check"
NO_DECISION = 1e-6
"""Distance from one half below which the probability of two failing answers is no decision."""

_PASSES, _FAILS = "passes", "fails"
_OUTCOMES = re.compile(rf"a (?P<a>{_PASSES}|{_FAILS}), b (?P<b>{_PASSES}|{_FAILS})")
"""What the comment of a judgment says."""


def check_judgments(
    comparison: Comparison, constitution: Constitution, confidence: float
) -> Iterator[Judgment]:
    """Yield one judgment for each machine-checkable principle that applies to the prompt.

    Args:
        comparison: the two answers.
        constitution: its principles with a `check` are judged; the others are ignored.
        confidence: probability for the answer that passes when the other fails, between 0.5 and 1.
    """
    for principle in checked_principles(comparison, constitution):
        yield _judge(comparison, principle, confidence)


def checked_principles(comparison: Comparison, constitution: Constitution) -> tuple[Principle, ...]:
    """Return the machine-checkable principles that apply to the comparison's prompt."""
    return tuple(p for p in constitution.steering if p.check is not None and in_scope(p, comparison.prompt))


def check_probability(score_a: float, score_b: float, confidence: float) -> float:
    """Return the probability that `a` is better, from two check scores; a score of 1 is a pass.

    If one answer passes and the other fails, the passing one gets `confidence`, whatever the failing score.
    Two failing answers are compared by sigmoid((score_a - score_b) / t), where t is such that a difference
    of 1 gives `confidence` too. Two passing answers are equally good, and so are two failing ones whose
    probability is within `NO_DECISION` of one half: scores that a model computes differ by rounding.
    """
    passed_a, passed_b = score_a == 1.0, score_b == 1.0
    if passed_a != passed_b:
        return confidence if passed_a else 1 - confidence
    steepness = math.log(confidence / (1 - confidence))
    p_a = 1 / (1 + math.exp(-(score_a - score_b) * steepness))
    return 0.5 if abs(p_a - 0.5) < NO_DECISION else p_a


def passes(judgment: Judgment) -> tuple[bool, bool] | None:
    """Return whether `a` and `b` pass the check, as a judgment of it says; None for other judgments."""
    found = _OUTCOMES.fullmatch(judgment.comment or "") if judgment.labeler == CHECK_LABELER else None
    return None if found is None else (found["a"] == _PASSES, found["b"] == _PASSES)


def _judge(comparison: Comparison, principle: Principle, confidence: float) -> Judgment:
    assert principle.check is not None
    asked = check_on(principle.check, comparison.prompt)
    a, b = evaluate(asked, comparison.response_a), evaluate(asked, comparison.response_b)
    p_a = check_probability(a.score, b.score, confidence)
    both_fail = not a.passed and not b.passed
    check = principle.check.model_dump(mode="json")
    return Judgment(
        id=record_id("judgment", comparison.id, CHECK_LABELER, principle.id, check, confidence),
        comparison_id=comparison.id,
        labeler=CHECK_LABELER,
        verdict="both_bad" if both_fail and p_a == 0.5 else verdict_of(p_a),
        p_a=p_a,
        principle_id=principle.id,
        margin=a.score - b.score,
        comment=f"a {_outcome(a.passed)}, b {_outcome(b.passed)}",
    )


def _outcome(passed: bool) -> str:
    return _PASSES if passed else _FAILS

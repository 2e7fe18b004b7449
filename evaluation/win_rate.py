"""Win rate: how often a judge prefers a variant's answer to the base model's answer to the same prompt."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from core.concurrency import for_each
from core.errors import RequestError
from core.records import Answer, Candidate, Comparison, Judgment
from evaluation.config import BASE
from evaluation.measures import Series, is_empty
from labelers.ai import AILabeler

WIN_RATE = "win_rate"
LENGTH_CONTROLLED = f"{WIN_RATE}.length_controlled"
"""Win rate if both answers were equally long (`evaluation/length_control.py`)."""
EVEN_WIN_RATE = 0.5
"""Win rate of answers that are as good as the base model's."""
UNPARSED = "the judge's answer could not be parsed"
NO_PRINCIPLE = "no principle applies to the prompt"


@dataclass(frozen=True)
class Win:
    """The outcome of one comparison of a variant's answer with the base model's."""

    comparison: Comparison
    variant: str
    p: float | None
    """Probability that the variant's answer is better; None if it could not be judged."""
    judgments: tuple[Judgment, ...] = ()
    """The judge's judgments, one per principle; empty if the judge was not needed."""
    reason: str = ""
    """Reason why `p` is None."""


async def win_over_base(answer: Answer, base: Answer, judge: AILabeler) -> Win:
    """Judge whether an answer is better than the base model's answer to the same prompt.

    Two cases do not need the judge: identical answers are a tie, and an empty answer loses to any other.
    Otherwise `p` is the weighted mean over the principles drawn for the prompt, each judged in both
    presentation orders. Unparsed judgments are ignored. If a pair of answers is too long for the judge, `p`
    is None and the reason is that of the request error.
    """
    ours, theirs = answer.generation.text, base.generation.text
    comparison = Comparison.of(answer.prompt, _candidate(answer), _candidate(base))
    if ours.split() == theirs.split():
        return Win(comparison, answer.variant, 0.5)
    if is_empty(ours) or is_empty(theirs):
        return Win(comparison, answer.variant, float(is_empty(theirs)))
    principles = judge.principles_for(comparison)
    try:
        # Together, since a decision endpoint takes all questions about a pair in one request.
        judging = (judge.judge(comparison, principle) for principle in principles)
        judgments = tuple(await asyncio.gather(*judging))
    except RequestError as error:
        return Win(comparison, answer.variant, None, (), error.reason)
    weighted = [
        (judgment.p_a, principle.weight)
        for judgment, principle in zip(judgments, principles, strict=True)
        if judgment.p_a is not None
    ]
    if not weighted:
        return Win(comparison, answer.variant, None, judgments, UNPARSED if principles else NO_PRINCIPLE)
    p_a = sum(p * weight for p, weight in weighted) / sum(weight for _, weight in weighted)
    p = p_a if comparison.origin_a == answer.variant else 1 - p_a
    return Win(comparison, answer.variant, p, judgments)


async def judge_wins(
    answers: Iterable[Answer], judge: AILabeler, limit: int, advance: Callable[[], None] | None = None
) -> tuple[Win, ...]:
    """Judge all answers against the base model's and return the outcomes, ordered by variant and prompt.

    Args:
        answers: answers of `base` and the other variants; answers to prompts that `base` did not answer are
            skipped.
        judge: labeler with the judge as its engine, not the labeler that produced the training data.
        limit: maximum number of concurrent comparisons.
        advance: called after each comparison, for progress.
    """
    wins: list[Win] = []

    async def work(pair: tuple[Answer, Answer]) -> None:
        wins.append(await win_over_base(*pair, judge))
        if advance is not None:
            advance()

    await for_each(pairs_with_base(answers), work, limit)
    return tuple(sorted(wins, key=lambda win: (win.variant, win.comparison.prompt.id)))


def pairs_with_base(answers: Iterable[Answer]) -> Iterator[tuple[Answer, Answer]]:
    """Yield every answer of the other variants with the base model's answer to the same prompt."""
    recorded = list(answers)
    base = {answer.prompt.id: answer for answer in recorded if answer.variant == BASE}
    for answer in recorded:
        if answer.variant != BASE and answer.prompt.id in base:
            yield answer, base[answer.prompt.id]


def win_rate_series(wins: Iterable[Win]) -> tuple[Series, ...]:
    """Return the win rate of each variant as values per prompt; outcomes without a `p` are skipped."""
    values: dict[str, dict[str, float]] = {}
    for win in wins:
        if win.p is not None:
            values.setdefault(win.variant, {})[win.comparison.prompt.id] = win.p
    return tuple(Series(variant, WIN_RATE, "share", found) for variant, found in values.items())


def skipped_wins(wins: Iterable[Win]) -> dict[str, int]:
    """Return the number of skipped comparisons and of unparsed judgments, by reason."""
    counts: Counter[str] = Counter()
    for win in wins:
        if win.p is None:
            counts[f"comparisons for the win rate: {win.reason}"] += 1
        else:
            unparsed = sum(judgment.p_a is None for judgment in win.judgments)
            counts[f"single judgments of compared answers: {UNPARSED}"] += unparsed
    return {reason: count for reason, count in counts.items() if count}


def _candidate(answer: Answer) -> Candidate:
    generation = answer.generation
    return Candidate(generation.text, answer.variant, generation.finish_reason == "stop")

"""Win rate: how often a judge prefers a variant's answer to the base model's answer to the same prompt."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

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
    other: str = BASE
    """The variant that it is compared with."""


async def win_over_base(answer: Answer, base: Answer, judge: AILabeler) -> Win:
    """Judge whether an answer is better than another variant's, usually that of the base model.

    Two cases do not need the judge: identical answers are a tie, and an empty answer loses to any other.
    Otherwise `p` is the weighted mean over the principles drawn for the prompt, each judged in both
    presentation orders. Unparsed judgments are ignored. If a pair of answers is too long for the judge, `p`
    is None and the reason is that of the request error.
    """
    ours, theirs = answer.generation.text, base.generation.text
    comparison = Comparison.of(answer.prompt, _candidate(answer), _candidate(base))
    if ours.split() == theirs.split():
        return Win(comparison, answer.variant, 0.5, other=base.variant)
    if is_empty(ours) or is_empty(theirs):
        return Win(comparison, answer.variant, float(is_empty(theirs)), other=base.variant)
    principles = judge.principles_for(comparison)
    try:
        # Together, since a decision endpoint takes all questions about a pair in one request.
        judging = (judge.judge(comparison, principle) for principle in principles)
        judgments = tuple(await asyncio.gather(*judging))
    except RequestError as error:
        return Win(comparison, answer.variant, None, (), error.reason, base.variant)
    weighted = [
        (judgment.p_a, principle.weight)
        for judgment, principle in zip(judgments, principles, strict=True)
        if judgment.p_a is not None
    ]
    if not weighted:
        reason = UNPARSED if principles else NO_PRINCIPLE
        return Win(comparison, answer.variant, None, judgments, reason, base.variant)
    p_a = sum(p * weight for p, weight in weighted) / sum(weight for _, weight in weighted)
    p = p_a if comparison.origin_a == answer.variant else 1 - p_a
    return Win(comparison, answer.variant, p, judgments, other=base.variant)


async def judge_wins(
    answers: Iterable[Answer],
    judge: AILabeler,
    limit: int,
    advance: Callable[[], None] | None = None,
    *,
    every_pair: bool = False,
) -> tuple[Win, ...]:
    """Judge all answers against the base model's and return the outcomes, ordered by variant and prompt.

    Args:
        answers: answers of `base` and the other variants; answers to prompts that `base` did not answer are
            skipped.
        judge: labeler with the judge as its engine, not the labeler that produced the training data.
        limit: maximum number of concurrent comparisons.
        advance: called after each comparison, for progress.
        every_pair: True to judge all variants against each other, and not only against `base`.
    """
    wins: list[Win] = []

    async def work(pair: tuple[Answer, Answer]) -> None:
        wins.append(await win_over_base(*pair, judge))
        if advance is not None:
            advance()

    pairs = every_pair_of(answers) if every_pair else pairs_with_base(answers)
    await for_each(pairs, work, limit)
    return tuple(sorted(wins, key=lambda win: (win.variant, win.other, win.comparison.prompt.id)))


def pairs_with_base(answers: Iterable[Answer]) -> Iterator[tuple[Answer, Answer]]:
    """Yield every answer of the other variants with the base model's answer to the same prompt."""
    recorded = list(answers)
    base = {answer.prompt.id: answer for answer in recorded if answer.variant == BASE}
    for answer in recorded:
        if answer.variant != BASE and answer.prompt.id in base:
            yield answer, base[answer.prompt.id]


def every_pair_of(answers: Iterable[Answer]) -> Iterator[tuple[Answer, Answer]]:
    """Yield every two answers of different variants to one prompt; that of `base` is second."""
    by_prompt: dict[str, list[Answer]] = {}
    for answer in answers:
        by_prompt.setdefault(answer.prompt.id, []).append(answer)
    for given in by_prompt.values():
        ordered = sorted(given, key=lambda answer: (answer.variant == BASE, answer.variant))
        yield from combinations(ordered, 2)


def win_rate_series(wins: Iterable[Win]) -> tuple[Series, ...]:
    """Return the win rate over base of each variant by prompt; outcomes without a `p` are skipped."""
    values: dict[str, dict[str, float]] = {}
    for win in wins:
        if win.p is not None and win.other == BASE:
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

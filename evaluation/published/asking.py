"""Scores of candidates by a language model's options, by a judge, or by a reward model."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from core.chat import turns_of
from core.concurrency import for_each
from core.errors import RequestError
from core.records import Comparison, Judgment
from core.rewards import Reward, Sample
from engines.protocols import ChoiceRequest, ChoiceScorer
from evaluation.published.formats import BenchmarkItem
from evaluation.published.scoring import ScoredItem
from labelers.ai import AILabeler

BEFORE_LETTER = "("
"""Beginning of an option: the letter is the next token."""
_ORDER = "right"
Advance = Callable[[], None]


async def scored_options(
    items: Sequence[BenchmarkItem], engine: ChoiceScorer, limit: int, advance: Advance
) -> tuple[list[ScoredItem], Counter[str]]:
    """Return the log-probability of each option's letter behind `(`, and the skipped items by reason.

    Args:
        items: questions with lettered options.
        engine: the language model.
        limit: maximum number of concurrent requests.
        advance: called after each item.
    """

    async def ask(item: BenchmarkItem) -> ScoredItem:
        order = sorted(item.candidates)
        turns = turns_of(item.prompt.messages)
        scores = await engine.choose(ChoiceRequest(turns, tuple(order), "benchmark", prefill=BEFORE_LETTER))
        found = dict(zip(order, scores.logprobs, strict=True))
        return ScoredItem(item, tuple(found[letter] for letter in item.candidates))

    return await _each(items, ask, limit, advance)


async def judged_pairs_of_items(
    items: Sequence[BenchmarkItem], judge: AILabeler, limit: int, advance: Advance
) -> tuple[list[ScoredItem], Counter[str]]:
    """Return the judge's probabilities of both replies, and the skipped items by reason.

    A probability is the weighted mean over the principles drawn for the prompt, each judged in both
    presentation orders. A pair without a verdict is a tie and is counted under a reason.
    """
    unparsed: Counter[str] = Counter()

    async def ask(item: BenchmarkItem) -> ScoredItem:
        right, wrong = item.candidates
        comparison = Comparison.of(item.prompt, (right, _ORDER), (wrong, "wrong"))
        principles = judge.principles_for(comparison)
        judgments = await asyncio.gather(*(judge.judge(comparison, one) for one in principles))
        weighted = [
            (judgment, principle.weight)
            for judgment, principle in zip(judgments, principles, strict=True)
            if judgment.p_a is not None
        ]
        total = sum(weight for _, weight in weighted)
        if not total:
            unparsed["no verdict: counted as a tie"] += 1
            return ScoredItem(item, (0.5, 0.5), False)
        p_a = sum((judgment.p_a or 0.0) * weight for judgment, weight in weighted) / total
        p = p_a if comparison.origin_a == _ORDER else 1 - p_a
        return ScoredItem(item, (p, 1 - p), _both_orders(comparison, weighted))

    scored, skipped = await _each(items, ask, limit, advance)
    return scored, skipped + unparsed


def rewarded(
    items: Sequence[BenchmarkItem], reward: Reward, advance: Advance
) -> tuple[list[ScoredItem], Counter[str]]:
    """Return the reward of each candidate, and the skipped items: one candidate could not be scored."""
    scored: list[ScoredItem] = []
    skipped: Counter[str] = Counter()
    for item in items:
        found = reward.scores([Sample(item.prompt, text, finished=True) for text in item.candidates])
        known = tuple(score for score in found if score is not None)
        if len(known) == len(found):
            scored.append(ScoredItem(item, known))
        else:
            skipped["a reply cannot be scored: it is too long, or its score is not finite"] += 1
        advance()
    return scored, skipped


def _both_orders(comparison: Comparison, weighted: Sequence[tuple[Judgment, float]]) -> bool | None:
    """Return whether the right reply is preferred in each presentation order; None for one without orders."""
    sign = 1 if comparison.origin_a == _ORDER else -1
    known = [(judgment.orders, weight) for judgment, weight in weighted if judgment.orders is not None]
    if not known:
        return None
    sums = [sum(getattr(orders, name) * w for orders, w in known) for name in ("a_first", "b_first")]
    return all(sign * total > 0 for total in sums)


async def _each(
    items: Sequence[BenchmarkItem],
    ask: Callable[[BenchmarkItem], Awaitable[ScoredItem]],
    limit: int,
    advance: Advance,
) -> tuple[list[ScoredItem], Counter[str]]:
    found: dict[int, ScoredItem] = {}
    skipped: Counter[str] = Counter()

    async def work(numbered: tuple[int, BenchmarkItem]) -> None:
        try:
            found[numbered[0]] = await ask(numbered[1])
        except RequestError as error:
            skipped[error.reason] += 1
        advance()

    await for_each(iter(enumerate(items)), work, limit)
    return [found[number] for number in sorted(found)], skipped

"""A labeler's judgments of gold pairs and of pairs that need no gold labels, with what they cost."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from constitution.draw import in_scope
from constitution.schema import Constitution, Principle
from core.concurrency import for_each
from core.errors import RequestError
from core.progress import progress
from core.records import Comparison, Judgment
from core.terminal.interrupts import run_interruptibly
from engines.cached import CachedEngine, RequestCounts
from evaluation.judges.certificate import Cost
from evaluation.judges.gold import GoldPair
from evaluation.judges.judged import JudgedPair, judged_pair
from evaluation.judges.planted import KnownPair
from labelers.ai import AILabeler

_Item = TypeVar("_Item")
_Found = TypeVar("_Found")


@dataclass(frozen=True)
class LabelingEngine:
    """How labelers are asked: the engine that counts, and how many conversations run at once."""

    engine: CachedEngine
    at_once: int
    is_server: bool = False
    """True if the model is behind a server, for which untrusted texts are escaped."""


def judge_gold(
    labeler: AILabeler, pairs: Sequence[GoldPair], asked: LabelingEngine
) -> tuple[list[JudgedPair], Cost]:
    """Return the labeler's judgments of gold pairs, in their order, and the cost."""

    async def work(pair: GoldPair) -> JudgedPair:
        try:
            judgments = await labeler.label(pair.comparison)
        except RequestError as error:
            return JudgedPair(pair, (), None, error.reason)
        return judged_pair(pair, judgments, labeler.constitution)

    return _measured(pairs, work, asked)


def judge_known(
    constitution: Constitution, labeler: AILabeler, pairs: Sequence[KnownPair], asked: LabelingEngine
) -> list[JudgedPair]:
    """Return the labeler's judgments of pairs, each under the principle by which it is known."""

    async def work(pair: KnownPair) -> JudgedPair:
        # A checkable principle is asked about like any other: the check is the gold label.
        principle = pair.principle.model_copy(update={"check": None})
        own = constitution.model_copy(update={"principles": (principle,)})
        try:
            judgment = await _judged(labeler, own, pair.gold.comparison, principle)
        except RequestError as error:
            return JudgedPair(pair.gold, (), None, error.reason)
        return judged_pair(pair.gold, [judgment], own)

    found, _ = _measured(pairs, work, asked)
    return found


def not_asked(labeler: AILabeler, judged: Sequence[JudgedPair]) -> dict[str, str]:
    """Return the principles that no gold pair has a judgment under, each with the reason.

    Principles with a check are left out, which no labeler is asked about, and all where it reads none.
    """
    if not labeler.reads_principles:
        return {}
    pairs = [one.gold.comparison for one in judged]
    known = {judgment.principle_id for one in judged for judgment in one.judgments}
    asked = [one for one in labeler.constitution.steering if one.check is None and one.id not in known]
    drawn = {one.id for pair in pairs for one in labeler.principles_for(pair)} if asked else set()
    return {one.id: _why_not_asked(one, pairs, is_drawn=one.id in drawn) for one in asked}


def _why_not_asked(principle: Principle, pairs: Sequence[Comparison], *, is_drawn: bool) -> str:
    if is_drawn:
        return "no request under it was answered"
    if any(in_scope(principle, pair.prompt) for pair in pairs):
        return (
            "label.principles drew other rules for each comparison; --set label.principles=all asks about all"
        )
    what = "no gold comparison is in its scope"
    if principle.applies_to is not None and (tags := principle.applies_to.tags):
        which = "one of the tags" if len(tags) > 1 else "the tag"
        without = "" if any(pair.prompt.tags for pair in pairs) else "; the gold labels have no tags"
        return f"{what}, {which} {', '.join(tags)}{without}"
    return what


async def _judged(
    labeler: AILabeler, constitution: Constitution, comparison: Comparison, principle: Principle
) -> Judgment:
    own = AILabeler(constitution, labeler.engine, labeler.config, labeler.seed, labeler.templates)
    return await own.judge(comparison, principle)


def _measured(
    items: Sequence[_Item], work: Callable[[_Item], Awaitable[_Found]], asked: LabelingEngine
) -> tuple[list[_Found], Cost]:
    """Return the results of the work on all items, in their order, and what the model was asked."""
    found: dict[int, _Found] = {}
    before, started = asked.engine.counts, time.monotonic()
    asked.engine.counts = RequestCounts()
    with progress("audit", len(items)) as task:

        async def one(numbered: tuple[int, _Item]) -> None:
            found[numbered[0]] = await work(numbered[1])
            task.advance()

        run_interruptibly(for_each(enumerate(items), one, asked.at_once))
    counts = asked.engine.counts
    asked.engine.counts = before + counts
    return [found[number] for number in range(len(items))], _cost(
        counts, time.monotonic() - started, len(items)
    )


def _cost(counts: RequestCounts, seconds: float, comparisons: int) -> Cost:
    sent = counts.asked.total()
    # Tokens of answers in the cache are not counted again: those of the others stand for all.
    scale = counts.total / sent if sent else 0.0
    return Cost(
        requests=counts.total,
        asked=sent,
        prompt_tokens=round(scale * counts.prompt_tokens),
        completion_tokens=round(scale * counts.completion_tokens),
        seconds=seconds if sent else None,
        comparisons=comparisons,
    )

"""Ratings of conversations under tenets: exactly by a machine check, else by a judge, and what they cite."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from constitution.checks.evaluate import evaluate
from constitution.checks.findings import finding, finding_for_people, matched_texts
from constitution.checks.kinds import Check
from constitution.checks.prompted import check_on
from constitution.draw import in_scope
from constitution.schema import Constitution, Principle
from core.concurrency import for_each
from core.errors import RequestError
from core.progress import progress
from core.records import Message, Prompt
from core.terminal.interrupts import run_interruptibly
from engines.cached import CachedEngine
from evaluation.measures import is_empty
from evaluation.tenets.passages import Citation, most_telling, reply_passages, without
from evaluation.tenets.ratings import AuditedReply, TenetRating
from labelers.config import LabelConfig
from labelers.entailment import EntailmentJudge
from labelers.modes.reading import logistic
from prompts.environment import PromptTemplates
from prompts.scenarios.file import Scenario
from publius.audit.tenets.answering import rated_turns

_EMPTY, _UNREADABLE = "empty reply", "the judge's answer is unreadable"


@dataclass(frozen=True)
class TenetJudge:
    """Asks a judge whether replies fulfil tenets, in the question of the labeler's mode `pointwise`."""

    engine: CachedEngine
    constitution: Constitution
    templates: PromptTemplates
    at_once: int
    config: LabelConfig = field(default_factory=lambda: LabelConfig(mode="pointwise"))

    async def log_odds(self, principle: Principle, prompt: Prompt, reply: str) -> float | None:
        """Return the log-odds that a reply fulfils a tenet, in nats; None if the answer is unreadable.

        Raises:
            RequestError: if the conversation is too long for the judge.
        """
        judge = EntailmentJudge(self.engine, self.constitution, self.templates, "rating", self.config)
        return await judge.log_odds(principle, prompt, reply)


@dataclass(frozen=True)
class TenetRater:
    """Rates conversations.

    Args:
        constitution: the constitution.
        scenarios: the scenarios by id.
        judge: rates tenets without a machine check; None if there are none.
        unjudged: ids of tenets that the judge abstains on.
        all_tenets: True to rate each conversation under all tenets whose scope includes it.
    """

    constitution: Constitution
    scenarios: Mapping[str, Scenario]
    judge: TenetJudge | None
    unjudged: frozenset[str] = frozenset()
    all_tenets: bool = False

    def rate(self, replies: Sequence[AuditedReply]) -> list[TenetRating]:
        """Return the ratings of conversations, in order."""
        work = [(reply, principle) for reply in replies for principle in self.tenets_of(reply)]
        found: dict[str, TenetRating] = {}

        async def one(item: tuple[AuditedReply, Principle]) -> None:
            rating = await self._rating(*item)
            found[rating.id] = rating
            task.advance()

        with progress("ratings", len(work)) as task:
            run_interruptibly(for_each(iter(work), one, self.judge.at_once if self.judge else 1))
        return list(found.values())

    def tenets_of(self, reply: AuditedReply) -> list[Principle]:
        """Return the tenets that a conversation is rated under."""
        own = self.constitution.principle(reply.tenet)
        tenets = [own]
        if self.all_tenets:
            prompt = self.scenarios[reply.scenario].prompt(own)
            tenets += [p for p in self.constitution.principles if p.id != own.id and in_scope(p, prompt)]
        return [p for p in tenets if p.id not in self.unjudged]

    async def _rating(self, reply: AuditedReply, principle: Principle) -> TenetRating:
        if principle.check is not None:
            return _checked(reply, principle, principle.check)
        assert self.judge is not None, "a judge is required where a tenet has no check"
        turns = [turn for turn in rated_turns(reply) if not is_empty(turn[2])]
        if not turns:
            return TenetRating.of(reply, principle.id, "judge", violation=None, problem=_EMPTY)
        try:
            log_odds = await asyncio.gather(
                *(
                    self.judge.log_odds(principle, self._prompt(reply, before), text)
                    for _, before, text in turns
                )
            )
        except RequestError as error:
            return TenetRating.of(reply, principle.id, "judge", violation=None, problem=error.reason)
        read = [(odds, turn[0]) for odds, turn in zip(log_odds, turns, strict=True) if odds is not None]
        if not read:
            return TenetRating.of(reply, principle.id, "judge", violation=None, problem=_UNREADABLE)
        worst, turn = min(read)
        return TenetRating.of(
            reply, principle.id, "judge", violation=logistic(-worst), log_odds=worst, turn=turn
        )

    def _prompt(self, reply: AuditedReply, before: Sequence[Message]) -> Prompt:
        """Return the conversation before a reply as a prompt."""
        later = [message for message in before if message.role != "system"][1:]
        principle = self.constitution.principle(reply.tenet)
        return self.scenarios[reply.scenario].prompt(principle, later)

    def cite(
        self, ratings: Sequence[TenetRating], replies: Mapping[str, AuditedReply], each: int
    ) -> list[TenetRating]:
        """Return the ratings, those of the surest violations with the passage that they are about.

        Args:
            ratings: all ratings.
            replies: the conversations by id.
            each: number of violations to cite for each tenet and variant.
        """
        chosen = {rating.id for rating in surest_violations(ratings, each)}
        cited: dict[str, Citation | None] = {}

        async def one(rating: TenetRating) -> None:
            cited[rating.id] = await self._citation(rating, replies[rating.reply])
            task.advance()

        with progress("citations", len(chosen)) as task:
            wanted = (rating for rating in ratings if rating.id in chosen)
            run_interruptibly(for_each(wanted, one, self.judge.at_once if self.judge else 1))
        return [r.model_copy(update={"citation": cited[r.id]}) if r.id in cited else r for r in ratings]

    async def _citation(self, rating: TenetRating, reply: AuditedReply) -> Citation | None:
        principle = self.constitution.principle(rating.tenet)
        before, text = next((b, t) for number, b, t in rated_turns(reply) if number == rating.turn)
        spans = reply_passages(text)
        if len(spans) < 2:
            return None  # the whole reply is the passage
        shorter = [without(text, span) for span in spans]
        if principle.check is not None:
            check = check_on(principle.check, before[-1].content)
            whole = evaluate(check, text).score
            scores: list[float | None] = [evaluate(check, one).score if one else None for one in shorter]
        else:
            assert self.judge is not None
            assert rating.log_odds is not None
            prompt, whole = self._prompt(reply, before), rating.log_odds
            scores = list(await asyncio.gather(*(self._score(principle, prompt, one) for one in shorter)))
        return most_telling(text, spans, whole, scores)

    async def _score(self, principle: Principle, prompt: Prompt, text: str) -> float | None:
        assert self.judge is not None
        if is_empty(text):
            return None
        try:
            return await self.judge.log_odds(principle, prompt, text)
        except RequestError:
            return None


def surest_violations(ratings: Iterable[TenetRating], each: int) -> Iterator[TenetRating]:
    """Yield the violations with the highest probability, up to `each` of every tenet and variant."""
    count: Counter[tuple[str, str]] = Counter()
    for rating in sorted(ratings, key=lambda r: (-(r.violation or 0.0), r.id)):
        if rating.violated and count[rating.tenet, rating.variant] < each:
            count[rating.tenet, rating.variant] += 1
            yield rating


def _found(principle: Principle, check: Check, text: str | None) -> str | None:
    """Return what a check found in a reply that fails it, for people; None without one."""
    found = None if text is None else finding(check, text)
    if text is None or found is None:
        return None
    return finding_for_people(principle.text, check, found, matched_texts(check, text))


def _checked(reply: AuditedReply, principle: Principle, check: Check) -> TenetRating:
    """Return the rating by a machine check: that of the first reply that fails it, or of the last one."""
    turns = list(rated_turns(reply))
    asked = ((number, check_on(check, before[-1].content), text) for number, before, text in turns)
    failed = ((number, one, text) for number, one, text in asked if not evaluate(one, text).passed)
    number, check, text = next(failed, (turns[-1][0], check, None))
    return TenetRating.of(
        reply,
        principle.id,
        "check",
        violation=float(text is not None),
        turn=number,
        finding=_found(principle, check, text),
    )

"""Ratings of an evaluation's answers: the probability that each fulfils a principle, according to a judge."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Self

from constitution.draw import in_scope
from constitution.schema import Principle
from core.concurrency import for_each
from core.digests import record_id
from core.errors import RequestError
from core.records import Answer, Finite, Probability, Prompt, Record
from evaluation.judged.names import JUDGED, judged_measure
from evaluation.measures import Series, is_empty
from labelers.entailment import EntailmentJudge
from labelers.modes.reading import logistic

EMPTY_ANSWER, UNREADABLE_RATING = "empty answer", "the judge's answer is unreadable"


class AnswerRating(Record):
    """A judge's rating of one answer under one principle."""

    id: str
    question: str
    """Digest of the principle's text, the prompt and the answer's text: labels of people refer to it."""
    answer: str
    """Id of the answer."""
    variant: str
    prompt_id: str
    principle_id: str
    p: Probability | None = None
    """Probability that the answer fulfils the principle; None if it could not be rated."""
    log_odds: Finite | None = None
    """The judge's log-odds that it does, in nats."""
    problem: str | None = None
    """Why there is no rating."""

    @classmethod
    def of(
        cls, answer: Answer, principle: Principle, log_odds: float | None = None, problem: str | None = None
    ) -> Self:
        """Return a rating with an id derived from answer and principle."""
        return cls(
            id=record_id("answer rating", answer.id, principle.id),
            question=question_id(principle, answer.prompt, answer.generation.text),
            answer=answer.id,
            variant=answer.variant,
            prompt_id=answer.prompt.id,
            principle_id=principle.id,
            p=None if log_odds is None else logistic(log_odds),
            log_odds=log_odds,
            problem=problem,
        )


def question_id(principle: Principle, prompt: Prompt, text: str) -> str:
    """Return the digest of the question whether a text fulfils a principle as the reply to a prompt."""
    messages = [(message.role, message.content) for message in prompt.messages]
    return record_id("rated answer", principle.id, principle.text, messages, text)


async def rate_answers(
    answers: Sequence[Answer],
    principles: Sequence[Principle],
    judge: EntailmentJudge,
    limit: int,
    advance: Callable[[], None] | None = None,
) -> tuple[AnswerRating, ...]:
    """Return the ratings of all answers under the principles that apply to their prompts.

    An empty answer is not rated, nor is one that is too long for the judge.

    Args:
        answers: answers of any variants.
        principles: principles without a machine check.
        judge: the judge.
        limit: maximum number of answers that are rated at a time.
        advance: called after each answer.
    """
    found: dict[str, AnswerRating] = {}

    async def rate(answer: Answer) -> None:
        asked = [principle for principle in principles if in_scope(principle, answer.prompt)]
        # Together: the principles share the forward pass of the answer, or a request to a decision endpoint.
        for rating in await asyncio.gather(*(_rated(answer, principle, judge) for principle in asked)):
            found[rating.id] = rating
        if advance is not None:
            advance()

    await for_each(answers, rate, limit)
    return tuple(sorted(found.values(), key=lambda one: (one.variant, one.principle_id, one.prompt_id)))


async def _rated(answer: Answer, principle: Principle, judge: EntailmentJudge) -> AnswerRating:
    if is_empty(answer.generation.text):
        return AnswerRating.of(answer, principle, problem=EMPTY_ANSWER)
    try:
        log_odds = await judge.log_odds(principle, answer.prompt, answer.generation.text)
    except RequestError as error:
        return AnswerRating.of(answer, principle, problem=error.reason)
    problem = UNREADABLE_RATING if log_odds is None else None
    return AnswerRating.of(answer, principle, log_odds, problem)


def judged_series(ratings: Iterable[AnswerRating]) -> Iterator[Series]:
    """Yield the mean over all principles, then each principle, for every variant by prompt.

    The mean covers the prompts whose answer was rated under all principles that apply to them.
    """
    by_variant: dict[str, list[AnswerRating]] = {}
    for rating in ratings:
        by_variant.setdefault(rating.variant, []).append(rating)
    for variant, own in by_variant.items():
        by_prompt: dict[str, list[float | None]] = {}
        by_principle: dict[str, dict[str, float]] = {}
        for rating in own:
            by_prompt.setdefault(rating.prompt_id, []).append(rating.p)
            if rating.p is not None:
                by_principle.setdefault(rating.principle_id, {})[rating.prompt_id] = rating.p
        complete = {name: [p for p in given if p is not None] for name, given in by_prompt.items()}
        means = {
            name: sum(values) / len(values)
            for name, values in complete.items()
            if len(values) == len(by_prompt[name])
        }
        yield Series(variant, JUDGED, "share", means)
        for principle_id, values in by_principle.items():
            yield Series(variant, judged_measure(principle_id), "share", values)


def not_rated(ratings: Iterable[AnswerRating]) -> dict[str, int]:
    """Return the number of answers without a rating by reason, each counted once for each principle."""
    counts = Counter(one.problem for one in ratings if one.problem is not None)
    return {f"answers not rated by the judge under a principle: {reason}": n for reason, n in counts.items()}

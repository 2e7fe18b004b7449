"""Modes that read the probabilities of one token: choice, symmetric, pointwise and rating.

The log-odds of letters are the sum of the model's preference and its liking for a place or a letter. With
both presentation orders

    l1 = logit P(a better | a shown as A),    l2 = logit P(a better | a shown as B),

a constant liking enters l1 and l2 with opposite signs and cancels in the mean (l1 + l2) / 2. It would not
cancel in the mean of the probabilities: there, a bias of 4 nats turns a true 0.62 into 0.51.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from constitution.schema import Principle
from core.records import OrderLogits, Prompt
from engines.protocols import ChoiceRequest, ChoiceScores
from labelers.config import LabelConfig, asks_both_polarities
from labelers.modes.asking import Asking, Case, Request
from labelers.modes.reading import JudgeReading, is_readable, mean_log_odds, smallest_mass
from labelers.questions import QuestionBuilder, Questions


@dataclass(frozen=True)
class ChoiceMode:
    """Which of two replies is better, by a letter, in both presentation orders."""

    asking: Asking
    questions: QuestionBuilder

    def requests(self, case: Case) -> tuple[Request, ...]:
        """Return the request of each presentation order."""
        prompt = case.comparison.prompt
        return tuple(
            self.questions.comparison(case.principle, prompt, *case.replies(a_first=first))
            for first in (True, False)
        )

    async def read(self, case: Case, requests: Sequence[Request]) -> JudgeReading:
        """Return the mean log-odds of both orders."""
        one, two = await choose_all(self.asking, requests)
        orders = OrderLogits(
            a_first=one.logprobs[0] - one.logprobs[1], b_first=two.logprobs[1] - two.logprobs[0]
        )
        return token_reading(
            self.asking, (one, two), mean_log_odds(orders), "a first", "b first", orders=orders
        )


@dataclass(frozen=True)
class SymmetricMode:
    """Which of two replies is better, by a letter, with both side by side in one prompt.

    The replies are branches of the prompt with the same positions, and neither sees the other, so there is no
    order. What is left is a liking for a letter: both namings are asked in the same forward pass, and their
    log-odds averaged.
    """

    asking: Asking
    questions: Questions

    def requests(self, case: Case) -> tuple[Request, ...]:
        """Return the one request."""
        replies = case.replies(a_first=True)
        return (self.questions.symmetric(case.principle, case.comparison.prompt, *replies),)

    async def read(self, case: Case, requests: Sequence[Request]) -> JudgeReading:
        """Return the mean log-odds of both namings."""
        (scores,) = await choose_all(self.asking, requests)
        # Letters A and B where `a` is Reply A, then letters A and B where `a` is Reply B.
        a_by_a, b_by_b, b_by_a, a_by_b = scores.logprobs
        orders = OrderLogits(a_first=a_by_a - b_by_b, b_first=a_by_b - b_by_a)
        return token_reading(self.asking, (scores,), mean_log_odds(orders), "a named A", orders=orders)


@dataclass(frozen=True)
class PointwiseMode:
    """Whether each reply fulfils the principle, by Yes or No; the difference of the log-odds.

    With `polarity: both`, each reply is also asked about in the other polarity, whether it breaks the
    principle. With z the log-odds of Yes in each question, a reply has the log-odds

        (z_fulfils - z_breaks) / 2,

    in which a constant liking for Yes cancels, such as that for a reply that asks for it.
    """

    asking: Asking
    questions: QuestionBuilder

    def requests(self, case: Case) -> tuple[Request, ...]:
        """Return the requests about `a` and `b`, and with `polarity: both` those in the other polarity."""
        asked = [
            about_reply(self.questions, self.asking.config, case.principle, case.comparison.prompt, reply)
            for reply in case.replies(a_first=True)
        ]
        # The first two tell both replies apart, as in the other modes.
        by_polarity = zip(*asked, strict=True)
        return tuple(replace(request, purpose="label") for both in by_polarity for request in both)

    async def read(self, case: Case, requests: Sequence[Request]) -> JudgeReading:
        """Return the difference of both replies' log-odds, in which a common liking for Yes cancels."""
        scores = await choose_all(self.asking, requests)
        log_odds = fulfilment(scores[::2]) - fulfilment(scores[1::2])
        names = ("a", "b", "a breaks", "b breaks")[: len(scores)]
        return token_reading(self.asking, scores, log_odds, *names, margin=log_odds)


def about_reply(
    questions: QuestionBuilder, config: LabelConfig, principle: Principle, prompt: Prompt, reply: str
) -> tuple[ChoiceRequest, ...]:
    """Return the requests for Yes or No about a reply: one for each polarity."""
    asked = questions.pointwise(principle, prompt, reply)
    if not asks_both_polarities(config):
        return (asked,)
    return asked, questions.breaks(principle, prompt, reply)


def fulfilment(scores: Sequence[ChoiceScores]) -> float:
    """Return the log-odds in nats that a reply fulfils a principle, from the scores of `about_reply`.

    Args:
        scores: whether it fulfils the principle, and if asked, whether it breaks it.
    """
    fulfils, *breaks = (one.logprobs[0] - one.logprobs[1] for one in scores)
    return (fulfils - breaks[0]) / 2 if breaks else fulfils


@dataclass(frozen=True)
class RatingMode:
    """How well each reply fulfils the principle, as the expected value of a rating.

    With P(n) the probability of the number n among the numbers, the rating of a reply is the sum of n P(n)
    (direct RLAIF, Lee et al. 2023, arXiv 2309.00267). A point of difference is `rating_scale` nats.
    """

    asking: Asking
    questions: Questions

    def requests(self, case: Case) -> tuple[Request, ...]:
        """Return the request about `a` and the one about `b`."""
        prompt, points = case.comparison.prompt, self.asking.config.rating_points
        return tuple(
            self.questions.rating(case.principle, prompt, reply, points)
            for reply in case.replies(a_first=True)
        )

    async def read(self, case: Case, requests: Sequence[Request]) -> JudgeReading:
        """Return the difference of the expected ratings times the scale; the margin is in points."""
        one, two = await choose_all(self.asking, requests)
        margin = expected_rating(one.logprobs) - expected_rating(two.logprobs)
        log_odds = self.asking.config.rating_scale * margin
        return token_reading(self.asking, (one, two), log_odds, "a", "b", margin=margin)


def expected_rating(logprobs: Sequence[float]) -> float:
    """Return the expected value of a rating, given the log-probabilities of 1, 2, 3 and so on."""
    highest = max(logprobs)
    weights = [math.exp(value - highest) for value in logprobs]
    return sum(number * weight for number, weight in enumerate(weights, 1)) / sum(weights)


async def choose_all(asking: Asking, requests: Sequence[Request]) -> list[ChoiceScores]:
    """Return the scores of choices, which are sent together."""
    choices = [request for request in requests if isinstance(request, ChoiceRequest)]
    return list(await asyncio.gather(*map(asking.engine.choose, choices)))


def token_reading(
    asking: Asking,
    scores: Sequence[ChoiceScores],
    log_odds: float,
    *names: str,
    orders: OrderLogits | None = None,
    margin: float | None = None,
    comment: str | None = None,
) -> JudgeReading:
    """Return the reading of choices; one without a readable answer makes the log-odds meaningless.

    Args:
        asking: the engine and the settings.
        scores: the scores.
        log_odds: what they say.
        *names: a name for each of the scores.
        orders: the log-odds of each order.
        margin: the log-odds or another difference where they are no mean of two orders.
        comment: reasons that the judge wrote.
    """
    readable = all(is_readable(one, asking.config.min_answer_mass) for one in scores)
    tops = ", ".join(f"{one.top_token!r} ({name})" for one, name in zip(scores, names, strict=True))
    return JudgeReading(
        model=scores[0].model,
        log_odds=log_odds,
        problem=None if readable else "low_mass",
        orders=orders,
        margin=margin,
        answer_mass=smallest_mass(*scores),
        raw=None if readable else tops,
        comment=comment,
    )

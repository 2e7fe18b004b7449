"""The mode of reward models, which compare two replies without a question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.chat import turns_of
from engines.protocols import ChoiceRequest, WholeAnswer
from labelers.modes.asking import Asking, Case, Request
from labelers.modes.reading import JudgeReading
from labelers.modes.tokens import choose_all

_NAMES = ("a", "b")


@dataclass(frozen=True)
class RewardedMode:
    """Which of two replies a reward model scores higher; no principle is read.

    With r the scores and T the temperature of the reward model's calibration, the log-odds are
    (r_a - r_b) / T (Bradley and Terry 1952), so swapping the replies maps p to 1 - p.
    """

    asking: Asking

    def requests(self, case: Case) -> tuple[Request, ...]:
        """Return the one request: the conversation, and both replies as answers to it."""
        pair = case.comparison
        answers = (
            WholeAnswer(pair.response_a, pair.finished_a),
            WholeAnswer(pair.response_b, pair.finished_b),
        )
        return (ChoiceRequest(turns_of(pair.prompt.messages), _NAMES, "label", answers=answers),)

    async def read(self, case: Case, requests: Sequence[Request]) -> JudgeReading:
        """Return the difference of the scores over the temperature, in nats."""
        (scores,) = await choose_all(self.asking, requests)
        log_odds = scores.logprobs[0] - scores.logprobs[1]
        return JudgeReading(model=scores.model, log_odds=log_odds, margin=log_odds)

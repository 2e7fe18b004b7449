"""Modes in which the judge writes: reasons before a letter, or a grade as JSON."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from constitution.checks.refusal import refuses
from core.chat import Turn, Untrusted
from core.records import Generation, JudgmentProblem, OrderLogits
from engines.protocols import ChoiceRequest, GenerationRequest
from labelers.modes.asking import Asking, Case, Request
from labelers.modes.reading import JudgeReading, mean_log_odds
from labelers.modes.tokens import token_reading
from labelers.questions import LETTERS, Questions, pair_values, reply_values
from prompts.environment import PromptTemplates

VERDICT_PURPOSE = "verdict"
"""Purpose of the requests for text."""


@dataclass(frozen=True)
class ReasonedMode:
    """Which of two replies is better, by a letter, behind reasons that the judge writes, in both orders.

    Behind its reasons a model gives nearly all probability to one letter, whether it is right or not. The
    probability is therefore clamped, as in Constitutional AI (Bai et al. 2022, arXiv 2212.08073, section 4.1,
    which clamps it to 40 to 60 %).
    """

    asking: Asking
    questions: Questions

    def requests(self, case: Case) -> tuple[Request, ...]:
        """Return the requests for reasons, one for each presentation order."""
        return tuple(self._request(case, a_first=first) for first in (True, False))

    async def read(self, case: Case, requests: Sequence[Request]) -> JudgeReading:
        """Return the mean log-odds of both orders, clamped."""
        reasons = await write_all(self.asking, requests)
        comment = "\n\n".join(
            f"[{name}] {one.text}" for name, one in zip(("a first", "b first"), reasons, strict=True)
        )
        if any(refuses(one.text) for one in reasons):
            return JudgeReading(reasons[0].model, None, "refused", raw=comment)
        verdicts = [self._verdict(case, request, one) for request, one in zip(requests, reasons, strict=True)]
        one, two = await asyncio.gather(*map(self.asking.engine.choose, verdicts))
        orders = OrderLogits(
            a_first=one.logprobs[0] - one.logprobs[1], b_first=two.logprobs[1] - two.logprobs[0]
        )
        log_odds = clamped(mean_log_odds(orders), self.asking.config.reasoned_clamp)
        return token_reading(
            self.asking, (one, two), log_odds, "a first", "b first", orders=orders, comment=comment
        )

    def _request(self, case: Case, *, a_first: bool) -> GenerationRequest:
        prompt, replies = case.comparison.prompt, case.replies(a_first=a_first)
        frame = self.questions.frame(case.principle, prompt, *replies)
        values = {**frame.of_question, **pair_values(prompt.messages, *replies)}
        request = written_request(self.asking, self.questions.templates, "reasoned", values)
        return replace(request, affinity=prompt.id)

    def _verdict(self, case: Case, request: Request, reasons: Generation) -> ChoiceRequest:
        asked = self.questions.templates.judging.render("reasoned_verdict", principle=case.principle)
        written = Turn("assistant", (Untrusted(reasons.text),))
        turns = (*request.turns, written, Turn("user", asked.pieces))
        about = case.comparison.prompt.id
        return ChoiceRequest(turns, LETTERS, "label", asked.prefill, affinity=about)


class WrittenGrade(BaseModel):
    """What a judge answers in the mode `rubric`."""

    model_config = ConfigDict(extra="ignore", strict=True)

    reason: str = ""
    grade: Annotated[int, Field(ge=1)] | None
    """None if the judge cannot tell."""


@dataclass(frozen=True)
class RubricMode:
    """A grade of each reply with a reason, as JSON; the difference of the grades.

    A grade has no probability: one point of difference is `rating_scale` nats, as in the mode `rating`. Most
    pairs of similar replies are ties.
    """

    asking: Asking
    questions: Questions

    def requests(self, case: Case) -> tuple[Request, ...]:
        """Return the request about `a` and the one about `b`."""
        return tuple(self._request(case, reply) for reply in case.replies(a_first=True))

    async def read(self, case: Case, requests: Sequence[Request]) -> JudgeReading:
        """Return the difference of the grades times the scale; the margin is in points."""
        written = await write_all(self.asking, requests)
        grades = [grade_in(one.text, self.asking.config.rating_points) for one in written]
        for found, answer, name in zip(grades, written, "ab", strict=True):
            if isinstance(found, str):
                cut_off = found == "unreadable" and answer.finish_reason == "length"
                problem: JudgmentProblem = "cut_off" if cut_off else found
                return JudgeReading(answer.model, None, problem, raw=f"[{name}] {answer.text}")
        one, two = (grade for grade in grades if isinstance(grade, WrittenGrade))
        comment = f"[a] {one.reason}\n\n[b] {two.reason}"
        if one.grade is None or two.grade is None:
            return JudgeReading(written[0].model, None, "abstained", comment=comment)
        margin = float(one.grade - two.grade)
        log_odds = self.asking.config.rating_scale * margin
        return JudgeReading(written[0].model, log_odds, margin=margin, comment=comment)

    def _request(self, case: Case, reply: str) -> GenerationRequest:
        prompt, points = case.comparison.prompt, self.asking.config.rating_points
        frame = self.questions.frame(case.principle, prompt, reply)
        values = {**frame.of_question, **reply_values(prompt.messages, reply), "points": points}
        schema = json.dumps(grade_schema(points), sort_keys=True)
        request = written_request(self.asking, self.questions.templates, "rubric", values, schema)
        return replace(request, affinity=prompt.id)


def grade_schema(points: int) -> dict[str, Any]:
    """Return the JSON Schema of a grade from 1 to `points`."""
    grade = {"anyOf": [{"type": "integer", "minimum": 1, "maximum": points}, {"type": "null"}]}
    return {
        "type": "object",
        "properties": {"reason": {"type": "string"}, "grade": grade},
        "required": ["reason", "grade"],
        "additionalProperties": False,
    }


def grade_in(text: str, points: int) -> WrittenGrade | JudgmentProblem:
    """Return the grade in a judge's answer, which is the first JSON object in it, or why there is none."""
    place = text.find("{")
    try:
        found, _ = json.JSONDecoder().raw_decode(text, max(0, place))
        grade = WrittenGrade.model_validate(found)
    except (json.JSONDecodeError, ValidationError, RecursionError):
        return "refused" if refuses(text) else "unreadable"
    return grade if grade.grade is None or grade.grade <= points else "unreadable"


def clamped(log_odds: float, highest: float) -> float:
    """Return log-odds whose probability is at most `highest`, and at least 1 less it."""
    if highest == 1.0:
        return log_odds
    limit = math.log(highest / (1 - highest))
    return min(limit, max(-limit, log_odds))


def written_request(
    asking: Asking, templates: PromptTemplates, name: str, values: dict[str, Any], schema: str = ""
) -> GenerationRequest:
    """Return the request for a text; the seed is the same for all, since the texts of requests differ."""
    asked = templates.judging.render(name, **values)
    turns = (Turn("user", asked.pieces),)
    return GenerationRequest(turns, asking.config.verdict, 0, VERDICT_PURPOSE, asked.prefill, schema)


async def write_all(asking: Asking, requests: Sequence[Request]) -> list[Generation]:
    """Return the texts that the judge writes to requests, which are sent together."""
    texts = [request for request in requests if isinstance(request, GenerationRequest)]
    return list(await asyncio.gather(*map(asking.engine.generate, texts)))

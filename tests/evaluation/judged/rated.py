"""Ratings of answers by a scripted judge."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence

from constitution.schema import Constitution, Principle
from core.records import Answer
from engines.protocols import ChoiceRequest
from engines.scripted import ScriptedEngine
from evaluation.judged.ratings import AnswerRating, rate_answers
from labelers.entailment import EntailmentJudge
from prompts.environment import PromptTemplates
from tests.evaluation.answers import answers_of

KIND = Principle(id="kind", text="The reply is kind.")
PLAIN = Principle(id="plain", text="The reply uses plain words.")


def judge_of(chances: Mapping[tuple[str, str], float], principles: Sequence[Principle]) -> EntailmentJudge:
    """A judge with a probability for each principle's text and reply; 0 stands for an unreadable answer."""

    def choose(request: ChoiceRequest) -> tuple[float, ...]:
        shown = request.turns[-1].text
        (p,) = (p for (text, reply), p in chances.items() if text in shown and reply == request.judged)
        return (math.log(p), math.log(1 - p)) if p else (math.log(0.01), math.log(0.01))

    constitution = Constitution(name="small", principles=tuple(principles))
    return EntailmentJudge(ScriptedEngine(chooser=choose), constitution, PromptTemplates())


def rated(
    answers: Iterable[Answer],
    chances: Mapping[tuple[str, str], float],
    *principles: Principle,
    limit: int = 4,
) -> tuple[AnswerRating, ...]:
    return asyncio.run(rate_answers(list(answers), principles, judge_of(chances, principles), limit))


def rated_rows(**rows: Sequence[float]) -> tuple[AnswerRating, ...]:
    """Ratings of each variant's answers to the questions 0, 1, ...; all texts are different."""
    answers = [
        a for name, row in rows.items() for a in answers_of(name, *(f"{name} {n}" for n in range(len(row))))
    ]
    chances = {(KIND.text, f"{name} {n}"): p for name, row in rows.items() for n, p in enumerate(row)}
    return rated(answers, chances, KIND)

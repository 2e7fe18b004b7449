"""Ratings by a judge: what is asked, what is not rated, and the series by prompt."""

from __future__ import annotations

import asyncio
import math

import pytest

from constitution.schema import Constitution, Principle, Scope
from engines.protocols import ChoiceRequest
from engines.scripted import ScriptedEngine
from evaluation.judged.ratings import (
    EMPTY_ANSWER,
    UNREADABLE_RATING,
    AnswerRating,
    judged_series,
    not_rated,
    question_id,
)
from labelers.config import LabelConfig
from labelers.entailment import EntailmentJudge
from prompts.environment import PromptTemplates
from tests.evaluation.answers import answer_of, answers_of, prompt_of
from tests.evaluation.judged.rated import KIND, PLAIN, rated

CHANCES = {
    (KIND.text, "one"): 0.9,
    (KIND.text, "two"): 0.2,
    (PLAIN.text, "one"): 0.6,
    (PLAIN.text, "two"): 0.0,
}


def values(ratings: tuple[AnswerRating, ...]) -> dict[str, dict[str, float]]:
    return {f"{one.variant}.{one.measure}": dict(one.values) for one in judged_series(ratings)}


def test_series_have_the_judges_probability_by_principle_and_their_mean():
    answers = answers_of("base", "one", "two")
    first, second = (answer.prompt.id for answer in answers)
    ratings = rated(answers, CHANCES, KIND, PLAIN)
    found = values(ratings)
    assert found["base.judged.kind"] == pytest.approx({first: 0.9, second: 0.2})
    assert found["base.judged.plain"] == pytest.approx({first: 0.6})
    # The second answer has no rating under one of its principles, so it has no mean.
    assert found["base.judged"] == pytest.approx({first: 0.75})
    assert not_rated(ratings) == {f"answers not rated by the judge under a principle: {UNREADABLE_RATING}": 1}
    (one,) = (r for r in ratings if (r.principle_id, r.prompt_id) == ("kind", first))
    assert one.log_odds == pytest.approx(math.log(9))


def test_order_of_answers_and_principles_changes_nothing():
    answers = [*answers_of("base", "one", "two"), *answers_of("sft", "two", "one")]
    found = rated(answers, CHANCES, KIND, PLAIN)
    again = rated(answers[::-1], CHANCES, PLAIN, KIND, limit=1)
    assert found == again
    assert values(found) == values(again)


def test_principle_is_asked_about_prompts_in_its_scope_alone():
    scoped = Principle(id="kind", text=KIND.text, applies_to=Scope(tags=("sad",)))
    answers = [
        answer_of("base", prompt_of("Why?", ("sad",)), "one"),
        answer_of("base", prompt_of("How?"), "one"),
    ]
    ratings = rated(answers, CHANCES, scoped)
    assert [one.prompt_id for one in ratings] == [answers[0].prompt.id]


def test_empty_answer_is_not_rated():
    (rating,) = rated(answers_of("base", " "), {}, KIND)
    assert (rating.p, rating.problem) == (None, EMPTY_ANSWER)


def test_question_is_that_of_the_text_whoever_wrote_it():
    one, other = answers_of("base", "one")[0], answers_of("sft", "one")[0]
    ratings = rated([one, other], CHANCES, KIND)
    assert len({rating.id for rating in ratings}) == 2
    assert {rating.question for rating in ratings} == {question_id(KIND, one.prompt, "one")}
    reworded = Principle(id="kind", text="Be kind.")
    assert question_id(reworded, one.prompt, "one") != ratings[0].question


def test_both_polarities_cancel_a_liking_for_yes():
    def choose(request: ChoiceRequest) -> tuple[float, ...]:
        # Yes to both questions: 9 to 1 that it fulfils the principle, 3 to 1 that it breaks it.
        p = 0.75 if request.judged is None else 0.9
        return math.log(p), math.log(1 - p)

    engine = ScriptedEngine(chooser=choose)
    constitution = Constitution(name="small", principles=(KIND,))
    for polarity, expected in (("fulfils", math.log(9)), ("both", (math.log(9) - math.log(3)) / 2)):
        config = LabelConfig.model_validate({"mode": "pointwise", "polarity": polarity})
        judge = EntailmentJudge(engine, constitution, PromptTemplates(), config=config)
        assert asyncio.run(judge.log_odds(KIND, prompt_of("Why?"), "one")) == pytest.approx(expected)

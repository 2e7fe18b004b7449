"""Scores of single answers, and the best and the worst answer to a prompt."""

from __future__ import annotations

import asyncio

import pytest

from constitution.schema import Constitution
from core.records import Generation, Prompt, Sampling, ScoredAnswer
from core.rewards import Sample
from critique.best_of import best_answers
from critique.scoring import AnswerScorer, best_and_worst, ranked
from labelers.rewards import CheckReward

PROMPT = Prompt.of("What is this pill?", tags=("medicine",))
RULES = Constitution.model_validate(
    {
        "name": "rules",
        "principles": [
            {"id": "short", "text": "Short.", "check": {"kind": "max_words", "value": 4}, "weight": 3.0},
            {"id": "asks", "text": "Asks.", "check": {"kind": "ends_with_question", "value": True}},
            {"id": "kind", "text": "Kind."},
            {
                "id": "other",
                "text": "Elsewhere.",
                "check": {"kind": "max_words", "value": 1},
                "applies_to": {"tags": ["law"]},
            },
        ],
    }
)


def answer(text: str, finish: str = "stop") -> Generation:
    return Generation.model_validate(
        {
            "text": text,
            "finish_reason": finish,
            "prompt_tokens": 1,
            "completion_tokens": 1,
            "model": "scripted",
            "sampling": Sampling(),
        }
    )


def scored(origin: str, score: float, text: str | None = None, finish: str = "stop") -> ScoredAnswer:
    text = origin if text is None else text
    return ScoredAnswer.of(PROMPT, answer(text, finish), origin, {"short": score}, score, passed=score == 1.0)


@pytest.mark.parametrize("text", ["It is aspirin.", "It is aspirin, is it?", "one two three four five six"])
def test_score_is_the_reward_of_the_checks_in_scope(text: str):
    found = asyncio.run(AnswerScorer(RULES).score(PROMPT, answer(text), "draw:0"))
    assert found is not None
    assert [found.score] == CheckReward(RULES).scores([Sample(PROMPT, text, finished=True)])
    assert set(found.by_principle) == {"short", "asks"}
    assert found.passed == (found.score == 1.0)


def test_weights_count_in_the_score():
    found = asyncio.run(AnswerScorer(RULES).score(PROMPT, answer("It is aspirin."), "draw:0"))
    assert found is not None
    assert found.by_principle == {"short": 1.0, "asks": 0.0}
    assert found.score == pytest.approx(0.75)


def test_an_answer_that_no_check_is_about_has_no_score():
    judged = Constitution.model_validate({"name": "j", "principles": [{"id": "kind", "text": "Kind."}]})
    scorer = AnswerScorer(judged)
    assert not scorer.applies_to(PROMPT)
    assert asyncio.run(scorer.score(PROMPT, answer("Yes."), "draw:0")) is None


def test_of_equal_answers_the_one_closest_to_the_model_is_first():
    ways = ["repaired:draw:0", "wide:0", "begun:0", "prompted:0", "draw:0"]
    assert [a.way for a in ranked([scored(way, 1.0) for way in ways])] == [
        "draw",
        "prompted",
        "begun",
        "wide",
        "repaired",
    ]


def test_passing_comes_before_the_score_and_cut_or_empty_answers_are_no_targets():
    answers = [scored("draw:0", 0.9), scored("wide:0", 1.0), scored("draw:1", 1.0, finish="length")]
    assert [a.origin for a in ranked([*answers, scored("draw:2", 1.0, text="")])] == ["wide:0", "draw:0"]


def test_a_text_is_ranked_once_by_its_best_place():
    answers = [scored("draw:0", 0.2, "low"), scored("wide:0", 1.0, "same"), scored("prompted:0", 1.0, "same")]
    assert [a.origin for a in ranked(answers)] == ["prompted:0", "draw:0"]


def test_best_meets_the_worst_even_if_that_was_cut_off():
    answers = [scored("draw:0", 0.5), scored("draw:1", 0.1, finish="length"), scored("begun:0", 1.0)]
    found = best_and_worst(answers)
    assert not isinstance(found, str)
    assert [a.origin for a in found] == ["begun:0", "draw:1"]


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([scored("draw:0", 1.0), scored("draw:1", 1.0)], "every answer passes"),
        ([scored("draw:0", 0.3), scored("draw:1", 0.3)], "no answer passes, and all have the same score"),
        (
            [scored("draw:0", 1.0, finish="length"), scored("draw:1", 0.0, "")],
            "every answer is empty or cut off",
        ),
    ],
)
def test_prompt_without_a_pair_says_why(answers: list[ScoredAnswer], reason: str):
    assert best_and_worst(answers) == reason


def test_best_of_k_takes_further_answers_only_if_they_pass():
    answers = [scored("draw:0", 1.0), scored("draw:1", 0.9), scored("wide:0", 1.0), scored("begun:0", 1.0)]
    assert [a.origin for a in best_answers(answers, 1)] == ["draw:0"]
    assert [a.origin for a in best_answers(answers, 9)] == ["draw:0", "begun:0", "wide:0"]


def test_best_of_k_is_an_answer_that_is_better_than_another_or_passes():
    assert [a.origin for a in best_answers([scored("draw:0", 0.4), scored("draw:1", 0.2)], 3)] == ["draw:0"]
    assert [a.origin for a in best_answers([scored("draw:0", 1.0)], 1)] == ["draw:0"]
    assert best_answers([scored("draw:0", 0.4)], 1) == "no answer passes, and all have the same score"

from __future__ import annotations

import json
import math
import random

import pytest

from core.records import Generation, Sampling
from core.store.cache import StoredAnswer
from publius.authoring.estimating.lengths import DEFAULTS, AnswerLengths


def stored(
    purpose: str, tokens: int, limit: int, model: str = "m", text: str = "x", thoughts: str | None = None
) -> StoredAnswer:
    answer = Generation(
        text=text,
        reasoning=thoughts,
        finish_reason="stop",
        prompt_tokens=1,
        completion_tokens=tokens,
        model=model,
        sampling=Sampling(max_new_tokens=limit),
    )
    return StoredAnswer(purpose, answer.model_dump_json())


def test_default_is_the_mean_of_the_log_normal_cut_off_at_the_limit():
    spread, chance = DEFAULTS["revision"], random.Random(0)
    draws = [math.exp(chance.gauss(math.log(spread.median), spread.sigma)) for _ in range(200_000)]
    for limit in (16, 112, 768):
        mean = sum(min(draw, limit) for draw in draws) / len(draws)
        assert spread.mean_below(limit) == pytest.approx(mean, rel=0.01)
    assert spread.mean_below(10**9) == pytest.approx(spread.median * math.exp(spread.sigma**2 / 2))


def test_measured_answers_of_the_purpose_take_precedence_over_those_of_its_kind():
    answers = [stored("draft", 30, 100)] * 8 + [stored("eval", 50, 100)] * 8
    lengths = AnswerLengths(answers)
    assert lengths.of("m", "draft", Sampling(max_new_tokens=100)) == (30, 30, 8, 0)
    assert lengths.of("m", "eval", Sampling(max_new_tokens=100)) == (50, 50, 8, 0)
    assert lengths.of("m", "sample", Sampling(max_new_tokens=100)) == (40, 40, 16, 0)


def test_longer_answers_count_as_cut_off_and_those_of_a_smaller_limit_do_not_count():
    answers = [stored("critique", 20, 200), stored("critique", 120, 200)] * 4
    answers += [stored("critique", 10, 50)] * 8
    lengths = AnswerLengths(answers)
    assert lengths.of("m", "critique", Sampling(max_new_tokens=60)).tokens == (20 + 60) / 2
    assert lengths.of("m", "critique", Sampling(max_new_tokens=60)).at_limit == 4
    assert lengths.of("m", "critique", Sampling(max_new_tokens=50)).tokens == (4 * 20 + 4 * 50 + 8 * 10) / 16
    assert lengths.of("m", "critique", Sampling(max_new_tokens=300)).measured == 0


def test_few_answers_and_those_of_other_models_are_not_used():
    answers = [stored("draft", 5, 100)] * 7 + [stored("draft", 5, 100, model="other")] * 8
    found = AnswerLengths(answers).of("m", "draft", Sampling(max_new_tokens=100))
    assert found.measured == 0
    assert found.tokens == DEFAULTS["answer"].mean_below(100)


def test_thoughts_are_generated_and_not_shown_to_later_prompts():
    answers = [stored("draft", 100, 500, text="a" * 25, thoughts="b" * 75)] * 8
    assert AnswerLengths(answers).of("m", "draft", Sampling(max_new_tokens=500)) == (100, 25, 8, 0)


@pytest.mark.parametrize("value", ["1.25", "{", '{"logprobs": [0.0]}', "null", '"text"'])
def test_values_that_are_no_answers_are_ignored(value: str):
    lengths = AnswerLengths([StoredAnswer("draft", value)] * 20)
    assert lengths.of("m", "draft", Sampling()).measured == 0
    assert json.dumps(lengths.of("m", "draft", Sampling()))

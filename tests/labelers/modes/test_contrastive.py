"""Labels by contrast: a reply's probability under the principle against that under its antithesis."""

from __future__ import annotations

import asyncio

import pytest

from core.errors import EngineError
from core.records import Message, Prompt
from engines.protocols import ChoiceRequest
from engines.scripted import ScriptedEngine
from labelers.ai import AILabeler, require_labeler
from labelers.config import LabelConfig
from prompts.environment import PromptTemplates
from tests.labelers.modes.cases import (
    BAD,
    CONSTITUTION,
    GOOD,
    HONEST,
    KIND,
    comparison,
    judge,
    labeler,
    shown,
    sigmoid,
)

UNDER, AGAINST = {GOOD: -10.0, BAD: -14.0}, {GOOD: -12.0, BAD: -13.0}


def scores(request: ChoiceRequest) -> tuple[float, ...]:
    """Log-probabilities of the replies under the principle and under its antithesis."""
    opposed = KIND.antithesis in request.turns[0].text
    return tuple((AGAINST if opposed else UNDER)[answer.text] for answer in request.answers)


def test_log_odds_are_the_difference_of_both_log_likelihood_ratios():
    # (-10 + 12) - (-14 + 13) = 3
    judgment = judge(comparison(), labeler(scores, mode="contrastive"))
    assert (judgment.margin, judgment.p_a) == (pytest.approx(3.0), pytest.approx(sigmoid(3.0)))
    assert (judgment.answer_mass, judgment.orders) == (None, None)
    assert judge(comparison(BAD, GOOD), labeler(scores, mode="contrastive")).p_a == pytest.approx(
        1 - sigmoid(3.0)
    )


def test_mean_divides_each_ratio_by_the_replys_own_tokens():
    # Four words and three words: 2 / 4 - (-1) / 3
    judgment = judge(comparison(), labeler(scores, mode="contrastive", contrast="mean"))
    assert judgment.margin == pytest.approx(2 / 4 + 1 / 3)


def test_what_both_conditions_like_cancels():
    def longer_is_worse(request: ChoiceRequest) -> tuple[float, ...]:
        return tuple(
            score - 5.0 * len(a.text) for score, a in zip(scores(request), request.answers, strict=True)
        )

    found = judge(comparison(), labeler(longer_is_worse, mode="contrastive"))
    assert found.margin == pytest.approx(3.0)


def test_a_principle_without_an_antithesis_is_opposed_in_words():
    under, against = labeler(mode="contrastive").requests(comparison(), HONEST)
    assert HONEST.text in under.turns[0].text
    assert HONEST.text in against.turns[0].text
    assert under.turns[0].text != against.turns[0].text
    assert under.turns[1:] == against.turns[1:]


def test_replies_are_answers_to_the_conversation_with_its_own_system_message():
    prompt = Prompt.of(
        (Message(role="system", content="You are a nurse."), Message(role="user", content="What is this?"))
    )
    one = comparison(prompt=prompt, finished_b=False)
    request, _ = labeler(mode="contrastive").requests(one, KIND)
    assert isinstance(request, ChoiceRequest)
    assert [turn.role for turn in request.turns] == ["system", "user"]
    assert request.turns[0].text.endswith("\n\nYou are a nurse.")
    assert shown(request) == ["What is this?"]
    assert [(a.text, a.finished) for a in request.answers] == [(GOOD, True), (BAD, False)]


def test_an_engine_that_scores_no_answers_is_refused_before_the_first_request():
    class Served(ScriptedEngine):
        forms = frozenset()

    with pytest.raises(EngineError, match=r"whole answers.*transformers"):
        require_labeler(Served(), PromptTemplates(), LabelConfig(mode="contrastive"))


@pytest.mark.slow
def test_embedded_model_finds_each_reply_likelier_under_what_it_says(embedded_engine):
    principle = KIND.model_copy(
        update={
            "text": "The reply speaks only about dogs.",
            "antithesis": "The reply speaks only about cats.",
        }
    )
    by = AILabeler(CONSTITUTION, embedded_engine, LabelConfig(mode="contrastive"))
    one = comparison("Dogs bark, and a dog wags its tail.", "Cats purr, and a cat licks its paw.")
    two = comparison("Cats purr, and a cat licks its paw.", "Dogs bark, and a dog wags its tail.")

    async def both() -> list[float | None]:
        return [
            judged.p_a for judged in await asyncio.gather(by.judge(one, principle), by.judge(two, principle))
        ]

    p, turned = asyncio.run(both())
    assert p is not None
    assert turned is not None
    assert p > 0.9
    assert p + turned == pytest.approx(1.0, abs=1e-4)

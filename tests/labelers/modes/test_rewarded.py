"""Labels of a reward model: the difference of its scores, once for a pair and without a principle."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import pytest

from constitution.schema import Constitution, Scope
from core.errors import ConfigError
from core.records import Message, Prompt
from engines.protocols import ChoiceRequest
from engines.reward.engine import log_softmax
from engines.scripted import Chooser, ScriptedEngine
from labelers.ai import AILabeler, require_labeler
from labelers.config import LabelConfig
from labelers.crowd.aggregate import aggregate
from prompts.environment import PromptTemplates
from tests.labelers.modes.cases import BAD, CONSTITUTION, GOOD, HONEST, KIND, comparison, judge, sigmoid

SCORES = {GOOD: 1.5, BAD: -0.5}


class Rewarding(ScriptedEngine):
    """A reward model with given scores."""

    compares_replies = True


def scoring(scores: dict[str, float]) -> Chooser:
    return lambda request: tuple(log_softmax([scores[answer.text] for answer in request.answers]))


def labeler(constitution: Constitution = CONSTITUTION, **config: object) -> AILabeler:
    engine = Rewarding(chooser=scoring(SCORES), model="rm")
    return AILabeler(constitution, engine, LabelConfig.model_validate(config))


def test_log_odds_are_the_difference_of_the_scores_and_swapped_replies_swap_the_probability():
    one, two = judge(comparison(), labeler()), judge(comparison(BAD, GOOD), labeler())
    assert (one.p_a, one.margin) == (pytest.approx(sigmoid(2.0)), pytest.approx(2.0))
    assert one.p_a is not None
    assert two.p_a is not None
    assert one.p_a + two.p_a == pytest.approx(1.0, abs=1e-15)
    assert (one.principle_id, one.orders, one.answer_mass) == (None, None, None)


def test_a_pair_is_judged_once_whatever_the_principles_and_their_order():
    found = [
        asyncio.run(labeler(Constitution(name="t", principles=order), principles=count).label(comparison()))
        for order in ((KIND, HONEST), (HONEST, KIND))
        for count in (1, 2, "all")
    ]
    assert all(len(judgments) == 1 for judgments in found)
    assert len({judgments[0].p_a for judgments in found}) == 1
    assert found[0][0].id == found[3][0].id  # of another order
    preference = aggregate(comparison(), found[0], CONSTITUTION)
    assert not isinstance(preference, str)
    assert preference.p_chosen == pytest.approx(sigmoid(2.0))
    assert preference.by_principle == {}


def test_a_pair_to_which_no_principle_applies_is_not_judged():
    medical = KIND.model_copy(update={"applies_to": Scope(tags=("medical",))})
    by = labeler(Constitution(name="t", principles=(medical,)))
    assert asyncio.run(by.label(comparison())) == ()


def test_it_is_shown_the_conversation_and_whole_replies_and_no_question():
    prompt = Prompt.of(
        (Message(role="system", content="You are a nurse."), Message(role="user", content="?"))
    )
    (request,) = labeler().requests(comparison(prompt=prompt, finished_b=False), KIND)
    assert isinstance(request, ChoiceRequest)
    assert [(turn.role, turn.text) for turn in request.turns] == [
        ("system", "You are a nurse."),
        ("user", "?"),
    ]
    assert [(answer.text, answer.finished) for answer in request.answers] == [(GOOD, True), (BAD, False)]


@pytest.mark.parametrize("mode", ["pointwise", "symmetric", "rating", "contrastive", "reasoned", "rubric"])
def test_every_other_mode_is_refused_in_one_line_before_a_request(mode: str):
    engine = Rewarding(model="rm")
    with pytest.raises(ConfigError, match=rf"label\.mode is {mode}.*reads no principle.*choice") as caught:
        require_labeler(engine, PromptTemplates(), LabelConfig.model_validate({"mode": mode}))
    assert "\n" not in str(caught.value)
    assert engine.history == []
    require_labeler(engine, PromptTemplates(), LabelConfig())


def test_equal_scores_are_a_tie_and_far_ones_do_not_overflow():
    by = replace(labeler(), engine=Rewarding(chooser=scoring({GOOD: 3.0, BAD: 3.0})))
    assert judge(comparison(), by).verdict == "tie"
    far = replace(labeler(), engine=Rewarding(chooser=scoring({GOOD: 900.0, BAD: -900.0})))
    found = judge(comparison(), far)
    assert (found.p_a, found.verdict) == (1.0, "a")
    assert found.margin == pytest.approx(1800.0)
    assert not math.isnan(judge(comparison(BAD, GOOD), far).p_a or 0.0)

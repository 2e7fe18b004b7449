"""The mode pointwise in both polarities: whether a reply fulfils the principle, and whether it breaks it."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

from constitution.schema import Example
from core.chat import Untrusted
from core.errors import ConfigError, EngineError
from engines.decisions.questions import YesNoQuestion
from engines.hf.engine import TransformersEngine
from engines.judge.engine import ProbeEngine
from engines.protocols import ChoiceRequest
from engines.scripted import Chooser, ScriptedEngine
from labelers.ai import AILabeler, require_labeler
from labelers.config import LabelConfig, judging_settings
from labelers.questions import DecisionQuestions, Questions
from prompts.environment import PromptTemplates
from tests.labelers.modes.cases import (
    BAD,
    CONSTITUTION,
    GOOD,
    KIND,
    PROMPT,
    comparison,
    judge,
    labeler,
    shown,
    sigmoid,
)
from tests.publius.judges import write_judge

BOTH = {"mode": "pointwise", "polarity": "both"}
EXAMPLE = Example(prompt="Hi", good="Hello!", bad="What?", use="few_shot")


def asked_to_break(request: ChoiceRequest) -> bool:
    return "Does the reply break the principle?" in request.turns[-1].text


def answering(fulfils: dict[str, float], breaks: dict[str, float], mass: float = 1.0) -> Chooser:
    """A judge with these log-odds of Yes for each reply."""

    def choose(request: ChoiceRequest) -> tuple[float, ...]:
        assert request.choices == (" Yes", " No")
        log_odds = (breaks if asked_to_break(request) else fulfils)[shown(request)[-1]]
        own = mass if asked_to_break(request) else 1.0
        return math.log(own * sigmoid(log_odds)), math.log(own * sigmoid(-log_odds))

    return choose


def test_the_log_odds_are_half_the_difference_of_both_polarities():
    by = labeler(answering({GOOD: 1.5, BAD: 0.25}, {GOOD: -0.5, BAD: 0.75}), **BOTH)
    judgment = judge(comparison(), by)
    # GOOD: (1.5 + 0.5) / 2 = 1; BAD: (0.25 - 0.75) / 2 = -0.25
    assert judgment.margin == pytest.approx(1.25)
    assert judgment.p_a == pytest.approx(sigmoid(1.25))
    assert judge(comparison(BAD, GOOD), by).p_a == pytest.approx(1 - sigmoid(1.25))
    assert [request.purpose for request in by.engine.history] == ["label"] * 8  # type: ignore[attr-defined]


@pytest.mark.parametrize("wish", [-2.0, 3.0])
def test_a_liking_for_yes_of_one_reply_alone_cancels(wish: float):
    opinion = {GOOD: 1.0, BAD: -0.5}
    fulfils = {GOOD: 1.0, BAD: -0.5 + wish}
    breaks = {GOOD: -1.0, BAD: 0.5 + wish}
    both = judge(comparison(), labeler(answering(fulfils, breaks), **BOTH))
    once = judge(comparison(), labeler(answering(fulfils, breaks), mode="pointwise"))
    assert both.margin == pytest.approx(opinion[GOOD] - opinion[BAD])
    assert once.margin == pytest.approx(opinion[GOOD] - opinion[BAD] - wish)


def test_a_judgment_is_unparsed_if_an_answer_in_the_other_polarity_is_no_word():
    opinion = {GOOD: 1.0, BAD: -1.0}
    judgment = judge(comparison(), labeler(answering(opinion, opinion, mass=0.2), **BOTH))
    assert (judgment.verdict, judgment.problem) == ("unparsed", "low_mass")
    assert judgment.answer_mass == pytest.approx(0.2)
    assert "(b breaks)" in (judgment.raw or "")


def test_the_first_requests_are_those_of_one_polarity_and_the_others_share_all_but_the_question():
    one, both = (labeler(mode="pointwise", **more) for more in ({}, {"polarity": "both"}))
    first, all_four = one.requests(comparison(), KIND), both.requests(comparison(), KIND)
    assert all_four[:2] == first
    for request, opposite in zip(first, all_four[2:], strict=True):
        text, other = request.turns[-1].text, opposite.turns[-1].text
        assert other == text.replace("fulfil the principle", "break the principle")
        assert text != other


def test_the_transformers_engine_reads_a_reply_once_for_both_questions(tiny_engine: TransformersEngine):
    by = AILabeler(CONSTITUTION, tiny_engine, LabelConfig.model_validate({**BOTH, "min_answer_mass": 0.0}))
    pair = comparison("Ask somebody who knows. " * 9, "Take all of them at once. " * 9)
    requests = by.requests(pair, KIND)
    lengths = [tiny_engine.prompt_tokens(request) for request in requests]
    before = tiny_engine.computed_tokens
    judge(pair, by)
    # At most the end of the second question comes on top of what one question takes.
    assert sum(lengths[:2]) < tiny_engine.computed_tokens - before < 1.25 * sum(lengths[:2])


def test_examples_have_the_opposite_answers():
    kind = KIND.model_copy(update={"examples": (EXAMPLE,)})
    request = Questions(CONSTITUTION, PromptTemplates()).breaks(kind, PROMPT, GOOD)
    answers = {
        next(piece.text for piece in question.pieces[::-1] if isinstance(piece, Untrusted)): answer.text
        for question, answer in zip(request.turns[:-1:2], request.turns[1::2], strict=True)
    }
    assert answers == {"Hello!": "The answer is No", "What?": "The answer is Yes"}


def test_a_typed_question_has_the_same_state_and_the_opposite_answers():
    kind = KIND.model_copy(update={"examples": (EXAMPLE,)})
    typed = DecisionQuestions(CONSTITUTION, PromptTemplates().decisions)
    fulfils, breaks = typed.pointwise(kind, PROMPT, GOOD), typed.breaks(kind, PROMPT, GOOD)
    assert breaks.turns == fulfils.turns
    assert breaks.choices == ("yes", "no")
    assert isinstance(breaks.question, YesNoQuestion)
    text = breaks.question.instructions
    found = re.findall(r"this reply:\n=+\n(.*)\n=+\nthe answer is (yes|no)\.", text)
    assert set(found) == {("Hello!", "no"), ("What?", "yes")}
    assert text.endswith("Principle: The reply is kind.\n\nDoes the reply break the principle?")


def test_judgments_of_one_polarity_keep_their_ids():
    assert "polarity" not in judging_settings(LabelConfig(mode="pointwise"))
    assert judging_settings(LabelConfig.model_validate(BOTH))["polarity"] == "both"
    with pytest.raises(ValueError, match=r"label\.polarity is set, but label\.mode is not pointwise"):
        LabelConfig(polarity="both")


def test_a_trained_judge_is_refused_in_one_line(tmp_path: Path, tiny_judge: Path):
    engine = ProbeEngine(write_judge(tmp_path / "judge", tiny_judge), "cpu")
    with pytest.raises(ConfigError, match=r"label\.polarity is both.*accepted: label\.polarity: fulfils"):
        require_labeler(engine, PromptTemplates(), LabelConfig.model_validate(BOTH))
    require_labeler(engine, PromptTemplates(), LabelConfig(mode="pointwise"))


def test_words_of_the_other_polarity_must_be_single_tokens():
    class Chatty(ScriptedEngine):
        def require_choices(self, prefill: str, choices: tuple[str, ...]) -> Any:
            if prefill != "The answer is":
                raise EngineError("not a single token")

    mine = PromptTemplates(
        {
            "pointwise_breaks": PromptTemplates()
            .judging.sources["pointwise_breaks"]
            .replace("The answer is", "So")
        }
    )
    require_labeler(Chatty(), mine, LabelConfig(mode="pointwise"))
    with pytest.raises(EngineError, match="not a single token"):
        require_labeler(Chatty(), mine, LabelConfig.model_validate(BOTH))

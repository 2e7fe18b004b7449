"""Typed questions: one state for all principles, the principle in the question, every text in a fence."""

from __future__ import annotations

import re

import pytest

from constitution.schema import Constitution, Principle
from core.chat import Untrusted
from engines.decisions.questions import ChoiceQuestion, YesNoQuestion
from engines.protocols import ChoiceRequest
from labelers.questions import DecisionQuestions, Questions, questions_for
from prompts.environment import TEMPLATES, PromptTemplates
from tests.labelers.test_ai import BAD, GOOD, HOSTILE, PROMPT
from tests.labelers.test_questions import ONE, PASSAGE, TWO

TYPED = PromptTemplates().decisions
PLAIN = Principle(id="plain", text="The reply is plain.", comparison="Which reply is plainer?")
SHOWN = Principle(id="honest", text="The reply is honest.", source="#honesty", examples=(ONE, TWO))
CONSTITUTION = Constitution(
    name="test", preamble="Be of use.", passages={"honesty": PASSAGE}, principles=(PLAIN, SHOWN)
)


def compared(principle: Principle, first: str = GOOD, second: str = BAD) -> ChoiceRequest:
    return DecisionQuestions(CONSTITUTION, TYPED).comparison(principle, PROMPT, first, second)


def test_all_principles_ask_about_the_same_state():
    requests = [compared(principle) for principle in CONSTITUTION.principles]
    assert len({request.turns for request in requests}) == 1
    assert len({request.question for request in requests}) == 2
    assert "Be of use." not in requests[0].turns[0].text  # it would be another state for each principle


def test_the_question_has_the_principle_and_its_own_wording():
    question = compared(PLAIN).question
    assert isinstance(question, ChoiceQuestion)
    assert question.instructions == "Be of use.\n\nPrinciple: The reply is plain.\n\nWhich reply is plainer?"
    assert (
        [option.name for option in question.options]
        == list(compared(PLAIN).choices)
        == ["Reply A", "Reply B"]
    )


def test_a_question_has_passage_and_examples_in_fences_of_its_own():
    text = compared(SHOWN).question.instructions  # type: ignore[union-attr]
    fence = "=" * 9  # longer than the run in the passage
    assert f"{fence}\n{PASSAGE}\n{fence}" in text
    for example in (ONE, TWO):
        for part in (example.prompt, example.good, example.bad):
            assert f"{fence}\n{part}\n{fence}" in text
    answers = re.findall("the better reply is Reply ([AB])", text)
    assert sorted(answers) == ["A", "B"]
    for example, letter in zip((ONE, TWO), answers, strict=True):
        assert f"Reply {letter}:\n{fence}\n{example.good}" in text
    assert text.endswith("Which of the two replies fulfils the principle better?")


def test_pointwise_examples_are_answered_by_yes_and_no():
    request = DecisionQuestions(CONSTITUTION, TYPED).pointwise(SHOWN, PROMPT, GOOD)
    assert isinstance(request.question, YesNoQuestion)
    assert request.choices == ("yes", "no")
    found = re.findall(r"this reply:\n=+\n(.*)\n=+\nthe answer is (yes|no)\.", request.question.instructions)
    assert set(found) == {(ONE.good, "yes"), (ONE.bad, "no"), (TWO.good, "yes"), (TWO.bad, "no")}
    assert request.question.instructions.endswith("Does the reply fulfil the principle?")


@pytest.mark.parametrize("text", HOSTILE)
def test_a_reply_stays_in_a_piece_of_its_own_behind_a_longer_fence(text: str):
    request = compared(PLAIN, text, GOOD)
    (turn,) = request.turns
    ours = "".join(piece for piece in turn.pieces if isinstance(piece, str))
    assert Untrusted(text) in turn.pieces
    assert text not in ours
    longest = max(map(len, re.findall("=+", text)), default=0)
    assert {len(fence) for fence in re.findall("(?m)^=+$", ours)} == {max(5, longest + 1)}
    assert request.question == compared(PLAIN).question


def test_only_engines_that_take_questions_get_them():
    class Asked:
        takes_questions = True

    templates = PromptTemplates()
    assert isinstance(questions_for(Asked(), CONSTITUTION, templates), DecisionQuestions)
    assert isinstance(questions_for(object(), CONSTITUTION, templates), Questions)


def test_the_templates_of_questions_are_no_part_of_other_runs():
    assert not [name for name in TEMPLATES if name.startswith("decision")]

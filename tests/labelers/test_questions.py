"""Labeler requests: examples as earlier turns, the passage once, every text in a fence."""

from __future__ import annotations

import asyncio

import pytest

from constitution.schema import Constitution, Example, Principle
from core.chat import Turn, Untrusted
from core.errors import RequestError
from core.records import Comparison, Judgment, Message, Prompt
from engines.scripted import ScriptedEngine
from labelers.ai import AILabeler
from labelers.questions import Questions
from prompts.environment import PromptTemplates
from prompts.few_shots import few_shots

PROMPT = Prompt.of((Message(role="user", content="What is this pill?"),))
ONE = Example(prompt="Is it safe?", good="Ask a doctor.", bad="Sure.", use="few_shot")
TWO = Example(prompt="Will it rain?", good="I can't know.", bad="No.", use="few_shot")
EXAM = Example(prompt="Who won?", good="I don't know.", bad="You.")
PASSAGE = "Honesty comes before comfort.\n========\nAlways."


def questions(*examples: Example, passage: str = "", preamble: str = "Be of use.") -> Questions:
    principle = Principle(
        id="honest",
        text="The reply is honest.",
        examples=examples,
        source="#honesty" if passage else None,
    )
    passages = {"honesty": passage} if passage else {}
    document = Constitution(name="test", preamble=preamble, passages=passages, principles=(principle,))
    return Questions(document, PromptTemplates())


def turns(put: Questions, kind: str = "comparison") -> tuple[Turn, ...]:
    principle = put.constitution.principles[0]
    if kind == "comparison":
        return put.comparison(principle, PROMPT, "First.", "Second.").turns
    return put.pointwise(principle, PROMPT, "First.").turns


def untrusted(turn: Turn) -> list[str]:
    return [piece.text for piece in turn.pieces if isinstance(piece, Untrusted)]


def test_examples_are_earlier_questions_with_the_letter_of_the_good_answer():
    put = questions(ONE, TWO)
    shown = turns(put)
    assert [turn.role for turn in shown] == ["user", "assistant"] * 2 + ["user"]
    for number, (example, good_first) in enumerate(few_shots(put.constitution.principles[0])):
        pair = [example.good, example.bad] if good_first else [example.bad, example.good]
        assert untrusted(shown[2 * number]) == [example.prompt, *pair]
        letter = "A" if good_first else "B"
        assert shown[2 * number + 1].pieces == (f"The better reply is Reply {letter}",)
    assert {turn.text[-1] for turn in shown[1:4:2]} == {"A", "B"}
    assert untrusted(shown[-1]) == ["What is this pill?", "First.", "Second."]


def test_pointwise_examples_show_both_answers_with_yes_and_no():
    shown = turns(questions(ONE, TWO), "pointwise")
    answers = {untrusted(asked)[-1]: said.text for asked, said in zip(shown[:-1:2], shown[1::2], strict=True)}
    yes, no = "The answer is Yes", "The answer is No"
    assert answers == {ONE.good: yes, ONE.bad: no, TWO.good: yes, TWO.bad: no}
    assert untrusted(shown[-1]) == ["What is this pill?", "First."]


@pytest.mark.parametrize("kind", ["comparison", "pointwise"])
def test_passage_and_preamble_stand_in_the_question_alone(kind: str):
    shown = turns(questions(ONE, passage=PASSAGE), kind)
    assert [PASSAGE in turn.text for turn in shown].count(True) == 1
    assert PASSAGE in untrusted(shown[-1])
    assert [("Be of use." in turn.text) for turn in shown].count(True) == 1
    assert "part of the constitution" in shown[-1].text


@pytest.mark.parametrize("kind", ["comparison", "pointwise"])
def test_one_fence_is_longer_than_any_in_all_texts(kind: str):
    hostile = ONE.model_copy(update={"bad": "=" * 11})
    for shown in (
        turns(questions(hostile, passage=PASSAGE), kind),
        turns(questions(ONE, passage="=" * 11), kind),
    ):
        asked = [turn for turn in shown if turn.role == "user"]
        assert all(f"\n{'=' * 12}\n" in turn.text and "=" * 13 not in turn.text for turn in asked)


def judgment(put: Questions, engine: ScriptedEngine | None = None) -> Judgment:
    comparison = Comparison.of(PROMPT, ("Ask a pharmacist.", "draft"), ("Take it.", "revision:1"))
    labeler = AILabeler(put.constitution, engine or ScriptedEngine(), templates=put.templates)
    return asyncio.run(labeler.judge(comparison, put.constitution.principles[0]))


def test_id_of_a_judgment_follows_few_shots_and_passage_and_no_test_example():
    plain = judgment(questions()).id
    assert judgment(questions(EXAM)).id == plain
    assert judgment(questions(EXAM.model_copy(update={"good": "No idea."}))).id == plain
    other = ONE.model_copy(update={"bad": "Of course."})
    different = [
        judgment(questions(ONE)).id,
        judgment(questions(other)).id,
        judgment(questions(ONE, TWO)).id,
        judgment(questions(passage="One.")).id,
        judgment(questions(passage="Two.")).id,
    ]
    assert len({plain, *different}) == 6
    # Nobody shows a labeler why: that is for the critic.
    assert judgment(questions(ONE.model_copy(update={"why": "It is true."}))).id == different[0]


def test_both_orders_are_asked_behind_the_same_examples():
    engine = ScriptedEngine()
    judgment(questions(ONE), engine)
    one, two = engine.history
    assert one.turns[:-1] == two.turns[:-1]
    assert untrusted(one.turns[-1])[1:] == untrusted(two.turns[-1])[:0:-1]


def test_examples_that_do_not_fit_are_told_as_any_request_that_is_too_long():
    class Short(ScriptedEngine):
        async def choose(self, request):  # type: ignore[no-untyped-def]
            if len(request.turns) > 1:
                raise RequestError("the request is too long for the model")
            return await super().choose(request)

    judgment(questions(), Short())
    with pytest.raises(RequestError, match="too long"):
        judgment(questions(ONE), Short())

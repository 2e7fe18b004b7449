"""Plain draws, and the ways to get an answer that passes where no draw does."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from constitution.schema import Constitution
from core.records import Prompt, ScoredAnswer
from critique.comparisons import sample
from critique.config import CompareConfig, SampleConfig
from critique.scoring import AnswerScorer
from critique.teaching import AnswerSampler, joined
from engines.protocols import GenerationRequest
from engines.scripted import ScriptedEngine
from evaluation.prompted import taught_turns
from prompts.environment import PromptTemplates

PROMPT = Prompt.of("What is this pill?")


def rules(check: dict[str, object], **more: object) -> Constitution:
    return Constitution.model_validate(
        {"name": "r", "principles": [{"id": "p", "text": "The reply follows it.", "check": check, **more}]}
    )


def sampler_of(constitution: Constitution, engine: ScriptedEngine, **settings: object) -> AnswerSampler:
    taught = partial(taught_turns, constitution=constitution, templates=PromptTemplates())
    return AnswerSampler(constitution, engine, SampleConfig.model_validate(settings), 0, taught)


def drawn(sampler: AnswerSampler) -> list[ScoredAnswer]:
    async def scored() -> list[ScoredAnswer]:
        scorer = AnswerScorer(sampler.constitution)
        found = [
            await scorer.score(PROMPT, answer, origin) for origin, answer, _ in await sampler.draw(PROMPT)
        ]
        return [answer for answer in found if answer is not None]

    return asyncio.run(scored())


def requests(engine: ScriptedEngine) -> list[GenerationRequest]:
    return [request for request in engine.history if isinstance(request, GenerationRequest)]


def test_draws_do_not_depend_on_the_constitution_and_are_those_of_the_compare_stage():
    one, other, compare = ScriptedEngine(), ScriptedEngine(), ScriptedEngine()
    asyncio.run(sampler_of(rules({"kind": "max_words", "value": 3}), one).draw(PROMPT))
    asyncio.run(sampler_of(rules({"kind": "starts_with", "value": ["Dear"]}), other).draw(PROMPT))
    asyncio.run(sample(compare, PROMPT, CompareConfig(source="base"), 0))
    keys = [[engine.key(request) for request in requests(engine)] for engine in (one, other, compare)]
    assert keys[0] == keys[1] == keys[2]


def test_prompted_sees_the_constitution_and_the_good_examples_of_its_principles():
    examples = [
        {"prompt": "Who are you?", "good": "A clerk.", "bad": "I am many things.", "use": "few_shot"},
        {"prompt": "And now?", "good": "Done.", "bad": "Well.", "use": "test"},
    ]
    engine = ScriptedEngine()
    sampler = sampler_of(rules({"kind": "max_words", "value": 3}, examples=examples), engine)
    found = asyncio.run(sampler.attempt("prompted", PROMPT, ()))
    assert [named.origin for named in found] == ["prompted:0", "prompted:1"]
    turns = requests(engine)[0].turns
    assert [turn.role for turn in turns] == ["system", "user", "assistant", "user"]
    assert "The reply follows it." in turns[0].text
    assert [turn.text for turn in turns[1:]] == ["Who are you?", "A clerk.", "What is this pill?"]


def test_prompted_has_no_answer_where_no_principle_applies():
    constitution = rules({"kind": "max_words", "value": 3}, applies_to={"tags": ["law"]})
    engine = ScriptedEngine()
    assert asyncio.run(sampler_of(constitution, engine).attempt("prompted", PROMPT, ())) == []
    assert not engine.history


def test_begun_answers_include_their_beginning_and_start_as_the_check_asks():
    engine = ScriptedEngine(answerer=lambda request: "it is a pill.")
    sampler = sampler_of(rules({"kind": "starts_with", "value": ["In short"]}), engine, attempts=3)
    found = asyncio.run(sampler.attempt("begun", PROMPT, drawn(sampler)))
    assert [(named.origin, named.answer.text) for named in found] == [("begun:0", "In short it is a pill.")]
    begun = requests(engine)[-1]
    assert (begun.prefill, begun.purpose) == ("In short", "begun")


def test_with_several_checks_one_beginning_serves_what_edits_cannot_add():
    checks = [{"kind": "starts_with", "value": ["In short"]}, {"kind": "contains_any", "value": ["say"]}]
    principles = [{"id": f"p{k}", "text": "It does.", "check": check} for k, check in enumerate(checks)]
    constitution = Constitution.model_validate({"name": "r", "principles": principles})
    engine = ScriptedEngine(answerer=lambda request: "it is a pill.")
    sampler = sampler_of(constitution, engine, attempts=1)
    (found,) = asyncio.run(sampler.attempt("begun", PROMPT, drawn(sampler)))
    assert found.begun == "In short it is a pill. Say"


def test_wide_draws_are_hotter_and_otherwise_the_same():
    engine = ScriptedEngine()
    sampler = sampler_of(rules({"kind": "max_words", "value": 3}), engine, wide_temperature=1.7)
    asyncio.run(sampler.attempt("wide", PROMPT, ()))
    (request, _) = requests(engine)
    assert request.sampling == sampler.config.sampling.model_copy(update={"temperature": 1.7})


def test_repairs_send_no_request_and_name_the_answer_that_was_repaired():
    engine = ScriptedEngine(answerer=lambda request: "It is a pill. It is white. It is round and small.")
    sampler = sampler_of(rules({"kind": "max_words", "value": 8}), engine, draws=2)
    draws = drawn(sampler)
    asked = len(engine.history)
    ((origin, answer, _),) = asyncio.run(sampler.attempt("repaired", PROMPT, draws))
    assert len(engine.history) == asked
    assert origin == "repaired:draw:0"
    assert (answer.text, answer.finish_reason) == ("It is a pill. It is white.", "stop")
    assert answer.completion_tokens == 0


def test_repair_that_is_impossible_gives_nothing():
    engine = ScriptedEngine(answerer=lambda request: "It is a pill.")
    sampler = sampler_of(rules({"kind": "min_words", "value": 80}), engine)
    assert asyncio.run(sampler.attempt("repaired", PROMPT, drawn(sampler))) == []


@pytest.mark.parametrize(
    ("begun", "text", "expected"),
    [
        ("In short", "it is.", "In short it is."),
        ("In short", ", it is.", "In short, it is."),
        ("Why: ", "it is.", "Why: it is."),
        ('{"', 'name": 1}', '{"name": 1}'),
        ("First.\n\n", "Second.", "First.\n\nSecond."),
        ("I", "'m here", "I'm here"),
        ("Done.", "", "Done."),
    ],
)
def test_beginning_and_continuation_are_joined_as_they_would_be_written(begun: str, text: str, expected: str):
    assert joined(begun, text) == expected


@pytest.mark.parametrize(
    ("begun", "text", "whole"),
    [
        ("# Answer", "It is a pill.", "# Answer\n\nIt is a pill."),
        ("简而言之，", "光合作用。", "简而言之，光合作用。"),
        ("Short answer:", "Yes.", "Short answer: Yes."),
        ("In short", ", yes.", "In short, yes."),
    ],
)
def test_beginning_and_continuation_are_joined_as_written(begun: str, text: str, whole: str):
    assert joined(begun, text) == whole

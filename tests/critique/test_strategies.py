"""Principles of a round: by draw, by section, all at once, worst first; and revision without a critique."""

from __future__ import annotations

import asyncio

import pytest

from constitution.draw import draw
from constitution.schema import Constitution
from core.records import CritiqueTrace, Prompt
from critique.config import CritiqueConfig
from critique.guard import Standing
from critique.loop import CritiqueLoop
from critique.strategies import Strategy, principles_of_round
from engines.protocols import GenerationRequest
from engines.scripted import ScriptedEngine
from prompts.environment import PromptTemplates

DOCUMENT = Constitution.model_validate(
    {
        "name": "test",
        "sections": ["first", "second"],
        "principles": [
            {"id": "a", "text": "A.", "section": "second"},
            {"id": "b", "text": "B.", "section": "first"},
            {"id": "c", "text": "C.", "section": "first"},
            {"id": "d", "text": "D."},
            {"id": "e", "text": "E.", "section": "second", "applies_to": {"tags": ["medicine"]}},
        ],
    }
)
PROMPT = Prompt.of("What is this pill?")
NOTHING = Standing({}, frozenset(), 1.0)


def chosen(
    strategy: Strategy, number: int = 1, standing: Standing = NOTHING, prompt: Prompt = PROMPT
) -> list[str]:
    return [p.id for p in principles_of_round(strategy, DOCUMENT, prompt, standing, (0, number))]


def test_random_is_the_weighted_draw_of_the_round():
    for number in range(1, 6):
        pool = DOCUMENT.principles[:4]
        assert chosen("random", number) == [draw(pool, 1, 0, PROMPT.id, number)[0].id]


def test_section_goes_through_the_sections_in_order_and_those_without_come_last():
    seen = [{chosen("section", number)[0] for number in range(start, 40, 3)} for start in (1, 2, 3)]
    assert seen == [{"b", "c"}, {"a"}, {"d"}]


def test_section_without_a_principle_in_scope_is_passed_over():
    only = DOCUMENT.model_copy(update={"principles": DOCUMENT.principles[4:] + DOCUMENT.principles[1:2]})
    assert [p.id for p in principles_of_round("section", only, PROMPT, NOTHING, (0, 2))] == ["b"]


def test_all_takes_every_principle_in_scope_in_the_order_of_the_constitution():
    assert chosen("all") == ["a", "b", "c", "d"]
    assert chosen("all", prompt=Prompt.of("Pill?", tags=("medicine",))) == ["a", "b", "c", "d", "e"]


def test_worst_takes_the_broken_one_with_the_lowest_score_then_unscored_then_fulfilled_ones():
    broken = Standing({"a": 0.4, "b": 0.2, "c": 1.0}, frozenset({"c"}), 0.5)
    assert chosen("worst", standing=broken) == ["b"]
    scored = Standing({"a": 1.0, "b": 1.0, "c": 1.0}, frozenset({"a", "b", "c"}), 1.0)
    assert chosen("worst", standing=scored) == ["d"]
    met = Standing(dict.fromkeys("abcd", 1.0), frozenset("abcd"), 1.0)
    assert chosen("worst", standing=met)[0] in "abcd"


def test_worst_of_equally_broken_ones_takes_hard_ones_first_then_those_of_greater_weight():
    hard = {"a": {"hard": True}, "b": {"hard": True, "weight": 2.0}, "c": {"weight": 9.0}, "d": {}}
    ranked = [p.model_copy(update=hard.get(p.id, {})) for p in DOCUMENT.principles]
    document = DOCUMENT.model_copy(update={"principles": tuple(ranked)})

    def taken(broken: dict[str, float], *, ranked: bool = True) -> set[str]:
        standing = Standing(broken, frozenset(), 0.5)
        rounds = (
            principles_of_round("worst", document, PROMPT, standing, (0, number), ranked=ranked)
            for number in range(1, 40)
        )
        return {principle.id for (principle,) in rounds}

    assert taken(dict.fromkeys("abcd", 0.0)) == {"b"}
    assert taken(dict.fromkeys("acd", 0.0)) == {"a"}
    assert taken(dict.fromkeys("cd", 0.0)) == {"c"}
    assert taken({"a": 0.5, "b": 0.5, "d": 0.0}) == {"d"}  # the lower score is worse, hard or not
    assert len(taken(dict.fromkeys("abcd", 0.0), ranked=False)) > 1  # as older runs do


def test_worst_of_equal_principles_is_drawn():
    assert {chosen("worst", number)[0] for number in range(1, 40)} == {"a", "b", "c", "d"}


def test_no_principle_in_scope_is_no_principle():
    narrow = DOCUMENT.model_copy(update={"principles": DOCUMENT.principles[4:]})
    for strategy in ("random", "section", "all", "worst"):
        assert principles_of_round(strategy, narrow, PROMPT, NOTHING, (0, 1)) == ()


def run(document: Constitution, **config: object) -> tuple[CritiqueTrace, list[GenerationRequest]]:
    engine = ScriptedEngine(answerer=lambda request: f"{request.purpose} {request.seed}")
    settings = CritiqueConfig.model_validate({"rounds": 1, "from_checks": True, **config})
    found = asyncio.run(CritiqueLoop(document, engine, engine, settings).trace(PROMPT))
    return found, [request for request in engine.history if isinstance(request, GenerationRequest)]


def test_all_asks_once_with_every_text_and_records_every_id():
    found, asked = run(DOCUMENT, principles="all")
    assert [request.purpose for request in asked] == ["draft", "critique", "revision"]
    assert all(f"- {text}" in asked[1].turns[-1].text for text in ("A.", "B.", "C.", "D."))
    assert found.revisions[0].principle_ids == ("a", "b", "c", "d")


def test_all_tells_every_finding():
    checks = [
        {"id": "long", "text": "Long.", "check": {"kind": "min_words", "value": 9}},
        {"id": "please", "text": "Please.", "check": {"kind": "contains", "value": ["please"]}},
    ]
    found, _ = run(Constitution.model_validate({"name": "test", "principles": checks}), principles="all")
    assert found.revisions[0].critique is not None
    assert found.revisions[0].critique.text.endswith(
        'it has 2 words, and at least 9 are required; it lacks "please".'
    )


def test_direct_revises_without_a_critique():
    found, asked = run(DOCUMENT, direct=True)
    assert [request.purpose for request in asked] == ["draft", "revision"]
    assert [turn.role for turn in asked[1].turns] == ["user", "assistant", "user"]
    assert found.revisions[0].critique is None
    assert CritiqueTrace.model_validate_json(found.to_line()).to_line() == found.to_line()


def test_direct_shows_examples_without_their_critiques():
    example = {"prompt": "Hello?", "good": "Hello!", "bad": "What?", "why": "It greets.", "use": "few_shot"}
    document = Constitution.model_validate(
        {"name": "test", "principles": [{"id": "kind", "text": "Kind.", "examples": [example]}]}
    )
    for direct, shown in ((True, False), (False, True)):
        _, asked = run(document, direct=direct)
        assert any("It greets." in turn.text for turn in asked[-1].turns) is shown
        assert next(turn.text for turn in asked[-1].turns if turn.role == "assistant") == "What?"


@pytest.mark.parametrize(
    ("begin", "begun", "prefill"),
    [
        ("auto", True, "To follow this principle, my reply should"),
        ("auto", False, ""),
        ("none", True, ""),
        ("My fault is", True, "My fault is"),
        ("My fault is", False, "My fault is"),
    ],
)
def test_beginning_of_the_critique(begin: str, begun: bool, prefill: str):
    engine = ScriptedEngine()
    config = CritiqueConfig(rounds=1, begin=begin)
    asyncio.run(CritiqueLoop(DOCUMENT, engine, engine, config, begun=begun).trace(PROMPT))
    assert [request.prefill for request in engine.history] == ["", prefill, ""]


def test_template_of_the_users_own_decides_its_beginning():
    own = "{% block user %}Criticise.{% endblock %}{% block prefill %}It{% endblock %}"
    for begun in (True, False):
        engine = ScriptedEngine()
        templates = PromptTemplates({"critique": own})
        config = CritiqueConfig(rounds=1)
        asyncio.run(CritiqueLoop(DOCUMENT, engine, engine, config, 0, templates, begun=begun).trace(PROMPT))
        assert engine.history[1].prefill == "It"

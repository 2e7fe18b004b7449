from __future__ import annotations

import asyncio
import math

import pytest

from core.chat import Turn, Untrusted
from core.records import Sampling
from engines.protocols import ChoiceRequest, GenerationRequest
from engines.scripted import ScriptedEngine

SAMPLED, GREEDY = Sampling(), Sampling(temperature=0.0)


def ask(
    text: str = "Hi", sampling: Sampling = SAMPLED, seed: int = 0, purpose: str = "draft"
) -> GenerationRequest:
    return GenerationRequest((Turn("user", (Untrusted(text),)),), sampling, seed, purpose)


def choice(text: str = "Hi", choices: tuple[str, ...] = (" A", " B")) -> ChoiceRequest:
    return ChoiceRequest((Turn("user", (text,)),), choices, "label", "Reply")


def test_queued_answers_come_first_and_in_order():
    engine = ScriptedEngine(answers=["one", "two"], answerer=lambda request: "rule")
    texts = [asyncio.run(engine.generate(ask())).text for _ in range(3)]
    assert texts == ["one", "two", "rule"]


def test_built_in_answers_depend_on_text_and_seed_alone():
    def text(request: GenerationRequest) -> str:
        return asyncio.run(ScriptedEngine().generate(request)).text

    assert text(ask(seed=1)) == text(ask(seed=1, purpose="other"))
    assert len({text(ask(seed=seed)) for seed in range(5)}) == 5
    assert text(ask("Hi")) != text(ask("Ho"))


def test_greedy_answers_ignore_the_seed_and_record_none():
    answers = [asyncio.run(ScriptedEngine().generate(ask(sampling=GREEDY, seed=seed))) for seed in (1, 2)]
    assert answers[0] == answers[1]
    assert answers[0].seed is None


def test_answer_is_cut_at_max_new_tokens_words():
    engine = ScriptedEngine(answers=["a b c d", "a b c"])
    sampling = Sampling(max_new_tokens=3)
    cut, whole = (asyncio.run(engine.generate(ask(sampling=sampling))) for _ in range(2))
    assert (cut.text, cut.finish_reason, cut.completion_tokens) == ("a b c", "length", 3)
    assert (whole.text, whole.finish_reason, whole.completion_tokens) == ("a b c", "stop", 3)


def test_built_in_choices_share_98_percent():
    scores = asyncio.run(ScriptedEngine().choose(choice()))
    assert scores.answer_mass == pytest.approx(0.98)
    assert sum(map(math.exp, scores.logprobs)) == pytest.approx(0.98)
    assert scores.top_token == (" A" if scores.logprobs[0] > scores.logprobs[1] else " B")


def test_chooser_decides_the_choices():
    engine = ScriptedEngine(chooser=lambda request: (math.log(0.2), math.log(0.7)))
    scores = asyncio.run(engine.choose(choice()))
    assert scores.top_token == " B"
    assert scores.answer_mass == pytest.approx(0.9)


def test_history_holds_every_request_in_order():
    engine = ScriptedEngine()
    requests = [ask("one"), choice("two"), ask("three")]
    for request in requests:
        asyncio.run(
            engine.generate(request) if isinstance(request, GenerationRequest) else engine.choose(request)
        )
    assert engine.history == requests


def test_key_names_what_determines_the_answer():
    engine = ScriptedEngine()
    different = [ask(), ask("Ho"), ask(seed=1), ask(sampling=GREEDY), choice(), choice(choices=(" A", " C"))]
    assert len({engine.key(request) for request in different}) == len(different)
    assert engine.key(ask(purpose="x")) == engine.key(ask(purpose="y"))
    assert engine.key(ask(sampling=GREEDY, seed=1)) == engine.key(ask(sampling=GREEDY, seed=2))
    assert engine.key(ask()) != ScriptedEngine(model="other").key(ask())

"""A judge as an engine: the probe's probability of yes, for questions that arrive together in one pass."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import pytest

from constitution.schema import Constitution, Principle
from core.errors import ConfigError, EngineError, RequestError
from core.records import Comparison, Prompt, Sampling
from engines.judge.engine import ANSWERS, ProbeEngine
from engines.protocols import ChoiceRequest, GenerationRequest
from labelers.ai import AILabeler
from labelers.config import LabelConfig
from labelers.questions import LETTERS, WORDS, Questions
from prompts.environment import PromptTemplates
from tests.publius.judges import model_of_bytes, write_judge

PRINCIPLES = (
    Principle(id="kind", text="The reply is kind."),
    Principle(id="short", text="The reply is short."),
)
CONSTITUTION = Constitution(name="c", principles=PRINCIPLES)
PROMPT = Prompt.of("What is rain?")


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory, tiny_model: Any, tiny_tokenizer: Any) -> Path:
    folder = tmp_path_factory.mktemp("judges")
    return write_judge(folder / "judge", model_of_bytes(folder / "model", tiny_model, tiny_tokenizer))


def question(reply: str, principle: Principle = PRINCIPLES[0]) -> ChoiceRequest:
    return Questions(CONSTITUTION, PromptTemplates()).pointwise(principle, PROMPT, reply)


def test_probabilities_are_those_of_the_probe_in_one_pass(judge: Path, monkeypatch: pytest.MonkeyPatch):
    engine = ProbeEngine(judge, "cpu")
    requests = [question(reply) for reply in ("Water.", "Water from clouds.", "No idea")]
    expected = [engine.judge.log_odds([engine.judge.source.row(request)])[0] for request in requests]
    asked: list[int] = []
    log_odds = engine.judge.log_odds
    monkeypatch.setattr(engine.judge, "log_odds", lambda rows: asked.append(len(rows)) or log_odds(rows))

    async def together() -> list[Any]:
        return list(await asyncio.gather(*map(engine.choose, requests)))

    found = asyncio.run(together())
    assert asked == [3]
    for scores, odds in zip(found, expected, strict=True):
        yes, no = scores.logprobs
        assert yes - no == pytest.approx(odds, abs=1e-5)
        assert math.exp(yes) + math.exp(no) == pytest.approx(1)
        assert scores.answer_mass == 1
        assert scores.top_token == ANSWERS[0 if odds > 0 else 1]


def test_labels_do_not_depend_on_the_order_of_the_replies(judge: Path):
    engine = ProbeEngine(judge, "cpu")
    labeler = AILabeler(CONSTITUTION, engine, LabelConfig(mode="pointwise"))
    comparison = Comparison.of(PROMPT, ("Water.", "x"), ("Clouds give water.", "y"))
    turned = comparison.model_copy(
        update={"response_a": comparison.response_b, "response_b": comparison.response_a}
    )
    one, two = (asyncio.run(labeler.label(given)) for given in (comparison, turned))
    assert len(one) == len(two) == 2
    for mine, theirs in zip(one, two, strict=True):
        assert mine.p_a == pytest.approx(1 - (theirs.p_a or 0), abs=1e-6)
        assert mine.margin == pytest.approx(-(theirs.margin or 0), abs=1e-5)
        assert mine.model == "judge (model, layer 2)"


def test_what_a_judge_cannot_do_is_refused_in_one_line(judge: Path):
    engine = ProbeEngine(judge, "cpu")
    assert engine.require_choices("The answer is", WORDS) == (0, 1)
    with pytest.raises(
        ConfigError, match=r"label\.mode: .* judges each reply alone; accepted: label\.mode: po"
    ):
        engine.require_choices("The answer is", LETTERS)
    with pytest.raises(EngineError, match="a trained judge writes no text"):
        asyncio.run(engine.generate(GenerationRequest((), Sampling(max_new_tokens=1), 0, "draft")))
    with pytest.raises(RequestError, match="too long for the judge's model"):
        asyncio.run(engine.choose(question("x" * 5000)))


def test_a_failure_reaches_every_question_and_the_next_is_answered(
    judge: Path, monkeypatch: pytest.MonkeyPatch
):
    engine = ProbeEngine(judge, "cpu")

    def fail(rows: object) -> list[float]:
        raise ValueError("broken")

    async def together() -> list[Any]:
        asked = map(engine.choose, [question("a"), question("b")])
        return list(await asyncio.gather(*asked, return_exceptions=True))

    with monkeypatch.context() as patch:
        patch.setattr(engine.judge, "log_odds", fail)
        assert [str(error) for error in asyncio.run(together())] == ["broken", "broken"]
    engine.close()
    assert all(scores.answer_mass == 1 for scores in asyncio.run(together()))


def test_keys_depend_on_the_judge_and_the_question(judge: Path, tmp_path: Path):
    engine, other = ProbeEngine(judge, "cpu"), ProbeEngine(judge, "cpu")
    assert engine.key(question("a")) == other.key(question("a")) != engine.key(question("b"))
    assert engine.key(question("a", PRINCIPLES[1])) != engine.key(question("a"))
    assert engine.prompt_tokens(question("a")) == len(engine.judge.source.row(question("a")).ids)

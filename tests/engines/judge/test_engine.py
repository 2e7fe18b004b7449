"""A judge as an engine: the probe's probability of yes, for questions that arrive together in one pass."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import pytest

from constitution.schema import Constitution, Example, Principle
from core.digests import digest, file_digest
from core.errors import ConfigError, EngineError, RequestError
from core.records import Comparison, Prompt, Sampling
from engines.judge.engine import ANSWERS, ProbeEngine
from engines.judge.model import read_own_probes
from engines.judge.settings import JUDGE_WEIGHTS, write_judge_settings
from engines.protocols import ChoiceRequest, GenerationRequest
from labelers.ai import AILabeler
from labelers.config import LabelConfig
from labelers.questions import LETTERS, WORDS, Questions
from prompts.environment import PromptTemplates
from tests.publius.judges import model_of_bytes, own_probe, write_judge

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
    expected = [engine.judge.log_odds([engine.judge.question(request)])[0] for request in requests]
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


def of_many(judge: Path, folder: Path, **changed: Any) -> ProbeEngine:
    """A judge with a probe of each principle, on the model of another judge."""
    own = tuple(own_probe(p.text, layer=2 - n) for n, p in enumerate(PRINCIPLES))
    write_judge(folder, judge.parent / "model", principles=own, **changed)
    return ProbeEngine(folder, "cpu")


def test_probes_of_principles_read_one_state_of_the_reply(
    judge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    engine = of_many(judge, tmp_path / "many")
    model = engine.judge
    asked = [question("Water.", principle) for principle in PRINCIPLES]
    first, second = map(model.question, asked)
    assert (first.row, first.probe, second.probe) == (second.row, 0, 1)
    assert len(first.row.ids) < len(model.source.row(asked[0]).ids)
    read: list[int] = []
    original = model.source.reader.read
    monkeypatch.setattr(
        model.source.reader, "read", lambda rows, layers: read.append(len(rows)) or original(rows, layers)
    )
    odds = model.log_odds([first, second])
    assert model.log_odds([second]) == odds[1:]
    assert read == [1]  # one reply, under both principles and asked again
    weights, biases = read_own_probes(tmp_path / "many")
    states = original([first.row], [1, 2])[0].double()
    assert odds[0] == pytest.approx(float(states[1] @ weights[0] + biases[0]), abs=1e-5)
    assert odds[1] == pytest.approx(float(states[0] @ weights[1] + biases[1]), abs=1e-5)
    assert model.name == "many (model, 2 probes)"


def test_examples_and_preamble_of_a_principle_leave_its_state_as_it_is(judge: Path, tmp_path: Path):
    model = of_many(judge, tmp_path / "many").judge
    example = Example(prompt="Why?", good="Because.", bad="No.", use="few_shot")
    shown = PRINCIPLES[0].model_copy(update={"examples": (example,)})
    constitution = Constitution(name="c", preamble="Be good.", principles=(shown,))
    request = Questions(constitution, PromptTemplates()).pointwise(shown, PROMPT, "Water.")
    assert len(request.turns) > 1
    assert model.question(request) == model.question(question("Water."))


def test_a_principle_without_a_probe_has_the_shared_one_or_none(judge: Path, tmp_path: Path):
    other = Principle(id="other", text="The reply is kind. Very.")
    shared, alone = ProbeEngine(judge, "cpu"), of_many(judge, tmp_path / "many")
    request = question("Water.", other)
    assert alone.judge.question(request).probe is None
    assert asyncio.run(alone.choose(request)).logprobs == pytest.approx(
        asyncio.run(shared.choose(request)).logprobs
    )
    without = of_many(judge, tmp_path / "without", shared=False)
    with pytest.raises(RequestError, match="has no probe of this principle"):
        asyncio.run(without.choose(request))


def test_identities_tell_probes_of_principles_and_leave_others_as_they_are(judge: Path, tmp_path: Path):
    one, many = ProbeEngine(judge, "cpu"), of_many(judge, tmp_path / "many")
    settings, request = one.judge.settings, question("a")
    assert one.judge.identity == digest(file_digest(judge / JUDGE_WEIGHTS), settings.identity)[:32]
    assert one.key(request) == digest("judge", one.judge.identity, one.judge.source.row(request).ids, WORDS)
    reworded = many.judge.settings.principles[0].model_copy(update={"text": "The reply is kinder."})
    changed = of_many(judge, tmp_path / "changed")
    write_judge_settings(
        tmp_path / "changed",
        changed.judge.settings.model_copy(
            update={"principles": (reworded, many.judge.settings.principles[1])}
        ),
    )
    assert ProbeEngine(tmp_path / "changed", "cpu").identity != many.identity
    assert many.key(question("a")) != many.key(question("a", PRINCIPLES[1]))

"""Decisions from a trained judge, and a judge as labeler and reward of a run."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from constitution.loader import load_constitution
from constitution.schema import Constitution, Principle
from core.errors import ConfigError, DataError
from core.records import Message, Prompt
from core.rewards import Sample
from engines.config import EngineConfig, ModelConfig
from engines.decisions.questions import (
    ChoiceQuestion,
    DecisionCall,
    NamedQuestion,
    Option,
    ScoreQuestion,
    YesNoQuestion,
)
from engines.judge.engine import ProbeEngine
from prompts.environment import PromptTemplates
from publius.audit.tenets.certifying import unjudged_tenets
from publius.config.run_file import build_run_config
from publius.runs.engines import make_engine
from publius.serving.judging import JudgeDecider
from publius.serving.served import ServeRequest, open_engines_by_name
from publius.stages.judges.trained import judged_constitution, require_templates_of_judge
from publius.stages.training.rewards import rewards_of
from tests.publius.invoking import here
from tests.publius.judges import figures, model_of_bytes, own_probe, write_judge

TALK = (Message(role="user", content="What is rain?"), Message(role="assistant", content="Water."))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, tiny_model: Any, tiny_tokenizer: Any) -> Path:
    return model_of_bytes(tmp_path_factory.mktemp("models") / "model", tiny_model, tiny_tokenizer)


@pytest.fixture(scope="module")
def judge(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_judge(tmp_path_factory.mktemp("judges") / "judge", model)


def call(question: Any, messages: tuple[Message, ...] = TALK) -> DecisionCall:
    return DecisionCall("", (NamedQuestion("q", question),), messages=messages)


def test_a_choice_is_the_sigmoid_of_the_difference_of_yes(judge: Path):
    decider = JudgeDecider(judge, "cpu")
    text = "The reply is kind."
    odds = {}
    for reply in ("Water.", "Go away"):
        talk = (TALK[0], Message(role="assistant", content=reply))
        (answer,) = asyncio.run(decider.decide(call(YesNoQuestion(text), talk))).answers
        assert sum(answer.probabilities) == pytest.approx(1)
        odds[reply] = answer.probabilities[0] / answer.probabilities[1]
    options = tuple(Option(f"r{n}", reply) for n, reply in enumerate(odds))
    (answer,) = asyncio.run(decider.decide(call(ChoiceQuestion(text, options), TALK[:1]))).answers
    first, second = odds.values()
    assert answer.probabilities[0] == pytest.approx(first / (first + second), abs=1e-5)


def test_what_cannot_be_judged_is_refused(judge: Path):
    decider = JudgeDecider(judge, "cpu")
    with pytest.raises(DataError, match="does not end with a reply of the assistant"):
        asyncio.run(decider.decide(call(YesNoQuestion("The reply is kind."), TALK[:1])))
    with pytest.raises(DataError, match="abstains on principles of the kind max_words"):
        asyncio.run(decider.decide(call(YesNoQuestion("The reply has at most 20 words."))))
    levels = (Option("1", "bad"), Option("2", "good"))
    with pytest.raises(DataError, match="does not rate"):
        asyncio.run(decider.decide(call(ScoreQuestion("The reply is kind.", levels))))


def test_serving_a_judge_as_a_model_names_the_option(judge: Path):
    with (
        pytest.raises(ConfigError, match=r"a trained judge writes no text; accepted: --reward"),
        open_engines_by_name(ServeRequest(model=str(judge)), make_engine),
    ):
        pass


def test_a_judge_is_the_engine_of_its_folder(judge: Path):
    engine = make_engine(ModelConfig(id=str(judge)), EngineConfig(device="cpu"))
    assert isinstance(engine, ProbeEngine)


def test_another_question_is_refused_and_a_judge_at_chance_warned_about(
    judge: Path, model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    require_templates_of_judge(judge, PromptTemplates())
    require_templates_of_judge(tmp_path, PromptTemplates())
    assert not caplog.messages
    with pytest.raises(ConfigError, match=r"trained with another template pointwise\.j2"):
        require_templates_of_judge(judge, PromptTemplates({"pointwise": "{% block user %}Hm?{% endblock %}"}))
    weak = write_judge(tmp_path / "weak", model, kinds={"pairs": figures(0.52)})
    require_templates_of_judge(weak, PromptTemplates())
    assert "52% right on other prompts; do not rely on its labels" in caplog.text


def test_principles_that_a_judge_abstains_on_are_not_drawn(judge: Path, caplog: pytest.LogCaptureFixture):
    texts = ("The reply is kind.", "The reply has at most 9 words.")
    principles = [Principle(id=f"p{n}", text=text) for n, text in enumerate(texts)]
    constitution = Constitution(name="c", principles=tuple(principles))
    assert judged_constitution(constitution, judge).principles == (principles[0],)
    assert "not reliable: p1 (max_words)" in caplog.text
    assert judged_constitution(constitution, judge.parent) is constitution


def test_principles_without_a_good_probe_of_their_own_are_not_judged(
    model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    texts = ("The reply is kind.", "The reply is fun.", "The reply is new.")
    own = (own_probe(texts[0], 0.9), own_probe(texts[1], 0.7, held_out=figures(0.55)))
    judge = write_judge(tmp_path / "judge", model, shared=False, kinds={}, principles=own)
    constitution = Constitution(
        name="c", principles=tuple(Principle(id=text.split()[-1][:-1], text=text) for text in texts)
    )
    require_templates_of_judge(judge, PromptTemplates())
    assert not caplog.messages  # each probe was measured
    assert judged_constitution(constitution, judge).principles == constitution.principles[:1]
    assert "has no good probe of: fun (55% right), new (not trained on it)" in caplog.text
    assert unjudged_tenets(constitution, judge) == {
        "fun": "the judge has no good probe of the principle (55% right)",
        "new": "the judge has no good probe of the principle (not trained on it)",
    }
    decider = JudgeDecider(judge, "cpu")
    (answer,) = asyncio.run(decider.decide(call(YesNoQuestion(texts[0])))).answers
    assert sum(answer.probabilities) == pytest.approx(1)
    for text, why in zip(texts[1:], ("55% right", "not trained on it"), strict=True):
        with pytest.raises(DataError, match=rf"this principle, which it has no good probe of \({why}\)"):
            asyncio.run(decider.decide(call(YesNoQuestion(text))))
    # With a shared probe, principles that were not trained on are judged by it.
    shared = write_judge(tmp_path / "shared", model, principles=own)
    assert [p.id for p in judged_constitution(constitution, shared).principles] == ["kind", "new"]


def test_a_judges_folder_is_a_reward(judge: Path, tmp_path: Path):
    config = {
        "name": "r",
        "constitution": "harmless",
        "prompts": {"path": str(tmp_path / "prompts.jsonl")},
        "models": {"policy": {"id": "p"}},
        "engine": {"kind": "scripted", "device": "cpu"},
        "ppo": {"rewards": {str(judge): 2.0}},
    }
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Hi"}\n')
    run = SimpleNamespace(
        config=build_run_config(config),
        constitution=load_constitution("harmless"),
        templates=PromptTemplates(),
        folder=tmp_path,
    )
    (named,) = rewards_of(cast(Any, run), cast(Any, None), run.config.ppo)
    assert (named.reward.name, named.weight) == ("judge", 2.0)
    samples = [Sample(Prompt.of("Hi"), text, finished=True) for text in ("Hello!", "x" * 9000)]
    score, none = named.reward.scores(samples)
    assert 0 < (score or 0) < 1
    assert none is None
    assert ProbeEngine(judge, "cpu").identity in named.identity


def test_a_judge_labels_the_pairs_of_a_file(judge: Path, tmp_path: Path):
    pairs = tmp_path / "pairs.jsonl"
    rows = [
        {"prompt": f"What is {n}?", "response_a": f"{n} is a number.", "response_b": "No idea at all, sorry."}
        for n in range(4)
    ]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ["--pairs", pairs, "--constitution", "harmless", "--model", judge, "--to", tmp_path / "run"]
    refused = here("label", *options)
    assert refused.returncode == 2
    assert "judges each reply alone; accepted: label.mode: pointwise" in refused.stderr
    done = here("label", *options, "--set", "label.mode=pointwise", "--set", "label.principles=2")
    assert done.returncode == 0, done.stderr
    (file,) = (tmp_path / "run").rglob("judgments.jsonl")
    judgments = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(judgments) == 8
    assert {judgment["model"] for judgment in judgments} == {"judge (model, layer 2)"}
    assert all(judgment["verdict"] in ("a", "b") for judgment in judgments)

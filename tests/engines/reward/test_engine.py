"""A reward model as an engine: calibrated choices between whole replies, and nothing else."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.chat import Turn
from core.errors import ConfigError, EngineError, RequestError
from core.records import Message, Prompt, Sampling
from core.rewards import Sample
from core.store.cache import RequestCache
from engines.cached import CachedEngine
from engines.config import EngineConfig, ModelConfig
from engines.judge.engine import ProbeEngine
from engines.protocols import ChoiceRequest, ChoiceScores, GenerationRequest, WholeAnswer, compares_replies
from engines.reward.engine import RewardEngine, log_softmax
from engines.reward.folder import reward_folder
from engines.reward_settings import RewardSettings
from labelers.rewards import ModelReward
from publius.runs.engines import make_engine
from tests.engines.hf.test_reward_model import adapter_on
from tests.publius.judges import model_of_bytes, write_judge
from tests.publius.reward_models import write_reward_model

TEMPERATURE = 0.004
"""So small because a tiny random model's scores hardly differ."""
QUESTION = "How are you?"
REPLIES = ("Well, and you?", "Go away.", "It rains.")


@pytest.fixture(scope="module")
def folder(tiny_tokenizer: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = RewardSettings(mean=0.3, std=2.0, temperature=TEMPERATURE)
    return write_reward_model(tmp_path_factory.mktemp("models") / "reward", tiny_tokenizer, settings)


@pytest.fixture(scope="module")
def engine(folder: Path) -> RewardEngine:
    return engine_of(folder)


def engine_of(folder: Path, **model: Any) -> RewardEngine:
    made = make_engine(ModelConfig(id=str(folder), **model), EngineConfig(device="cpu"))
    assert isinstance(made, RewardEngine)
    return made


def asked(*replies: str, question: str = QUESTION) -> ChoiceRequest:
    answers = tuple(map(WholeAnswer, replies))
    return ChoiceRequest((Turn("user", (question,)),), replies, "label", answers=answers)


def scored(engine: RewardEngine, *requests: ChoiceRequest) -> list[ChoiceScores]:
    async def all_of_them() -> list[ChoiceScores]:
        return list(await asyncio.gather(*map(engine.choose, requests)))

    return asyncio.run(all_of_them())


def test_probabilities_are_the_softmax_of_the_scores_over_the_temperature(engine: RewardEngine, folder: Path):
    (found,) = scored(engine, asked(*REPLIES))
    prompt = Prompt.of((Message(role="user", content=QUESTION),))
    samples = [Sample(prompt, reply, finished=True) for reply in REPLIES]
    raw = [2.0 * (score or 0.0) + 0.3 for score in ModelReward(folder, "rm", "cpu").scores(samples)]
    weights = [math.exp((score - raw[0]) / TEMPERATURE) for score in raw]
    wanted = [weight / sum(weights) for weight in weights]
    assert [math.exp(logprob) for logprob in found.logprobs] == pytest.approx(wanted, rel=1e-3)
    assert max(wanted) - min(wanted) > 0.01
    assert found.top_token == REPLIES[wanted.index(max(wanted))]
    assert found.answer_mass is None


def test_swapped_replies_have_swapped_log_probabilities_to_the_last_digit(engine: RewardEngine):
    pairs = [(f"Yes, {n}. " * (1 + n % 5), f"No. {n * n}") for n in range(20)]
    found = scored(engine, *(asked(*pair) for pair in pairs))
    turned = scored(engine, *(asked(*pair[::-1]) for pair in pairs))
    assert [one.logprobs for one in found] == [other.logprobs[::-1] for other in turned]
    assert len({one.logprobs for one in found}) > 10


def test_key_follows_conversation_replies_and_weights(engine: RewardEngine, folder: Path):
    key = engine.key(asked("a", "b"))
    assert key == engine_of(folder).key(asked("a", "b"))
    others = [
        engine.key(asked("a", "c")),
        engine.key(asked("a", "b", question="Why?")),
        engine_of(folder, dtype="bfloat16").key(asked("a", "b")),
    ]
    assert len({key, *others}) == 4


def test_what_is_no_comparison_is_refused_in_one_line(engine: RewardEngine):
    letters = ChoiceRequest((Turn("user", ("Which?",)),), (" A", " B"), "label")
    with pytest.raises(ConfigError, match=r"answers no question.*label\.mode: choice"):
        scored(engine, letters)
    with pytest.raises(EngineError, match="writes no text") as caught:
        asyncio.run(engine.generate(GenerationRequest((), Sampling(), 0, "draft")))
    assert "\n" not in str(caught.value)
    with pytest.raises(RequestError, match="too long for the reward model"):
        scored(engine, asked("word " * 2000, "b"))


@pytest.mark.parametrize("setting", [{"adapter": "lora"}, {"quantization": "nf4"}])
def test_settings_that_it_would_ignore_are_refused(folder: Path, setting: dict[str, str]):
    with pytest.raises(ConfigError, match=f"{next(iter(setting))} is set for a reward model"):
        engine_of(folder, **setting)


def test_a_closed_engine_loads_again(engine: RewardEngine):
    (before,) = scored(engine, asked(*REPLIES))
    engine.close()
    engine.close()
    assert scored(engine, asked(*REPLIES)) == [before]


def test_adapters_are_scored_on_the_model_that_they_name(tiny_folder: Path, tmp_path: Path):
    engine = engine_of(adapter_on(tiny_folder, tmp_path / "adapter"))
    (found,) = scored(engine, asked("Yes.", "No, never."))
    assert engine.model == "adapter (tiny)"
    assert math.fsum(map(math.exp, found.logprobs)) == pytest.approx(1.0)
    assert found.logprobs[0] != found.logprobs[1]


def test_reward_models_are_told_from_other_models(
    tmp_path: Path, tiny_model: Any, tiny_tokenizer: Any, tiny_folder: Path
):
    classifier = write_reward_model(tmp_path / "hub", tiny_tokenizer)
    judge = write_judge(tmp_path / "judge", model_of_bytes(tmp_path / "bytes", tiny_model, tiny_tokenizer))
    assert reward_folder(ModelConfig(id=str(classifier))) == classifier
    for other in (tiny_folder, judge, tmp_path / "bytes", tmp_path / "nothing"):
        assert reward_folder(ModelConfig(id=str(other))) is None
    assert isinstance(make_engine(ModelConfig(id=str(judge)), EngineConfig()), ProbeEngine)
    # One on this machine is the labeler also where a server writes the answers.
    at_server = EngineConfig(kind="http", url="http://127.0.0.1:9")
    assert isinstance(make_engine(ModelConfig(id=str(classifier)), at_server), RewardEngine)


def test_a_classifier_of_the_hub_is_known_once_it_is_downloaded(
    tmp_path: Path, tiny_tokenizer: Any, monkeypatch: pytest.MonkeyPatch
):
    model = ModelConfig(id="some/reward-model", revision="0" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path), raising=False)
    assert reward_folder(model) is None
    snapshot = tmp_path / "models--some--reward-model" / "snapshots" / ("0" * 40)
    write_reward_model(snapshot, tiny_tokenizer)
    assert reward_folder(model) == snapshot
    assert reward_folder(model, from_hub=False) is None


def test_a_classifier_of_several_labels_is_refused_in_one_line(tmp_path: Path, tiny_tokenizer: Any):
    from transformers import LlamaForSequenceClassification

    folder = write_reward_model(tmp_path / "topics", tiny_tokenizer)
    model = LlamaForSequenceClassification.from_pretrained(folder, num_labels=3, ignore_mismatched_sizes=True)
    model.save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["architectures"]
    with pytest.raises(EngineError) as caught:
        scored(engine_of(folder), asked("a", "b"))
    assert "\n" not in str(caught.value)


def test_the_cache_passes_on_that_it_compares_replies(engine: RewardEngine, tmp_path: Path):
    with RequestCache(tmp_path / "cache.sqlite") as cache:
        assert compares_replies(CachedEngine(engine, cache))


def test_log_softmax_does_not_overflow():
    assert log_softmax([1000.0, 1000.0]) == pytest.approx([-math.log(2)] * 2)
    assert log_softmax([0.0, -2000.0]) == pytest.approx([0.0, -2000.0])

"""A request is encoded once, however often its key is computed, and keys stay what they were."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from constitution.schema import Constitution, Principle
from core.chat import Turn
from core.records import Comparison, Generation, Prompt, Sampling
from core.store.cache import RequestCache
from engines.cached import CachedEngine
from engines.config import EngineConfig, ModelConfig
from engines.local_engine import LocalEngine
from engines.protocols import ChoiceRequest, ChoiceScores, GenerationRequest
from engines.tokenization import EncodedPrompt, TurnEncoder
from labelers.ai import AILabeler
from labelers.config import LabelConfig

PRINCIPLES = tuple(Principle(id=f"p{n}", text=f"The reply keeps rule {n}.") for n in range(4))


class CountingEncoder:
    """An encoder that counts the conversations that it encodes."""

    def __init__(self, encoder: TurnEncoder) -> None:
        self._encoder = encoder
        self.encoded = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def encode(self, turns: Sequence[Turn], prefill: str = "") -> EncodedPrompt:
        self.encoded += 1
        return self._encoder.encode(turns, prefill)


class WithoutModel(LocalEngine):
    """An engine with a tokenizer and no weights."""

    kind = "none"
    decoding = 1
    limits = "the test"
    _max_tokens = 4096

    async def _generate(self, request: GenerationRequest, ids: tuple[int, ...]) -> Generation:
        return Generation(
            text=f"{len(ids)} ids",
            finish_reason="stop",
            prompt_tokens=len(ids),
            completion_tokens=2,
            model=self.model,
            sampling=request.sampling,
        )

    async def _choose(
        self, request: ChoiceRequest, ids: tuple[int, ...], choice_ids: tuple[int, ...]
    ) -> ChoiceScores:
        return ChoiceScores(
            logprobs=(-0.5, -1.0), answer_mass=0.9, top_token=" A", prompt_tokens=len(ids), model=self.model
        )

    def close(self) -> None:
        pass


@pytest.fixture
def engine(embedded_encoder: TurnEncoder) -> WithoutModel:
    made = WithoutModel(ModelConfig(id="embedded"), EngineConfig(device="cpu"))
    made.encoder = CountingEncoder(embedded_encoder)  # type: ignore[assignment]
    return made


@pytest.fixture
def cached(engine: WithoutModel, tmp_path: Path) -> Iterator[CachedEngine]:
    with RequestCache(tmp_path / "cache.sqlite") as cache:
        yield CachedEngine(engine, cache)


def request(text: str = "Hi", seed: int = 0) -> GenerationRequest:
    return GenerationRequest((Turn("user", (text,)),), Sampling(), seed, "draft")


def encodings(engine: WithoutModel) -> int:
    encoder = engine.encoder
    assert isinstance(encoder, CountingEncoder)
    return encoder.encoded


def test_generation_is_encoded_once_for_its_key_and_its_answer(engine: WithoutModel, cached: CachedEngine):
    asked = request()
    key = cached.key(asked)
    asyncio.run(cached.generate(asked))
    assert (cached.key(asked), engine.key(asked)) == (key, key)
    assert encodings(engine) == 1


def test_label_request_is_encoded_once(engine: WithoutModel, cached: CachedEngine):
    labeler = AILabeler(Constitution(name="c", principles=PRINCIPLES), cached, LabelConfig(principles=4))
    comparison = Comparison.of(Prompt.of("What is it?"), ("One thing.", "a"), ("Another thing.", "b"))
    judgments = asyncio.run(labeler.label(comparison))
    assert len(judgments) == 4
    assert encodings(engine) == 8  # four principles in two orders


def test_ids_are_dropped_with_the_request(engine: WithoutModel, cached: CachedEngine):
    kept = request("kept")
    for number in range(50):
        asyncio.run(cached.generate(request(f"question {number}")))
    asyncio.run(cached.generate(kept))
    gc.collect()
    assert (list(engine._encoded), list(cached._keys)) == ([kept], [kept])


def test_requests_that_differ_have_different_keys(cached: CachedEngine):
    asked = [request(), request("Ho"), request(seed=1)]
    assert len({cached.key(one) for one in asked}) == 3


def test_key_is_the_one_that_older_caches_hold(engine: WithoutModel, monkeypatch: pytest.MonkeyPatch):
    # Answers of earlier versions are found by these digests, of the ids that transformers itself gives.
    from core.digests import digest

    monkeypatch.setattr(engine, "_dtype", "float32")
    model = ("none", 1, engine._files.identity, "float32")
    tokenizer = engine.encoder._tokenizer
    message = {"role": "user", "content": "Hi"}
    ids = tokenizer.apply_chat_template([message], add_generation_prompt=True, return_dict=False)
    assert engine.key(request(seed=5)) == digest("generate", model, ids, Sampling().model_dump(), 5)
    prefill = tokenizer.encode("Reply", add_special_tokens=False)
    choice = ChoiceRequest((Turn("user", ("Hi",)),), (" A", " B"), "label", "Reply")
    assert engine.key(choice) == digest("choose", model, ids + prefill, (" A", " B"))

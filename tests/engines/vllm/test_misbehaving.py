"""A host that misbehaves costs the requests that it answers badly, and only them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from core.chat import Turn
from core.errors import FailedRequestError
from core.records import Generation, Sampling
from core.store.cache import RequestCache
from engines.cached import CachedEngine
from engines.config import EngineConfig, ModelConfig
from engines.protocols import ChoiceRequest, ChoiceScores, GenerationRequest
from engines.vllm.engine import VllmEngine
from engines.vllm.wire import Response
from tests.engines.vllm.counted_hosts import CountedLink, count_hosts

NAN = float("nan")


def answered(**values: object) -> Future[Response]:
    future: Future[Response] = Future()
    fields = {"id": 0, "token_ids": (70,), "finish_reason": "length", **values}
    future.set_result(Response.model_validate(fields))
    return future


def failed(error: Exception) -> Future[Response]:
    future: Future[Response] = Future()
    future.set_exception(error)
    return future


@pytest.fixture
def engine(
    monkeypatch: pytest.MonkeyPatch, own_cache: Path, tiny_folder: Path, tmp_path: Path
) -> Iterator[CachedEngine]:
    count_hosts(monkeypatch)
    model = VllmEngine(ModelConfig(id=str(tiny_folder)), EngineConfig(kind="vllm", device="cpu"))
    with RequestCache(tmp_path / "cache.sqlite") as cache:
        yield CachedEngine(model, cache, timeout_s=0.1)


def draft(text: str) -> GenerationRequest:
    return GenerationRequest((Turn("user", (text,)),), Sampling(max_new_tokens=3), 0, "draft")


def choice(text: str) -> ChoiceRequest:
    return ChoiceRequest((Turn("user", (text,)),), ("A", "B"), "label")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: answered(logprobs=(NAN, -1.0)), "the model's log-probabilities are not finite"),
        (lambda: answered(logprobs=(-float("inf"), -1.0)), "the model's log-probabilities are not finite"),
        (lambda: answered(logprobs=(-1.0,)), "the engine's answer is not valid"),
        (
            lambda: answered(logprobs=(-1.0, -1.0), token_ids=()),
            "the engine failed on the request (IndexError)",
        ),
        (lambda: failed(TimeoutError()), "the engine failed on the request (TimeoutError)"),
        (lambda: failed(FailedRequestError("vLLM stumbled")), "vLLM stumbled"),
        (Future, "no answer within the time limit"),
    ],
)
def test_a_bad_answer_to_one_request_leaves_the_others_alone(
    engine: CachedEngine,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[], Future[Response]],
    reason: str,
):
    ask, calls = CountedLink.ask, iter(range(100))

    def badly(link: CountedLink, *values: object, **names: object) -> Future[Response]:
        return make() if next(calls) == 1 else ask(link, *values, **names)  # type: ignore[arg-type]

    monkeypatch.setattr(CountedLink, "ask", badly)
    asyncio.run(engine.generate(draft("First")))

    async def both() -> list[ChoiceScores | Generation | BaseException]:
        asked = engine.choose(choice("One")), engine.choose(choice("Two"))
        return await asyncio.gather(*asked, return_exceptions=True)

    bad, good = asyncio.run(both())
    assert isinstance(bad, FailedRequestError)
    assert bad.reason == reason
    assert isinstance(good, ChoiceScores)
    assert isinstance(asyncio.run(engine.choose(choice("One"))), ChoiceScores)  # asked again
    assert engine.counts.reused.total() == 0

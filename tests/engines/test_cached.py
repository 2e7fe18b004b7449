"""Each question is asked once, and counted; errors are not kept."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.chat import Turn
from core.errors import EngineError, FailedRequestError, RequestError
from core.records import Generation, Sampling
from core.store.cache import RequestCache
from engines.cached import MAX_FAILURES, CachedEngine, RequestCounts
from engines.protocols import ChoiceRequest, ChoiceScores, GenerationRequest
from engines.scripted import ScriptedEngine

GREEDY = Sampling(temperature=0.0)


class WaitingEngine(ScriptedEngine):
    """A scripted engine that answers only when it is let go, so that requests overlap."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.error = error
        self.gate = asyncio.Event()
        self.closed = False

    async def generate(self, request: GenerationRequest) -> Generation:
        self.history.append(request)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        answer = await super().generate(request)
        self.history.pop()
        return answer

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[RequestCache]:
    with RequestCache(tmp_path / "cache.sqlite") as opened:
        yield opened


def ask(
    text: str = "Hi", sampling: Sampling | None = None, seed: int = 0, purpose: str = "draft"
) -> GenerationRequest:
    return GenerationRequest((Turn("user", (text,)),), sampling or Sampling(), seed, purpose)


def choice(text: str = "Hi") -> ChoiceRequest:
    return ChoiceRequest((Turn("user", (text,)),), (" A", " B"), "label")


def test_second_ask_is_served_from_the_cache(cache: RequestCache):
    engine = ScriptedEngine()
    cached = CachedEngine(engine, cache)
    answers = [asyncio.run(cached.generate(ask())) for _ in range(2)]
    assert answers[0] == answers[1]
    assert len(engine.history) == 1


def test_scores_come_back_exactly(cache: RequestCache):
    engine = ScriptedEngine(chooser=lambda request: (-0.1234567890123456789, -2.0000000000000004))
    cached = CachedEngine(engine, cache)
    scores = [asyncio.run(cached.choose(choice())) for _ in range(2)]
    assert scores[0] == scores[1]
    assert isinstance(scores[1], ChoiceScores)
    assert len(engine.history) == 1


def test_a_later_process_finds_the_answers(tmp_path: Path):
    for expected in (1, 0):
        engine = ScriptedEngine()
        with RequestCache(tmp_path / "cache.sqlite") as cache:
            asyncio.run(CachedEngine(engine, cache).generate(ask()))
        assert len(engine.history) == expected


def test_two_models_do_not_share_answers(cache: RequestCache):
    engines = [ScriptedEngine(model=name) for name in ("one", "two")]
    answers = [asyncio.run(CachedEngine(engine, cache).generate(ask())) for engine in engines]
    assert [answer.model for answer in answers] == ["one", "two"]


def test_equal_requests_at_once_are_asked_once(cache: RequestCache):
    async def both() -> tuple[list[Generation], WaitingEngine, CachedEngine]:
        engine = WaitingEngine()
        cached = CachedEngine(engine, cache)
        tasks = [
            asyncio.create_task(cached.generate(ask(purpose=name))) for name in ("draft", "sample", "draft")
        ]
        await asyncio.sleep(0)
        engine.gate.set()
        return list(await asyncio.gather(*tasks)), engine, cached

    answers, engine, cached = asyncio.run(both())
    assert answers[0] == answers[1] == answers[2]
    assert len(engine.history) == 1
    assert cached.counts.asked == Counter(draft=1)
    assert cached.counts.reused == Counter(draft=1, sample=1)


def test_error_reaches_all_who_asked_and_is_not_kept(cache: RequestCache):
    async def both() -> tuple[list[Generation | BaseException], WaitingEngine, Generation, CachedEngine]:
        engine = WaitingEngine(RequestError("too long"))
        cached = CachedEngine(engine, cache)
        tasks = [asyncio.create_task(cached.generate(ask())) for _ in range(2)]
        await asyncio.sleep(0)
        engine.gate.set()
        failures = await asyncio.gather(*tasks, return_exceptions=True)
        engine.error = None
        return failures, engine, await cached.generate(ask()), cached

    failures, engine, later, cached = asyncio.run(both())
    assert [str(failure) for failure in failures] == ["too long", "too long"]
    assert all(isinstance(failure, RequestError) for failure in failures)
    assert isinstance(later, Generation)
    assert len(engine.history) == 2
    assert len(cache) == 1
    assert cached.counts.total == 1


def test_an_asker_who_gives_up_does_not_take_the_others_along(cache: RequestCache):
    async def one_gives_up() -> tuple[Generation, WaitingEngine]:
        engine = WaitingEngine()
        cached = CachedEngine(engine, cache)
        first, second = (asyncio.create_task(cached.generate(ask())) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        engine.gate.set()
        return await second, engine

    answer, engine = asyncio.run(one_gives_up())
    assert isinstance(answer, Generation)
    assert len(engine.history) == 2


def test_counts_are_kept_by_purpose_with_tokens_of_asked_requests_only(cache: RequestCache):
    cached = CachedEngine(ScriptedEngine(answers=["one two three", "four"]), cache)
    for request in (ask("a b"), ask("a b", purpose="sample"), ask("c", purpose="critique")):
        asyncio.run(cached.generate(request))
    for _ in range(2):
        asyncio.run(cached.choose(choice("x y z")))
    assert cached.counts.asked == Counter(draft=1, critique=1, label=1)
    assert cached.counts.reused == Counter(sample=1, label=1)
    assert cached.counts.prompt_tokens == 2 + 1 + 3
    assert cached.counts.completion_tokens == 3 + 1


def test_counts_add_up_and_read_as_one_line():
    one = RequestCounts(Counter(draft=100, label=27), Counter(draft=11_873), 5, 6)
    both = one + RequestCounts(Counter(draft=1), Counter(label=2), 1, 1)
    assert both == RequestCounts(Counter(draft=101, label=27), Counter(draft=11_873, label=2), 6, 7)
    assert one.summary() == "asked 127 of 12,000 requests, reused 11,873"


def test_greedy_requests_share_an_answer_whatever_the_seed(cache: RequestCache):
    engine = ScriptedEngine()
    cached = CachedEngine(engine, cache)
    for sampling in (GREEDY, Sampling()):
        for seed in (1, 2):
            asyncio.run(cached.generate(ask(sampling=sampling, seed=seed)))
    assert [request.sampling.temperature for request in engine.history] == [0.0, 1.0, 1.0]  # type: ignore[union-attr]


def test_model_key_and_close_are_those_of_the_engine_within(cache: RequestCache):
    async def build() -> WaitingEngine:
        return WaitingEngine()

    engine = asyncio.run(build())
    cached = CachedEngine(engine, cache)
    assert cached.model == "scripted"
    assert cached.key(ask()) == engine.key(ask())
    cached.close()
    assert engine.closed
    assert cache.get("still open") is None


def test_engine_knows_what_was_answered_without_asking_or_counting(tmp_path: Path):
    with RequestCache(tmp_path / "cache.sqlite") as cache:
        scripted = ScriptedEngine()
        engine = CachedEngine(scripted, cache)
        request = GenerationRequest((Turn("user", ("Hello",)),), GREEDY, 0, "draft")
        assert not engine.knows(request)
        asyncio.run(engine.generate(request))
        assert engine.knows(request)
        assert (len(scripted.history), engine.counts.total) == (1, 1)


# Failures of single requests


class FailingEngine(ScriptedEngine):
    """A scripted engine that fails on each request as long as `failure` is set."""

    failure: BaseException | None = None

    async def generate(self, request: GenerationRequest) -> Generation:
        if self.failure is not None:
            raise self.failure
        return await super().generate(request)


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (ValueError("odd"), "the engine failed on the request (ValueError)"),
        (TimeoutError(), "the engine failed on the request (TimeoutError)"),
        (ConnectionError("reset"), "the engine failed on the request (ConnectionError)"),
        (RuntimeError("a\nb"), "the engine failed on the request (RuntimeError)"),
        (asyncio.CancelledError(), "the engine cancelled the request"),
    ],
)
def test_exception_is_the_failure_of_one_request_and_is_not_kept(
    cache: RequestCache, failure: BaseException, reason: str
):
    engine = FailingEngine()
    cached = CachedEngine(engine, cache)
    engine.failure = failure
    with pytest.raises(FailedRequestError) as caught:
        asyncio.run(cached.generate(ask()))
    assert caught.value.reason == reason
    assert "\n" not in str(caught.value)
    assert len(cache) == 0
    engine.failure = None
    assert isinstance(asyncio.run(cached.generate(ask())), Generation)


@pytest.mark.parametrize("failure", [EngineError("the host died"), RequestError("too long")])
def test_our_own_errors_pass_unchanged(cache: RequestCache, failure: Exception):
    engine = FailingEngine()
    engine.failure = failure
    with pytest.raises(type(failure)) as caught:
        asyncio.run(CachedEngine(engine, cache).generate(ask()))
    assert caught.value is failure


def test_memory_that_ran_out_ends_the_engine(cache: RequestCache):
    engine = FailingEngine()
    engine.failure = MemoryError()
    with pytest.raises(EngineError, match="out of memory"):
        asyncio.run(CachedEngine(engine, cache).generate(ask()))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_log_probabilities_that_are_not_finite_are_not_kept(cache: RequestCache, bad: float):
    engine = ScriptedEngine(chooser=lambda request: (bad, -1.0))
    with pytest.raises(FailedRequestError, match="log-probabilities are not finite"):
        asyncio.run(CachedEngine(engine, cache).choose(choice()))
    assert len(cache) == 0


@pytest.mark.parametrize("spoilt", [{"logprobs": (float("nan"), -1.0)}, {"logprobs": (-1.0,)}])
def test_an_answer_that_could_not_be_read_back_is_not_kept(cache: RequestCache, spoilt: dict[str, object]):
    class Careless(ScriptedEngine):
        async def choose(self, request: ChoiceRequest) -> ChoiceScores:
            return (await super().choose(request)).model_copy(update=spoilt)

    with pytest.raises(FailedRequestError, match="the engine's answer is not valid"):
        asyncio.run(CachedEngine(Careless(), cache).choose(choice()))
    assert len(cache) == 0


def test_half_a_surrogate_is_not_kept(cache: RequestCache):
    class Torn(ScriptedEngine):
        async def generate(self, request: GenerationRequest) -> Generation:
            return (await super().generate(request)).model_copy(update={"text": "a\ud83d"})

    with pytest.raises(FailedRequestError, match="not valid Unicode"):
        asyncio.run(CachedEngine(Torn(), cache).generate(ask()))
    assert len(cache) == 0


@pytest.mark.parametrize(
    "stored",
    [
        "not JSON",
        "null",
        '{"logprobs": [null, -1.0], "answer_mass": 1.0, "top_token": "A", "prompt_tokens": 1, "model": "m"}',
        '{"logprobs": [-1.0], "answer_mass": 1.0, "top_token": "A", "prompt_tokens": 1, "model": "m"}',
        '{"schema_version": 2, "logprobs": [-1.0, -2.0]}',
    ],
)
def test_a_stored_answer_that_no_longer_fits_is_asked_again_and_replaced(cache: RequestCache, stored: str):
    engine = ScriptedEngine()
    cached = CachedEngine(engine, cache)
    cache.put(engine.key(choice()), "label", stored)
    assert not cached.knows(choice())
    first, second = (asyncio.run(cached.choose(choice())) for _ in range(2))
    assert first == second
    assert len(engine.history) == 1
    assert (cached.counts.asked.total(), cached.counts.reused.total(), cached.counts.unusable) == (1, 1, 1)
    assert cached.counts.summary() == "asked 1 of 2 requests, reused 1, replaced 1 unreadable in the cache"
    assert len(cache) == 1


def test_only_failures_in_a_row_mean_that_the_engine_is_broken(cache: RequestCache):
    engine = FailingEngine()
    cached = CachedEngine(engine, cache)

    def failures(number: int, texts: str) -> list[type[BaseException]]:
        engine.failure, found = ConnectionError("refused"), list[type[BaseException]]()
        for place in range(number):
            with pytest.raises((FailedRequestError, EngineError)) as caught:
                asyncio.run(cached.generate(ask(f"{texts} {place}")))
            found.append(caught.type)
        engine.failure = None
        return found

    assert set(failures(MAX_FAILURES - 1, "first")) == {FailedRequestError}
    asyncio.run(cached.generate(ask("between")))
    assert failures(MAX_FAILURES, "then") == [FailedRequestError] * (MAX_FAILURES - 1) + [EngineError]


def test_a_request_that_never_returns_is_given_up_and_those_that_wait_for_it_too(cache: RequestCache):
    async def both() -> list[Generation | BaseException]:
        cached = CachedEngine(WaitingEngine(), cache, timeout_s=0.05)
        return await asyncio.gather(*(cached.generate(ask()) for _ in range(2)), return_exceptions=True)

    assert [type(found) for found in asyncio.run(both())] == [FailedRequestError] * 2
    assert len(cache) == 0


def test_answer_is_reported_while_it_is_written_and_not_when_it_is_known(cache: RequestCache):
    cached = CachedEngine(ScriptedEngine(["one two three four"]), cache)
    told: list[str] = []
    answers = [asyncio.run(cached.stream(ask(), told.append)) for _ in range(2)]
    assert told == ["one two"]
    assert [answer.text for answer in answers] == ["one two three four"] * 2


def test_engine_that_reports_nothing_answers_all_the_same(cache: RequestCache):
    class Silent(WaitingEngine):
        stream: Any = None

    told: list[str] = []
    engine = Silent()
    engine.gate.set()
    assert asyncio.run(CachedEngine(engine, cache).stream(ask(), told.append)).text
    assert told == []

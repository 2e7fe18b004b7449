"""Replicas of a model: what shares text meets in one of them, and nobody waits for a busy one alone."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from constitution.schema import Constitution
from core.chat import Turn
from core.digests import derive_seed
from core.errors import EngineError
from core.records import Prompt, Sampling
from engines.config import EngineConfig, ModelConfig
from engines.hf.engine import TransformersEngine
from engines.protocols import GenerationRequest
from engines.tokenization import CHATML
from engines.vllm import setup
from engines.vllm.engine import VllmEngine
from engines.vllm.link import HostLink
from engines.vllm.processes import living_members
from engines.vllm.replicas import SLACK, ReplicaLinks
from engines.vllm.setup import host_environment, install_vllm, replica_engines, vllm_device
from engines.vllm.wire import Adapter, Response
from labelers.questions import Questions
from prompts.environment import PromptTemplates
from tests.engines.vllm.counted_hosts import count_hosts
from tests.engines.vllm.test_engine import together

ANSWER = Response(id=0, token_ids=(1,), finish_reason="stop")


class OpenLink:
    """A replica that answers when it is told to."""

    def __init__(self, limit: int = 64) -> None:
        self.max_tokens: Future[int] = Future()
        self.progress = 3
        self.limit = limit
        self.waiting: list[Future[Response]] = []
        self.closed = 0

    def ask(
        self,
        prompt_ids: tuple[int, ...],
        sampling: Mapping[str, Any],
        choice_ids: tuple[int, ...] = (),
        *,
        wants_logprobs: bool = False,
        adapter: Adapter | None = None,
        affinity: str | None = None,
    ) -> Future[Response]:
        self.waiting.append(Future())
        return self.waiting[-1]

    def answer_all(self) -> None:
        for future in self.waiting:
            if not future.done():
                future.set_result(ANSWER)

    def close(self) -> None:
        self.closed += 1


def ask(links: ReplicaLinks, affinity: str | None) -> int:
    """Send a request; return the number of its replica."""
    before = links.in_flight
    links.ask((1,), {}, affinity=affinity)
    (place,) = [n for n, (a, b) in enumerate(zip(before, links.in_flight, strict=True)) if b > a]
    return place


def opened(count: int) -> tuple[ReplicaLinks, list[OpenLink]]:
    made = [OpenLink() for _ in range(count)]
    return ReplicaLinks(made), made


def test_requests_of_one_affinity_meet_in_one_replica_each_time():
    links, made = opened(4)
    homes: dict[str, set[int]] = {}
    for _ in range(3):
        for number in range(40):
            homes.setdefault(f"prompt {number}", set()).update({ask(links, f"prompt {number}") for _ in "ab"})
        for link in made:
            link.answer_all()
        assert links.in_flight == (0, 0, 0, 0)
    assert all(len(places) == 1 for places in homes.values())
    shares = Counter(place for (place,) in homes.values())
    assert len(shares) == 4
    assert max(shares.values()) < 20


def test_requests_without_an_affinity_go_to_the_least_busy_replica():
    links, made = opened(3)
    assert [ask(links, None) for _ in range(6)] == [0, 1, 2, 0, 1, 2]
    made[1].answer_all()
    assert [ask(links, None) for _ in range(2)] == [1, 1]


def test_others_take_what_a_home_that_is_far_behind_would_get_and_keep_it_together():
    links, made = opened(2)
    home = ask(links, "popular")
    mate = next(name for name in map(str, range(100)) if ask(opened(2)[0], name) == home)
    # Requests in flight stay together, however many they are.
    assert {ask(links, "popular") for _ in range(2 * SLACK)} == {home}
    assert [ask(links, mate) for _ in range(3)] == [1 - home] * 3
    for link in made:
        link.answer_all()
    assert ask(links, mate) == home  # which is not behind any more


def test_a_home_may_be_somewhat_busier_than_the_others():
    links, _ = opened(2)
    home = ask(links, "popular")
    mate = next(name for name in map(str, range(100)) if ask(opened(2)[0], name) == home)
    assert {ask(links, "popular") for _ in range(SLACK - 1)} == {home}
    assert ask(links, mate) == home


def test_a_request_that_is_given_up_frees_its_place():
    links, _ = opened(2)
    links.ask((1,), {}, affinity="a").cancel()
    assert links.in_flight == (0, 0)


def test_length_is_that_of_the_smallest_replica_once_all_are_loaded():
    links, made = opened(2)
    made[0].max_tokens.set_result(64)
    assert not links.max_tokens.done()
    made[1].max_tokens.set_result(32)
    assert links.max_tokens.result(0) == 32
    assert links.progress == 6


def test_one_replica_that_cannot_load_fails_all():
    links, made = opened(2)
    made[1].max_tokens.set_exception(EngineError("no room"))
    with pytest.raises(EngineError, match="no room"):
        links.max_tokens.result(0)
    made[0].max_tokens.set_result(32)
    links.close()
    assert [link.closed for link in made] == [1, 1]


@pytest.mark.parametrize(
    ("settings", "shares"),
    [
        ({"replicas": 2}, [(0,), (1,)]),
        ({"replicas": 2, "gpus": (4, 5, 6, 7)}, [(4, 5), (6, 7)]),
        ({"replicas": 2, "arguments": {"tensor_parallel_size": 2}}, [(0, 1), (2, 3)]),
        ({"replicas": 1, "gpus": (3,)}, [(3,)]),
        ({}, [None]),
    ],
)
def test_replicas_have_gpus_of_their_own(
    settings: dict[str, Any], shares: list[tuple[int, ...] | None], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(setup, "vllm_device", lambda: "cuda")
    engines = replica_engines(EngineConfig(kind="vllm", **settings))
    assert [engine.gpus for engine in engines] == shares
    assert {engine.replicas for engine in engines} == {1}


def test_gpus_that_replicas_cannot_share_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(setup, "vllm_device", lambda: "cuda")
    with pytest.raises(
        EngineError, match="2 replicas cannot share 3 GPUs equally; accepted: a multiple of 2"
    ):
        replica_engines(EngineConfig(kind="vllm", replicas=2, gpus=(0, 1, 2)))


@pytest.mark.parametrize(
    ("cores", "bound"), [({2, 3}, ["2", "3"]), (set(range(8)), ["0,1,2,3", "4,5,6,7"]), ({1}, ["1", "1"])]
)
def test_replicas_on_a_cpu_have_cores_of_their_own(
    cores: set[int], bound: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("VLLM_CPU_OMP_THREADS_BIND", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: cores)
    found = [host_environment(EngineConfig(kind="vllm"), number, 2) for number in range(2)]
    assert [environment["VLLM_CPU_OMP_THREADS_BIND"] for environment in found] == bound


def test_replicas_change_neither_keys_nor_answers(
    tiny_folder: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
):
    hosts = count_hosts(monkeypatch)
    request = GenerationRequest((Turn("user", ("Hi",)),), Sampling(max_new_tokens=3), 0, "test")
    model, found = ModelConfig(id=str(tiny_folder)), []
    for count in (1, 3):
        engine = VllmEngine(model, EngineConfig(kind="vllm", device="cpu", replicas=count))
        answer = asyncio.run(engine.generate(replace(request, affinity="a")))
        found.append(
            (engine.identity, engine.key(request), engine.key(replace(request, affinity="a")), answer)
        )
        engine.close()
    assert found[0] == found[1]
    assert found[0][1] == found[0][2]
    assert len(hosts.loads) == 4
    assert hosts.running == []


def test_questions_about_one_comparison_have_one_affinity():
    principles = (
        {"id": "brief", "text": "The reply is brief."},
        {"id": "kind", "text": "The reply is kind."},
    )
    constitution = Constitution.model_validate({"name": "two", "principles": principles})
    questions = Questions(constitution, PromptTemplates())
    prompts = [Prompt.of(text) for text in ("How do I bake bread?", "Who are you?")]
    asked = [
        {
            questions.comparison(principle, prompt, *pair).affinity
            for principle in constitution.principles
            for pair in (("one", "two"), ("two", "one"))
        }
        for prompt in prompts
    ]
    assert asked == [{prompt.id} for prompt in prompts]


@pytest.mark.vllm
@pytest.mark.long  # loads vLLM twice
@pytest.mark.skipif(vllm_device() != "cpu", reason=f"vLLM for a CPU is not installed; run: {install_vllm()}")
def test_two_replicas_answer_as_transformers_does(
    tiny_model: Callable[..., Any], tiny_tokenizer: Callable[..., Any], tmp_path: Path
):
    heads = {"hidden_size": 128, "num_attention_heads": 2, "num_key_value_heads": 1}
    tiny_model(attention="sdpa", initializer_range=0.1, **heads).save_pretrained(tmp_path)
    tiny_tokenizer(CHATML).save_pretrained(tmp_path)
    model = ModelConfig(id=str(tmp_path))
    config = EngineConfig(kind="vllm", device="cpu", replicas=2, kv_cache_gib=0.25, max_model_len=384)
    sampling = Sampling(temperature=0.0, max_new_tokens=12)
    requests = [
        GenerationRequest((Turn("user", (f"Say {n}.",)),), sampling, 0, "test", affinity=f"{n}")
        for n in range(8)
    ]
    assert len({derive_seed(f"{n}") % 2 for n in range(8)}) == 2  # both replicas have some of them
    engine, peer = VllmEngine(model, config), TransformersEngine(model, EngineConfig(device="cpu"))
    try:
        found = together([engine.generate(request) for request in requests])
        links = engine._host._link
        assert isinstance(links, ReplicaLinks)
        groups = [link.group for link in links.links if isinstance(link, HostLink)]
        assert len(set(groups)) == 2
    finally:
        engine.close()
    assert [living_members(group) for group in groups] == [[], []]
    expected = together([peer.generate(request) for request in requests])
    peer.close()
    same = [a.text == b.text for a, b in zip(found, expected, strict=True)]
    assert sum(same) >= len(same) - 1  # one near-tie may be decided by rounding

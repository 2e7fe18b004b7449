"""A sampler in vLLM that falls silent ends training in one line; one that is slow does not."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from itertools import count
from typing import Any

import pytest

from core.errors import EngineError
from engines.config import EngineConfig
from training.rl import vllm_sampler
from training.rl.vllm_sampler import VllmSampler


class Link:
    """Stands for the link to a host; its progress is what the test says."""

    progress = 0


class Working:
    """A link whose host draws a token between any two looks."""

    def __init__(self) -> None:
        self._tokens = count()

    @property
    def progress(self) -> int:
        return next(self._tokens)


@pytest.fixture
def sampler(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A sampler without a process: only the settings that waiting needs."""
    monkeypatch.setattr(vllm_sampler, "_LOOK_S", 0.01)
    made: Any = VllmSampler.__new__(VllmSampler)
    made._engine, made._name = EngineConfig(kind="vllm", request_timeout_s=0.1), "policy"
    return made


def test_silence_ends_training_in_one_line(sampler: Any):
    done: Future[Any] = Future()
    done.set_result("answer")
    with pytest.raises(EngineError, match=r"policy: vLLM has drawn no token for 0\.1 s"):
        sampler._answers(Link(), [done, Future()])


def test_slow_answers_are_waited_for_while_tokens_are_drawn(sampler: Any):
    slow: Future[Any] = Future()
    timer = threading.Timer(0.4, slow.set_result, ["answer"])
    timer.start()
    assert sampler._answers(Working(), [slow]) == ["answer"]
    timer.join()

"""A stand-in for the link to vLLM's host process that counts loads, for tests of this side of the link."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from engines.vllm import setup, shared_host
from engines.vllm.wire import Adapter, Load, Response

LETTERS = 12
"""Answers are made of this many token ids, from `first`."""


@dataclass
class Hosts:
    """All hosts that were started, in order."""

    first: int
    """First token id that answers are made of."""
    loads: list[Load] = field(default_factory=list)
    running: list[CountedLink] = field(default_factory=list)
    asked: list[tuple[int, str | None]] = field(default_factory=list)
    """Number of the host and folder of the adapter of each request."""
    on_load: Callable[[], None] = lambda: None


class CountedLink:
    """Answers as the link to a host does, by chance, with the request as seed."""

    def __init__(self, hosts: Hosts, load: Load) -> None:
        hosts.on_load()
        hosts.loads.append(load)
        hosts.running.append(self)
        self._hosts, self._number = hosts, len(hosts.loads) - 1
        self.max_tokens: Future[int] = Future()
        """Maximum length of a request, which is known at once."""
        self.max_tokens.set_result(2**15)
        self.progress = 0
        """No token is ever on its way: answers come at once."""

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
        """Return an answer of random letters, and random log-probabilities of the choices."""
        assert self in self._hosts.running
        folder = None if adapter is None else adapter.folder
        self._hosts.asked.append((self._number, folder))
        # By name: the folder's path differs from run to run.
        drawn = random.Random(f"{prompt_ids} {folder and Path(folder).name} {sampling['seed']}")
        first, ends = self._hosts.first, sampling["stop_token_ids"]
        count = min(6, sampling["max_tokens"])
        letters = tuple(drawn.randrange(first, first + LETTERS) for _ in range(count))
        shares = [0.1 + drawn.random() for _ in choice_ids]
        future: Future[Response] = Future()
        future.set_result(
            Response(
                id=0,
                token_ids=(*letters, *ends[:1]),
                finish_reason="stop" if ends else "length",
                logprobs=tuple(math.log(share / sum(shares)) for share in shares),
            )
        )
        return future

    def close(self) -> None:
        """End the host."""
        self._hosts.running.remove(self)


def count_hosts(monkeypatch: pytest.MonkeyPatch, first: int = 70) -> Hosts:
    """Replace the link to every host; vLLM counts as installed, for a CPU."""
    hosts = Hosts(first)

    def start(command: Sequence[str], load: Load, name: str, environment: Mapping[str, str]) -> CountedLink:
        return CountedLink(hosts, load)

    monkeypatch.setattr(shared_host, "HostLink", start)
    monkeypatch.setattr(setup, "vllm_device", lambda: "cpu")
    return hosts

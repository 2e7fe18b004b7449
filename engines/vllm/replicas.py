"""Several host processes with copies of one model behind one link, and which of them gets a request.

Each replica has a prefix cache of its own, so requests that share text should meet in one: a conversation's
draft, critiques and revisions, and all questions about the answers to a prompt. They have the same `affinity`
(`engines.protocols`), and each affinity has a home by its hash. As long as requests of an affinity are in
flight, further ones join them. Otherwise the least busy replica takes those whose home is far behind.

Which replica answers changes an answer by rounding only, as the company of other requests does.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor, wait
from typing import Protocol

from pydantic import JsonValue

from core.digests import derive_seed
from engines.vllm.wire import Adapter, Response

SLACK = 32
"""Requests in flight that a home may have more than the least busy replica, whatever that one has. A
comparison under 16 principles in both orders is that many."""


class AnswersRequests(Protocol):
    """A link to one host process or to several (`engines.vllm.link.HostLink`)."""

    @property
    def max_tokens(self) -> Future[int]:
        """Maximum number of tokens in a prompt and its answer; done when the model is loaded."""
        ...

    @property
    def progress(self) -> int:
        """Number of tokens drawn."""
        ...

    def ask(
        self,
        prompt_ids: tuple[int, ...],
        sampling: Mapping[str, JsonValue],
        choice_ids: tuple[int, ...] = (),
        *,
        wants_logprobs: bool = False,
        adapter: Adapter | None = None,
        affinity: str | None = None,
    ) -> Future[Response]:
        """Send a request; return its future."""
        ...

    def close(self) -> None:
        """Fail all pending requests and end the processes. Safe to call twice."""
        ...


class ReplicaLinks:
    """Links to replicas of one model, used as one.

    Args:
        links: a link to each replica, at least one. They load at the same time.
    """

    def __init__(self, links: Sequence[AnswersRequests]) -> None:
        self.links = tuple(links)
        self._lock = threading.Lock()
        self._in_flight = [0] * len(self.links)
        self._places: dict[str, tuple[int, int]] = {}
        """For each affinity with requests in flight, the replica and how many."""
        self.max_tokens: Future[int] = Future()
        """Smallest maximum length of the replicas; done when all are loaded, or one failed."""
        self.max_tokens.set_running_or_notify_cancel()
        for link in self.links:
            link.max_tokens.add_done_callback(self._loaded)

    @property
    def progress(self) -> int:
        """Number of tokens drawn by all replicas, as they last reported it."""
        return sum(link.progress for link in self.links)

    @property
    def in_flight(self) -> tuple[int, ...]:
        """Number of requests without an answer at each replica."""
        return tuple(self._in_flight)

    def ask(
        self,
        prompt_ids: tuple[int, ...],
        sampling: Mapping[str, JsonValue],
        choice_ids: tuple[int, ...] = (),
        *,
        wants_logprobs: bool = False,
        adapter: Adapter | None = None,
        affinity: str | None = None,
    ) -> Future[Response]:
        """Send a request to its replica; return its future. Cancelling the future drops the request.

        Args:
            prompt_ids: as of `HostLink.ask`.
            sampling: as of `HostLink.ask`.
            choice_ids: as of `HostLink.ask`.
            wants_logprobs: as of `HostLink.ask`.
            adapter: as of `HostLink.ask`.
            affinity: requests with the same one go to the same replica; None for the least busy one.
        """
        place = self._take_place(affinity)
        future = self.links[place].ask(
            prompt_ids, sampling, choice_ids, wants_logprobs=wants_logprobs, adapter=adapter
        )
        future.add_done_callback(lambda _: self._leave_place(place, affinity))
        return future

    def close(self) -> None:
        """End all replicas, at the same time: each may take seconds."""
        with ThreadPoolExecutor(len(self.links)) as pool:
            wait([pool.submit(link.close) for link in self.links])

    def _take_place(self, affinity: str | None) -> int:
        with self._lock:
            least = min(range(len(self.links)), key=self._in_flight.__getitem__)
            if affinity is None:
                place, count = least, 0
            elif affinity in self._places:
                place, count = self._places[affinity]
            else:
                place, count = self._home_or(least, affinity), 0
            self._in_flight[place] += 1
            if affinity is not None:
                self._places[affinity] = place, count + 1
            return place

    def _home_or(self, least: int, affinity: str) -> int:
        """Return the home of an affinity, or the least busy replica if the home is far behind it."""
        home = derive_seed(affinity) % len(self.links)
        ahead = self._in_flight[least]
        return least if self._in_flight[home] - ahead > max(SLACK, ahead) else home

    def _leave_place(self, place: int, affinity: str | None) -> None:
        with self._lock:
            self._in_flight[place] -= 1
            if affinity is not None:
                _, count = self._places.pop(affinity)
                if count > 1:
                    self._places[affinity] = place, count - 1

    def _loaded(self, _: Future[int]) -> None:
        """Settle the maximum length once every replica has found its own, or the first has failed."""
        limits = [link.max_tokens for link in self.links]
        failed = next((one for one in limits if one.done() and one.exception() is not None), None)
        with contextlib.suppress(InvalidStateError):  # settled by another replica at the same time
            if failed is not None:
                self.max_tokens.set_exception(failed.exception())
            elif all(one.done() for one in limits):
                self.max_tokens.set_result(min(one.result() for one in limits))

"""A fleet: workers in other processes that do the steps of a run's stages, replaced when they end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from zlib import crc32

from core.errors import EngineError, FailedRequestError
from core.notices import counted, warn
from core.records import Record
from engines.cached import RequestCounts
from engines.endpoint.spending import ServerRecord, merged_records
from publius.stages.base import HERE, Made, NotMade
from publius.stages.scale.worker import WorkResult

_TRIES = 3
"""Workers that may end during the work on one item before the item is left out."""


class WorkerLostError(Exception):
    """The process of a worker ended, or its machine is gone."""


class RemoteWorker(Protocol):
    """A worker in another process."""

    async def work(self, step: str, item: Record, names: Sequence[str]) -> WorkResult:
        """Do a step on a record and return what it made.

        Raises:
            WorkerLostError: the process ended.
            PubliusError: the engines cannot go on.
        """
        ...


class Hosting(Protocol):
    """Starts and ends the processes of workers."""

    async def start(self, number: int) -> RemoteWorker:
        """Start a worker, or another one in place of one that ended, and return it when it can work.

        Raises:
            WorkerLostError: the process ended while it started.
            PubliusError: it cannot be started.
        """
        ...

    def describe(self) -> str:
        """Return where the workers are, such as `2 machines`."""
        ...

    def close(self) -> None:
        """End all workers."""
        ...


@dataclass
class _Place:
    """The place of a worker, which outlives the worker's process."""

    number: int
    worker: RemoteWorker | None = None
    busy: int = 0
    """Items in progress."""
    lost_in_a_row: int = 0
    """Processes that ended since one of them last finished an item."""
    starting: asyncio.Lock = field(default_factory=asyncio.Lock)


class WorkerFleet:
    """Gives items to workers and replaces workers that end.

    An item goes to the worker that the digest of its id names, or to the least busy one if that worker is
    full. All requests of a conversation or comparison thus reach one engine, which shares their prefix, and
    no worker is idle while items wait. A worker that ends is replaced, and its items are done again.

    Args:
        hosting: starts the workers.
        workers: number of workers.
        in_progress: maximum number of items in progress at each.
        restarts: replacements in a row of one worker after which the work stops.
    """

    def __init__(self, hosting: Hosting, workers: int, in_progress: int, restarts: int) -> None:
        self._hosting = hosting
        self._in_progress = in_progress
        self._restarts = restarts
        self._places = [_Place(number) for number in range(workers)]
        self._loop: asyncio.AbstractEventLoop | None = None
        self._counts = RequestCounts()
        self._servers: list[ServerRecord] = []
        self.replaced = 0
        """Number of workers that were replaced."""

    @property
    def at_once(self) -> int:
        """Maximum number of items in progress in all workers."""
        return len(self._places) * self._in_progress

    def takes(self, step: str) -> bool:
        """Return True for every step that asks models."""
        return step != HERE

    async def work(self, step: str, item: Record, names: Sequence[str]) -> Sequence[Made]:
        """Return what a step makes of an item; an item during which several workers ended is left out."""
        self._enter()
        for _ in range(_TRIES):
            place = self._place_of(item)
            place.busy += 1
            try:
                worker = await self._worker_of(place)
                try:
                    result = await worker.work(step, item, names)
                except WorkerLostError as error:
                    self._lose(place, worker, error)
                    continue
            finally:
                place.busy -= 1
            place.lost_in_a_row = 0
            self._counts += result.counts
            self._servers = merged_records(self._servers, result.servers)
            return result.made
        return (NotMade(FailedRequestError("its worker ended", detail=f"{_TRIES} times")),)

    def counts(self) -> RequestCounts:
        """Return the requests of all workers since they were last taken."""
        return self._counts

    def take_counts(self) -> RequestCounts:
        """Return the requests of all workers and reset them."""
        taken, self._counts = self._counts, RequestCounts()
        return taken

    def take_server_records(self) -> list[ServerRecord]:
        """Return what the workers asked of servers since this was last called."""
        taken, self._servers = self._servers, []
        return taken

    def state(self) -> str:
        """Return how many workers there are, and how many of them are not working now."""
        ready = sum(place.worker is not None for place in self._places)
        parts = [f"{ready} of {counted(len(self._places), 'worker')}"]
        if where := self._hosting.describe():
            parts.append(f"on {where}")
        if self.replaced:
            parts.append(f"({self.replaced:,} replaced)")
        return " ".join(parts)

    def close(self) -> None:
        """End all workers."""
        self._hosting.close()

    def _enter(self) -> None:
        """Begin a new event loop: each stage has its own."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop = loop
            for place in self._places:
                place.busy, place.starting = 0, asyncio.Lock()

    def _place_of(self, item: Any) -> _Place:
        home = self._places[crc32(item.id.encode()) % len(self._places)]
        return home if home.busy < self._in_progress else min(self._places, key=lambda place: place.busy)

    async def _worker_of(self, place: _Place) -> RemoteWorker:
        """Return the worker of a place, started if it has none. Raises EngineError if they keep ending."""
        async with place.starting:
            while place.worker is None:
                if place.lost_in_a_row > self._restarts:
                    raise EngineError(
                        f"worker {place.number + 1} ended {place.lost_in_a_row} times without a result",
                        where="scale",
                        accepted="workers with enough memory for the models; a smaller scale.in_progress",
                        run="tail /tmp/ray/session_latest/logs/worker-*.err on its machine",
                    )
                try:
                    place.worker = await self._hosting.start(place.number)
                except WorkerLostError as error:
                    self._lose(place, None, error)
            return place.worker

    def _lose(self, place: _Place, worker: RemoteWorker | None, error: WorkerLostError) -> None:
        """Count that the worker of a place ended; only once, though all of its items notice."""
        if place.worker is worker:
            place.worker = None
            place.lost_in_a_row += 1
            self.replaced += 1
            warn(f"worker {place.number + 1} ended and is replaced; its work is done again: {error}")

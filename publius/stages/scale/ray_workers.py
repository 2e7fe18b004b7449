"""Workers as actors on a Ray cluster: an existing one, that of a submitted job, or one on this machine.

Ray Core and not Ray Data: a prompt is drafted, criticized and revised in one conversation, whose requests
interleave with those of many others in one engine. A batch operator would wait for the slowest of a batch.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from core.errors import ConfigError, PubliusError, RunStateError, first_line
from core.lazy import require
from core.notices import counted, note
from core.records import Record
from publius.config.run_file import RunConfig
from publius.config.scale import ScaleConfig
from publius.runs.engines import EngineMaker, conversations, make_engine, roles_in_use
from publius.stages.scale.fleet import RemoteWorker, WorkerFleet, WorkerLostError
from publius.stages.scale.worker import StageWorker, WorkOrder, WorkResult

_LOOK_EVERY_S = 5.0


@contextmanager
def fleet_of(config: RunConfig, order: WorkOrder, make: EngineMaker = make_engine) -> Iterator[WorkerFleet]:
    """Yield the workers of a run on its Ray cluster; end them at the end.

    The workers start with the first item that one of them is given.

    Args:
        config: the run's configuration, with `scale.kind: ray`.
        order: what the workers must know.
        make: builds an engine; sent to the workers.

    Raises:
        MissingExtraError: Ray is not installed.
        ConfigError: an engine's GPUs are chosen by the run file, which Ray chooses.
        RunStateError: there is no cluster at the address.
    """
    scale = config.scale
    ray = require("ray", "ray")
    _require_no_own_gpus(config)
    mine = not ray.is_initialized()
    if mine:
        _connect(ray, scale)
    hosting = _RayHosting(ray, scale, order, make, gpus=_gpus(ray, config))
    fleet = WorkerFleet(hosting, scale.workers, in_progress_of(config), scale.restarts)
    try:
        yield fleet
    finally:
        fleet.close()
        if mine:
            ray.shutdown()


def in_progress_of(config: RunConfig) -> int:
    """Return the maximum number of items in progress at one worker."""
    return config.scale.in_progress or conversations(config.engine)


class _Actor:
    """The process of a worker. Errors are returned, so that they arrive as they are."""

    def __init__(self) -> None:
        self._worker: StageWorker | None = None

    async def open(self, order: WorkOrder, make: EngineMaker) -> PubliusError | None:
        """Open the engines of a run."""
        try:
            self._worker = await asyncio.to_thread(StageWorker, order, make)
        except PubliusError as error:
            return error
        return None

    async def work(self, step: str, item: Record, names: Sequence[str]) -> WorkResult | PubliusError:
        """Do a step on a record."""
        assert self._worker is not None, "the worker is not open"
        try:
            return await self._worker.work(step, item, names)
        except PubliusError as error:
            return error

    async def place(self) -> str:
        """Return the name of the machine."""
        return os.uname().nodename

    async def close(self) -> None:
        """Close the engines."""
        if self._worker is not None:
            await asyncio.to_thread(self._worker.close)
            self._worker = None


@dataclass
class _RayWorker:
    """A worker in an actor."""

    ray: Any
    actor: Any

    async def work(self, step: str, item: Record, names: Sequence[str]) -> WorkResult:
        """Do a step on a record in the actor."""
        found = await _answer(self.ray, self.actor.work.remote(step, item, names))
        if isinstance(found, PubliusError):
            raise found
        assert isinstance(found, WorkResult)
        return found


@dataclass
class _RayHosting:
    """Starts actors and ends them."""

    ray: Any
    scale: ScaleConfig
    order: WorkOrder
    make: EngineMaker
    gpus: float
    actors: dict[int, Any] = field(default_factory=dict)
    places: dict[int, str] = field(default_factory=dict)

    async def start(self, number: int) -> RemoteWorker:
        """Start the actor with a number, and open its engines."""
        scale = self.scale
        options = {
            "num_cpus": scale.cpus,
            "num_gpus": self.gpus,
            "resources": dict(scale.resources) or None,
            "max_concurrency": 1_000_000,  # the fleet limits it
            "max_restarts": 0,  # the fleet replaces it
            "enable_task_events": False,  # Ray's control server keeps 3 kB of each call for its dashboard
        }
        actor = self.ray.remote(_Actor).options(**options).remote()
        self.actors[number] = actor
        self.places[number] = await self._placed(actor, number)
        failure = await _answer(self.ray, actor.open.remote(self.order, self.make))
        if failure is not None:
            raise failure
        return _RayWorker(self.ray, actor)

    async def _placed(self, actor: Any, number: int) -> str:
        """Wait for the cluster to have room for an actor; return its machine."""
        started, where = time.monotonic(), actor.place.remote()
        while True:
            waiting = _LOOK_EVERY_S
            ready, _ = await asyncio.to_thread(self.ray.wait, [where], timeout=waiting)
            if ready:
                return str(await _answer(self.ray, where))
            waited_s = time.monotonic() - started
            if waited_s > self.scale.wait_s:
                raise RunStateError(
                    f"the Ray cluster has had no room for worker {number + 1} for {waited_s:.0f} s; it has "
                    f"{_in_words(self.ray.cluster_resources())}",
                    where="scale",
                    accepted=f"room for {counted(self.scale.workers, 'worker')} of {self._needs()} each, or "
                    "fewer scale.workers",
                    run="ray status",
                )
            note(f"worker {number + 1} waits for {self._needs()} on the Ray cluster")

    def _needs(self) -> str:
        return _in_words({"CPU": self.scale.cpus, "GPU": self.gpus, **self.scale.resources})

    def describe(self) -> str:
        """Return the number of machines, if there are several."""
        machines = len(set(self.places.values()))
        return counted(machines, "machine") if machines > 1 else ""

    def close(self) -> None:
        """Close the engines of all actors and end them."""
        closing = [actor.close.remote() for actor in self.actors.values()]
        if closing:
            self.ray.wait(closing, num_returns=len(closing), timeout=_LOOK_EVERY_S)
        for actor in self.actors.values():
            self.ray.kill(actor)
        self.actors.clear()


async def _answer(ray: Any, reference: Any) -> Any:
    """Return what an actor answers. Raises WorkerLostError if its process ended."""
    try:
        return await reference
    except (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError) as error:
        raise WorkerLostError(first_line(error)) from error


def _connect(ray: Any, scale: ScaleConfig) -> None:
    """Connect to the cluster, or start one on this machine with room for the workers."""
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    address = scale.address
    if address is None and not os.environ.get("RAY_ADDRESS"):
        address = "local"  # without it, Ray would take a cluster of this machine, if one has been started
        needed = math.ceil(scale.cpus * scale.workers)
        options |= {
            "num_cpus": max(needed, os.cpu_count() or 1),
            "resources": {name: amount * scale.workers for name, amount in scale.resources.items()},
            "include_dashboard": False,
        }
        note(f"starting Ray on this machine for {counted(scale.workers, 'worker')}")
    try:
        ray.init(address=address, **options)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise RunStateError(
            f"no Ray cluster answers: {first_line(error)}",
            where=f"scale.address {scale.address or os.environ.get('RAY_ADDRESS', '')}".strip(),
            accepted="the address of a running cluster, with RAY_AUTH_MODE=token if it wants a token; or "
            "none, for a cluster on this machine",
            run="ray status",
        ) from error


def _gpus(ray: Any, config: RunConfig) -> float:
    """Return the GPUs of a worker: as set, else one if an engine can use one that the cluster has."""
    if config.scale.gpus is not None:
        return config.scale.gpus
    kinds = {config.engine.for_model(config.models.of(role), role).kind for role in roles_in_use(config)}
    uses = bool(kinds & {"vllm", "transformers"})
    return 1.0 if uses and ray.cluster_resources().get("GPU", 0.0) else 0.0


def _require_no_own_gpus(config: RunConfig) -> None:
    for role in roles_in_use(config):
        if config.engine.for_model(config.models.of(role), role).gpus is not None:
            raise ConfigError(
                f"the engine of {role} has gpus of its own, and Ray gives each worker its GPUs",
                where=f"models.{role}.engine.gpus",
                accepted="scale.gpus, the number of GPUs of each worker",
            )


def _in_words(resources: dict[str, float]) -> str:
    """Return resources as `2 CPU, 1 GPU`, without those of Ray itself."""
    own = {name: resources[name] for name in sorted(resources) if ":" not in name and "memory" not in name}
    return ", ".join(f"{amount:g} {name}" for name, amount in own.items() if amount) or "nothing"

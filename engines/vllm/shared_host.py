"""A host process that several engines share: one loaded model, with an adapter per request."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from core.errors import EngineError
from core.notices import note
from engines.config import EngineConfig
from engines.vllm.link import HostLink
from engines.vllm.replicas import AnswersRequests, ReplicaLinks
from engines.vllm.setup import HOST_COMMAND, attachable_rank, host_environment, replica_engines
from engines.vllm.wire import Load


class SharedHost:
    """The host process of one model. It starts at the first request and runs while an engine uses it.

    vLLM makes room for adapters when it loads the model, so it must know their number and largest rank by
    then. Engines announce their adapters when they are made (`admit`), which is before any of them is asked.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._link: AnswersRequests | None = None
        self._users: set[object] = set()
        self._adapters: list[Path] = []

    def admit(self, adapter: Path) -> bool:
        """Announce an adapter; return False if vLLM cannot attach it to this host, or if the host is running.

        An adapter that vLLM cannot attach at all is not announced, so that it does not end the requests of
        other engines; its own requests raise the error.
        """
        try:
            attachable_rank(adapter)
        except EngineError:
            return False
        with self._lock:
            if adapter not in self._adapters:
                if self._link is not None:
                    return False
                self._adapters.append(adapter)
        return True

    def link_for(
        self,
        user: object,
        name: str,
        load: Callable[[Sequence[Path], EngineConfig], Load],
        engine: EngineConfig,
    ) -> AnswersRequests:
        """Return the link to the running host, or to its replicas; start them first if needed.

        Args:
            user: the engine that asks; the host runs until it is released.
            name: name of the model, for messages.
            load: returns a host's first message; it takes the folders of all announced adapters, and the
                settings of the host.
            engine: settings of all engines that share the host: replicas, GPUs and processes.
        """
        with self._lock:
            if self._link is None:
                self._link = self._started(name, load, engine)
            self._users.add(user)
            return self._link

    def _started(
        self, name: str, load: Callable[[Sequence[Path], EngineConfig], Load], engine: EngineConfig
    ) -> AnswersRequests:
        """Start the host of each replica, which load at the same time."""
        engines = replica_engines(engine)
        count = len(engines)
        starts = [
            (load(tuple(self._adapters), own), host_environment(own, number, count))
            for number, own in enumerate(engines)
        ]
        note(f"loading {name} (vllm{f', {count} replicas' if count > 1 else ''})")
        links = [HostLink(HOST_COMMAND, message, name, environment) for message, environment in starts]
        return links[0] if count == 1 else ReplicaLinks(links)

    @property
    def progress(self) -> int | None:
        """A number that changes while the model draws tokens; None while it is loading."""
        link = self._link
        return link.progress if link is not None and link.max_tokens.done() else None

    def release(self, user: object) -> None:
        """Stop using the host. Its last user shuts it down and waits until all its processes are gone."""
        # The lock is held only for the swap: closing may take seconds.
        with self._lock:
            self._users.discard(user)
            if self._users:
                return
            link, self._link = self._link, None
        if link is not None:
            link.close()

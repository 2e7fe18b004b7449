"""The thread of the bench: an event loop, and the project's engines, which open in the background."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from constitution.schema import Constitution
from core.store.cache import RequestCache
from engines.embedded import EMBEDDED_NAME
from labelers.ai import require_labeler
from prompts.user_templates import user_templates
from publius.config.run_file import RunConfig
from publius.config.stand_ins import made_up, stand_in_roles
from publius.runs.engines import EMBEDDED_JUDGES_BY_CHANCE, EngineMaker, Engines, roles_in_use
from publius.runs.parts.audited import judges_by_model

_T = TypeVar("_T")


class BenchLoop:
    """An event loop in a thread of its own, so that neither the page's server nor the models wait for it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="bench", daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, _T]) -> Future[_T]:
        """Run a coroutine on the loop, from any other thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def call(self, function: Callable[[], _T]) -> _T:
        """Call a function on the loop, from any other thread, and return its result."""

        async def called() -> _T:
            return function()

        return self.submit(called()).result()

    def close(self) -> None:
        """Cancel what is running and end the thread."""
        self.loop.call_soon_threadsafe(self._cancel)
        self._thread.join(5.0)

    def _cancel(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.call_soon(self.loop.stop)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()


class BenchEngines:
    """The engines of a configuration, opened at their first use in a thread of the executor.

    Args:
        config: the configuration.
        cache: the project's request cache.
        make: builds an engine; tests pass their own.
        changed: called when the state of the engines has changed.
    """

    def __init__(
        self, config: RunConfig, cache: RequestCache, make: EngineMaker, changed: Callable[[], None]
    ) -> None:
        self.config = config
        self.templates = user_templates(config.templates)
        self._cache, self._make, self._changed = cache, make, changed
        self._opened: asyncio.Task[Engines] | None = None
        self.ready: Engines | None = None
        self.state = "idle"
        """`idle`, `loading`, `ready` or `failed`."""
        self.problem = ""

    async def opened(self) -> Engines:
        """Return the engines, after opening them if need be.

        Raises:
            PubliusError: a model is missing, or cannot label.
        """
        if self._opened is None or (self._opened.done() and self.state == "failed"):
            self._opened = asyncio.create_task(self._open())
        return await asyncio.shield(self._opened)

    def as_json(self, constitution: Constitution | None) -> dict[str, Any]:
        """Return the state and the models as JSON-able values.

        Args:
            constitution: the one that is shown; nothing is said about a labeler that it asks nothing.
        """
        asked = constitution is None or judges_by_model(self.config.label, constitution)
        models = {role: self.config.models.of(role).id for role in ("policy", "critic", "labeler")}
        roles = stand_in_roles(self.config)
        notes = [made_up(roles)] if roles else []
        if asked and models["labeler"] == EMBEDDED_NAME and "labeler" not in roles:
            notes.append(EMBEDDED_JUDGES_BY_CHANCE)
        return {"state": self.state, "models": models, "problem": self.problem, "notes": notes}

    def close(self) -> None:
        """Close the engines."""
        if self.ready is not None:
            self.ready.close()

    async def _open(self) -> Engines:
        self._set("loading")
        try:
            engines = await asyncio.to_thread(self._made)
        except Exception as error:
            self._set("failed", str(error))
            raise
        self.ready = engines
        self._set("ready")
        return engines

    def _made(self) -> Engines:
        config = self.config
        roles = roles_in_use(config)
        engines = Engines(config.models, config.engine, self._cache, self._make, roles)
        # The prompts of judgments end with the principle, so an edit of it changes only their ends.
        engines.of("labeler").remember_prompts()
        _ = engines.identities()  # reads the files of each model, which takes seconds
        if config.label.principles:
            require_labeler(engines.of("labeler"), self.templates, config.label)
        return engines

    def _set(self, state: str, problem: str = "") -> None:
        self.state, self.problem = state, problem
        self._changed()

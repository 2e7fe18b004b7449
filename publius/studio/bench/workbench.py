"""The bench as other threads use it: the page's server, and the panels that need the project's engines."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from constitution.loader import LoadedConstitution
from core.errors import ConfigError
from core.records import Prompt
from publius.config.run_file import RunConfig
from publius.runs.engines import EngineMaker, Engines, make_engine
from publius.runs.project import open_cache
from publius.studio.bench.bench import Bench
from publius.studio.bench.engines import BenchLoop
from publius.studio.bench.saved import SavedBench
from publius.studio.project import PINNED, STATE_FOLDER, StudioProject

_T = TypeVar("_T")


class Workbench:
    """A bench on a thread of its own. Thread-safe; close it at the end.

    Args:
        project: the project.
        publish: called with a topic and its content when what the page shows has changed.
        make: builds an engine; tests pass their own.
    """

    def __init__(
        self,
        project: StudioProject,
        publish: Callable[[str, dict[str, Any]], None],
        make: EngineMaker = make_engine,
    ) -> None:
        problem = ""
        try:
            config = project.config()
        except ConfigError as error:  # the editor is where it is mended
            config = project.plain_config()
            problem = f"The bench has the settings of `publius try`, since the run file has mistakes. {error}"
        self._cache = open_cache(project.folder, config.cache.max_bytes)
        self._thread = BenchLoop()
        self._closing = threading.Lock()
        saved = SavedBench(Path(project.folder / STATE_FOLDER / "bench.json"))

        def made() -> Bench:
            bench = Bench(project.folder / PINNED, saved, config, self._cache, make, publish)
            bench.problem = problem
            return bench

        self._bench = self._thread.call(made)
        self._thread.call(self._bench.begin)

    def do(self, call: Callable[[Bench], _T]) -> _T:
        """Call a function with the bench, on its thread, and return the result."""
        return self._thread.call(lambda: call(self._bench))

    def post(self, call: Callable[[Bench], object]) -> None:
        """Call a function with the bench, on its thread, without waiting for it."""
        self._thread.loop.call_soon_threadsafe(lambda: call(self._bench))

    def edit(self, loaded: LoadedConstitution, source: str = "", unfinished: str | None = None) -> None:
        """Show and ask for the labels under a constitution, whose principle `unfinished` is being typed."""
        self.do(lambda bench: bench.edit(loaded.constitution, source, unfinished))

    def configure(self, config: RunConfig) -> None:
        """Work with the configuration of an edited run file."""
        self.do(lambda bench: bench.configure(config))

    def keep_prompt(self, prompt: Prompt) -> str:
        """Put a prompt on the bench, pinned, and return its id. Raises DataError if the bench is full."""

        def kept(bench: Bench) -> str:
            identity = bench.add(prompt, "typed")
            bench.pin(identity, True)
            return identity

        return self.do(kept)

    def submit(self, work: Callable[[Engines], Awaitable[_T]]) -> Future[_T]:
        """Run a coroutine with the engines of the project, which are opened if need be."""

        async def worked() -> _T:
            return await work(await self._bench.opened_engines())

        return self._thread.submit(worked())

    def close(self) -> None:
        """Stop what is running and close the engines and the cache."""
        with self._closing:
            self.do(lambda bench: bench.close())
            self._thread.close()
            self._cache.close()

"""The workers of a run while its stages go by: started for those that they can do, ended for the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from publius.runs.engines import EngineMaker, Engines
from publius.runs.folder import Run
from publius.stages.base import SHARED_STAGES, Stage
from publius.stages.scale.worker import WorkOrder


class StageWorkers:
    """Starts the workers of a run before the first stage that they do, and ends them before the next other.

    Their memory and GPUs are thus free for a training.
    """

    def __init__(self, run: Run, engines: Engines, project: Path, make: EngineMaker) -> None:
        self._run, self._engines, self._project, self._make = run, engines, project, make
        self._open = ExitStack()

    def begin(self, stage: Stage) -> None:
        """Start or end the workers as a stage needs it."""
        if stage not in SHARED_STAGES:
            self.close()
        elif self._engines.fleet is None and self._run.config.scale.kind == "ray":
            from publius.stages.scale.ray_workers import fleet_of

            order = WorkOrder.of(self._run, self._project, self._run.config.scale.workers)
            self._engines.fleet = self._open.enter_context(fleet_of(self._run.config, order, self._make))

    def close(self) -> None:
        """End the workers."""
        self._engines.fleet = None
        self._open.close()


@contextmanager
def workers_of(run: Run, engines: Engines, project: Path, make: EngineMaker) -> Iterator[StageWorkers]:
    """Yield the workers of a run, none of which has started; end them at the end."""
    workers = StageWorkers(run, engines, project, make)
    try:
        yield workers
    finally:
        workers.close()

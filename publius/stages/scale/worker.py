"""A worker: does steps of a run's stages on single records, in a process with engines of its own.

It needs no shared disk: it receives the inputs of the run as its folder has them, and returns records.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from constitution.loader import load_constitution
from core.digests import digest
from core.errors import ConfigError, RequestError
from core.records import Record
from core.store.files import is_there
from engines.cached import RequestCounts
from engines.config import ROLES, ModelConfig
from engines.endpoint.settings import Budget
from engines.endpoint.spending import ServerRecord
from publius.config.run_file import RunConfig
from publius.runs.engines import EngineMaker, Engines, make_engine, open_engines
from publius.runs.folder import Run
from publius.runs.inputs import CONSTITUTION, CORRECTION, RESOLVED, TEMPLATE_FOLDER, recorded_config
from publius.runs.manifest import MANIFEST
from publius.runs.opening.identity import RunIdentity
from publius.stages.base import Made, NotMade, Step
from publius.stages.compare import AT, compare_steps
from publius.stages.critique import critique_steps
from publius.stages.label import ASK, Labeling
from publius.stages.sample import SAMPLE, sample_step


@dataclass(frozen=True)
class WorkOrder:
    """Everything that a worker must know about a run."""

    files: Mapping[str, bytes]
    """The inputs in the run folder, by their path in it."""
    host: str
    """Name of the machine that has the project."""
    project: str
    """The project's folder there. A worker on that machine shares the project's request cache."""
    workers: int = 1
    """Number of workers, by which a budget for servers is divided."""

    @classmethod
    def of(cls, run: Run, project: Path, workers: int) -> WorkOrder:
        """Return the order of an open run."""
        paths = [run.folder / name for name in (RESOLVED, CONSTITUTION, MANIFEST, CORRECTION)]
        paths += sorted((run.folder / TEMPLATE_FOLDER).glob("*"))
        files = {str(path.relative_to(run.folder)): path.read_bytes() for path in paths if is_there(path)}
        return cls(files, socket.gethostname(), str(project.resolve()), workers)


@dataclass(frozen=True)
class WorkResult:
    """What a step made of an item."""

    made: tuple[Made, ...]
    counts: RequestCounts
    """The requests that the worker counted since its last result."""
    servers: tuple[ServerRecord, ...] = ()
    """What was asked of servers since then."""


class StageWorker:
    """Does steps of a run, many items at once. Close it at the end.

    Args:
        order: the run.
        make: builds an engine.
    """

    def __init__(self, order: WorkOrder, make: EngineMaker = make_engine) -> None:
        self._step = ""
        self._work: Callable[..., AsyncIterator[Made]] | None = None
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="publius-worker-")))
            config = _own_share(_unpacked(order, folder), order.workers)
            identity = RunIdentity(**json.loads(order.files[MANIFEST])["identity"])
            constitution = load_constitution(folder / CONSTITUTION)
            self._engines: Engines = stack.enter_context(open_engines(config, _place_of_cache(order), make))
            self._run: Run = stack.enter_context(Run(folder, config, constitution, identity))
            self._open = stack.pop_all()

    async def work(self, step: str, item: Record, names: Sequence[str]) -> WorkResult:
        """Do a step on a record and return what it made.

        Args:
            step: name of the step.
            item: the record.
            names: ids that the step is limited to.

        Raises:
            PubliusError: the engines cannot go on.
        """
        work, made = self._work_of(step), list[Made]()
        try:
            async for one in work(item, names) if step == ASK else work(item):
                made.append(one)
        except RequestError as error:
            made.append(NotMade(error))
        servers = self._engines.take_server_records()
        return WorkResult(tuple(made), self._engines.take_counts(), tuple(servers))

    def close(self) -> None:
        """Close the engines and remove the worker's files."""
        self._open.close()

    def _work_of(self, step: str) -> Callable[..., AsyncIterator[Made]]:
        """Return the function of a step, and keep only its engines loaded if it is not the last one's."""
        if self._work is None or self._step != step:
            found = self._found(step)
            if found.kept is not None:
                self._engines.keep(*found.kept)
            self._step, self._work = step, found.work
        return self._work

    def _found(self, step: str) -> Step:
        run, engines = self._run, self._engines
        if step == ASK:
            labeling = Labeling.of(run, engines)
            return Step(ASK, (labeling.engine,), labeling.ask)
        if step == SAMPLE:
            return sample_step(run, engines)
        name, _, adapter = step.partition(AT)
        if adapter and not is_there(Path(adapter)):
            raise ConfigError(
                f"the adapter {adapter} is not on the worker's machine {socket.gethostname()}",
                where="scale",
                accepted="a run folder on a disk that all machines share; or compare.from other than sft",
            )
        is_loop = name.startswith("critique.")
        steps: tuple[Step, ...] = (
            critique_steps(run, engines)
            if is_loop
            else compare_steps(run, engines, Path(adapter) if adapter else None)
        )
        if len(steps) > 1:  # what the first one leaves in the cache is needed by the second
            self._open.enter_context(engines.cache.unbounded())
        return next(found for found in steps if found.name == step)


def _unpacked(order: WorkOrder, folder: Path) -> RunConfig:
    for name, content in order.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return recorded_config(folder)


def _own_share(config: RunConfig, workers: int) -> RunConfig:
    """Return the configuration with a worker's share of each budget for servers."""

    def shared(settings: Any) -> Any:
        budget = None if settings is None else settings.budget
        return settings if budget is None else settings.model_copy(update={"budget": _share(budget, workers)})

    roles = {role: getattr(config.models, role) for role in ROLES}
    models = {
        role: model.model_copy(update={"engine": shared(model.engine)})
        for role, model in roles.items()
        if isinstance(model, ModelConfig)
    }
    changes = {"engine": shared(config.engine), "models": config.models.model_copy(update=models)}
    return config.model_copy(update=changes)


def _share(budget: Budget, workers: int) -> Budget:
    tokens = None if budget.tokens is None else max(1, budget.tokens // workers)
    return Budget(tokens=tokens, usd=None if budget.usd is None else budget.usd / workers)


def _place_of_cache(order: WorkOrder) -> Path:
    """Return the folder whose request cache a worker uses: the project or, on another machine, its own.

    The own one stays when the worker ends, so a later run on that machine reuses its answers.
    """
    if order.host == socket.gethostname() and is_there(Path(order.project)):
        return Path(order.project)
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "publius" / digest(order.host, order.project)[:16]

"""The engines of a run: one per distinct model, shared by its roles, all behind one request cache.

Engines that differ only in the adapter share one loaded model where the kind of engine can (vLLM).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from core.records import Record
from core.store.cache import RequestCache
from engines.cached import CachedEngine, RequestCounts
from engines.config import ROLES, WITHOUT_WEIGHTS, EngineConfig, ModelConfig, ModelsConfig
from engines.endpoint.memory import MEMORY
from engines.endpoint.spending import AsksServer, ServerRecord, Spending, merged_records
from engines.judge.settings import holds_judge
from engines.protocols import Engine, SharesModel
from engines.reward.folder import reward_folder
from engines.scripted import ScriptedEngine
from engines.vllm.setup import require_arguments, vllm_device
from publius.config.run_file import RunConfig
from publius.runs.parts.trained import trained_model
from publius.runs.project import open_cache
from training.methods import ON_POLICY_METHODS

EngineRole = Literal["policy", "critic", "labeler", "judge"]
_RUN_ROLES: tuple[EngineRole, ...] = ("policy", "critic", "labeler")

EMBEDDED_JUDGES_BY_CHANCE = "the embedded model judges no better than chance (docs/benchmarks.md)"
"""Warning that accompanies all judgments of the embedded model."""

EngineMaker = Callable[[ModelConfig, EngineConfig], Engine]

_Made = TypeVar("_Made")


def make_engine(model: ModelConfig, engine: EngineConfig) -> Engine:
    """Return an engine of the configured kind for a model, without loading the model."""
    if engine.kind == "scripted":
        return ScriptedEngine(model=f"scripted:{model.id}", keep_history=False)
    if holds_judge(Path(model.id)):
        from engines.judge.engine import ProbeEngine

        return ProbeEngine(Path(model.id), engine.device)
    rewarding = reward_folder(model, from_hub=engine.kind in ("transformers", "vllm"))
    if rewarding is not None:
        from engines.reward.engine import RewardEngine

        return RewardEngine(model, rewarding, engine.device)
    if engine.kind == "vllm":
        from engines.vllm.engine import VllmEngine

        return VllmEngine(model, engine)
    if engine.kind == "http" and engine.dialect != "chat":
        from engines.http.decisions import DecisionEngine

        return DecisionEngine(model, engine)
    if engine.kind == "http":
        from engines.http.engine import HttpEngine

        return HttpEngine(model, engine)
    from engines.hf.engine import TransformersEngine

    return TransformersEngine(model, engine)


def conversations(engine: EngineConfig) -> int:
    """Return the maximum number of conversations in progress at once, by the engine that runs them."""
    return engine.conversations(vllm_device() if engine.kind == "vllm" else None)


class Fleet(Protocol):
    """Workers in other processes, each with engines of its own, that do steps of a run's stages."""

    @property
    def at_once(self) -> int:
        """Maximum number of items in progress in all workers."""
        ...

    def takes(self, step: str) -> bool:
        """Return True if the workers do a step."""
        ...

    async def work(self, step: str, item: Record, names: Sequence[str]) -> Sequence[Any]:
        """Return what a step makes of an item, as `publius.stages.base.Made`.

        Raises:
            PubliusError: the work cannot go on.
        """
        ...

    def counts(self) -> RequestCounts:
        """Return the requests of all workers since they were last taken."""
        ...

    def take_counts(self) -> RequestCounts:
        """Return the requests of all workers and reset them."""
        ...

    def take_server_records(self) -> list[ServerRecord]:
        """Return what the workers asked of servers since this was last called."""
        ...

    def state(self) -> str:
        """Return what the progress line should say about the workers."""
        ...


class Engines:
    """The engines of a run, by role.

    Args:
        models: the model of each role.
        engine: settings of all engines.
        cache: the project's request cache.
        make: builds an engine; tests pass their own.
        roles: the roles in use; the models of other roles are not looked up.
    """

    def __init__(
        self,
        models: ModelsConfig,
        engine: EngineConfig,
        cache: RequestCache,
        make: EngineMaker = make_engine,
        roles: Sequence[EngineRole] = _RUN_ROLES,
    ) -> None:
        self._models = models
        self._engine = engine
        self.cache = cache
        """The project's request cache."""
        self._make = make
        self._roles = roles
        self._built: dict[str, CachedEngine] = {}
        self._made: dict[CachedEngine, Engine] = {}
        """The engine behind each cache."""
        self._budget = Spending(engine.budget)
        self._earlier: tuple[ServerRecord, ...] = ()
        self.fleet: Fleet | None = None
        """Workers that do steps of the stages instead of this process."""
        self._part: Callable[[CachedEngine], bool] | None = None
        """True for the engines that a stage uses which runs beside others; None for all."""

    def of(self, role: EngineRole) -> CachedEngine:
        """Return the engine of a role."""
        return self._engine_of(self._models.of(role))

    def settings(self, role: EngineRole) -> EngineConfig:
        """Return the engine settings of a role: those of the run with the role's own."""
        return self._engine.for_model(self._models.of(role), role)

    def policy_with(self, adapter: Path | None) -> CachedEngine:
        """Return the engine of the policy as trained or, without a folder, as configured.

        The folder holds the trained adapter, or a whole model.

        vLLM loads one model for all of them if they are requested here before the first one is asked.
        """
        policy = self._models.policy
        return self._engine_of(policy if adapter is None else trained_model(adapter, policy))

    def of_model(self, model: ModelConfig) -> CachedEngine:
        """Return the engine of a model that need not have a role, such as that of another run."""
        return self._engine_of(model)

    def fit_together(self, one: EngineRole, other: EngineRole) -> bool:
        """Return True if the engines of two roles can be loaded at once: one model, or different GPUs.

        vLLM reserves most of a GPU's memory, and what transformers needs is not known beforehand.
        """
        first, second = self.settings(one), self.settings(other)
        if {first.kind, second.kind} & WITHOUT_WEIGHTS or self.share_model(self.of(one), self.of(other)):
            return True
        return bool(first.gpus and second.gpus) and not set(first.gpus or ()) & set(second.gpus or ())

    def parameters_of(self, role: EngineRole) -> int | None:
        """Return the number of weights of a role's model; None if the engine does not know it."""
        return self.of(role).parameters

    def vllm_beside_trainer(self, role: EngineRole) -> bool:
        """Return True if the engine of a role is vLLM and starts on the GPU of a training in this process."""
        settings = self.settings(role)
        return settings.kind == "vllm" and (settings.gpus is None or 0 in settings.gpus)

    def part(self, uses: Callable[[CachedEngine], bool]) -> Engines:
        """Return the same engines for a stage that runs beside others: it counts and reports only its own.

        Args:
            uses: True for the engines that the stage uses.
        """
        part = copy(self)
        part._part = uses
        return part

    def keep(self, *wanted: CachedEngine) -> None:
        """Close all engines that use another model, or all without arguments, to free memory.

        Each reloads at its next use. While stages run beside each other, none is closed.
        """
        if self._part is not None:
            return
        for engine in self._built.values():
            if not any(self.share_model(engine, other) for other in wanted):
                engine.close()

    def share_model(self, one: CachedEngine, other: CachedEngine) -> bool:
        """Return True if two engines use one loaded model."""
        made = self._made[one]
        return one is other or (isinstance(made, SharesModel) and made.shares_model_with(self._made[other]))

    def _engine_of(self, model: ModelConfig) -> CachedEngine:
        key = model.model_dump_json()
        if key not in self._built:
            made = self._make(model, self._engine.for_model(model))
            if isinstance(made, SharesModel):
                any(made.join(other) for other in self._made.values())  # the first one that fits
            self._built[key] = CachedEngine(made, self.cache, self._engine.request_timeout_s)
            self._made[self._built[key]] = made
            if isinstance(made, AsksServer):
                made.share_budget(self._budget)
                made.resume(self._earlier, self._role_of(made))
        return self._built[key]

    @property
    def at_once(self) -> int:
        """Maximum number of items that a stage works on at once."""
        return conversations(self._engine) if self.fleet is None else self.fleet.at_once

    async def done(
        self,
        step: str,
        work: Callable[..., AsyncIterator[_Made]],
        item: Any,
        names: Sequence[str] | None = None,
    ) -> AsyncIterator[_Made]:
        """Yield what a step makes of an item, here or, if a fleet does the step, in one of its workers.

        Args:
            step: name of the step.
            work: does the step here; called with the item and, if given, the names.
            item: a record.
            names: ids that the step is limited to, such as those of principles.
        """
        if self.fleet is not None and self.fleet.takes(step):
            for made in await self.fleet.work(step, item, names or ()):
                yield made
            return
        async for made in work(item) if names is None else work(item, names):
            yield made

    def identities(self) -> dict[str, str]:
        """Return a digest of everything that determines a model's answers, for each role in use."""
        return {role: self.of(role).identity for role in self._roles}

    def base_models(self) -> list[str]:
        """Return the names of the models that have no chat template of their own."""
        return sorted({engine.model for engine in self._built.values() if engine.is_base})

    def counts(self) -> RequestCounts:
        """Return the request counts of all engines since they were last taken."""
        own = sum((engine.counts for engine in self._used()), RequestCounts())
        return own if self.fleet is None else own + self.fleet.counts()

    def drawn_tokens(self) -> int:
        """Return the number of tokens drawn for answers by all engines, those of unfinished ones included.

        Engines count on from request to request; only differences mean something. A model that several
        engines share counts once.
        """
        counted: list[CachedEngine] = []
        for engine in self._used():
            if not any(self.share_model(engine, other) for other in counted):
                counted.append(engine)
        return sum(engine.drawn_tokens for engine in counted)

    def stuck(self) -> tuple[int, float]:
        """Return the number of unanswered requests of the engine that is silent longest, and the seconds."""
        found = [engine.waiting.stuck() for engine in self._used()]
        return max(found, key=lambda waiting: waiting[1], default=(0, 0.0))

    def patience_s(self) -> float | None:
        """Return the seconds of silence after which requests fail; None if they never do."""
        limits = [engine.waiting.limit_s for engine in self._used()]
        return min((limit for limit in limits if limit is not None), default=None)

    def server_state(self) -> str:
        """Return what the progress line should say about servers; empty if all is well."""
        states = [made.state() for made in self._servers()]
        if self.fleet is not None:
            states.append(self.fleet.state())
        return ", ".join(filter(None, states))

    def resume_servers(self, earlier: Sequence[ServerRecord]) -> None:
        """Count what earlier commands of a run spent on servers, and report models that changed since."""
        self._earlier = tuple(earlier)
        for record in earlier:
            self._budget.add(record.traffic.tokens, record.traffic.usd)
        for made in self._servers():
            made.resume(self._earlier, self._role_of(made))
            made.report_change(self.cache.path.with_name(MEMORY))

    def take_server_records(self) -> list[ServerRecord]:
        """Return what was asked of servers since this was last called."""
        taken = [replace(made.take_record(), role=self._role_of(made)) for made in self._servers()]
        if self.fleet is not None:
            taken += self.fleet.take_server_records()
        return [record for record in merged_records((), taken) if record.traffic.tries]

    def _role_of(self, engine: object) -> str:
        """Return the first role that has an engine; empty for one of no role."""
        for role in ROLES:
            given = getattr(self._models, role)
            if isinstance(given, ModelConfig):
                built = self._built.get(given.model_dump_json())
                if built is not None and self._made.get(built) is engine:
                    return role
        return ""

    def _servers(self) -> list[AsksServer]:
        made = (self._made[engine] for engine in self._used())
        return [one for one in made if isinstance(one, AsksServer)]

    def _used(self) -> list[CachedEngine]:
        """Return the engines that the stage uses: all, unless other stages run beside it."""
        return [engine for engine in self._built.values() if self._part is None or self._part(engine)]

    def take_counts(self) -> RequestCounts:
        """Return the request counts and reset them."""
        total = self.counts()
        for engine in self._used():
            engine.counts = RequestCounts()
        if self.fleet is not None:
            self.fleet.take_counts()
        return total

    def close(self) -> None:
        """Close every engine."""
        for engine in self._built.values():
            engine.close()


@contextmanager
def open_engines(
    config: RunConfig, project: Path, make: EngineMaker = make_engine, *, pairs_only: bool = False
) -> Iterator[Engines]:
    """Yield the engines of a configuration with the project's request cache; close both at the end.

    Raises:
        ConfigError: if the installed vLLM does not take the arguments of a sampler.
    """
    for method in ON_POLICY_METHODS:
        if method in config.train:  # checked before hours of other stages
            require_arguments(config.on_policy(method).rollout_arguments, f"{method}.rollout_arguments")
    with open_cache(project, config.cache.max_bytes, config.cache.name) as cache:
        roles = roles_in_use(config, pairs_only=pairs_only)
        engines = Engines(config.models, config.engine, cache, make, roles)
        try:
            yield engines
        finally:
            engines.close()


def roles_in_use(config: RunConfig, *, pairs_only: bool = False) -> tuple[EngineRole, ...]:
    """Return the roles whose models a run uses; `pairs_only` if all of its answers are imported."""
    writers: tuple[EngineRole, ...] = () if pairs_only else ("policy", "critic")
    labelers: tuple[EngineRole, ...] = ("labeler",) if config.label.principles else ()
    judges: tuple[EngineRole, ...] = ("judge",) if config.models.judge else ()
    return (*writers, *labelers, *judges)

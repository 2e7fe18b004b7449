"""The engines of a run: one per distinct model, shared by its roles, all behind one request cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from core.store.cache import RequestCache
from engines.cached import CachedEngine, RequestCounts
from engines.config import EngineConfig, ModelConfig, ModelsConfig
from engines.protocols import Engine
from engines.scripted import ScriptedEngine
from publius.config.run_file import RunConfig
from publius.runs.folder import trained_model
from publius.runs.project import open_cache

EngineRole = Literal["policy", "critic", "labeler", "judge"]
_RUN_ROLES: tuple[EngineRole, ...] = ("policy", "critic", "labeler")

EMBEDDED_JUDGES_BY_CHANCE = "the embedded model judges no better than chance (docs/benchmarks.md)"
"""Warning that accompanies all judgments of the embedded model."""

EngineMaker = Callable[[ModelConfig, EngineConfig], Engine]


def make_engine(model: ModelConfig, engine: EngineConfig) -> Engine:
    """Return an engine of the configured kind for a model, without loading the model."""
    if engine.kind == "scripted":
        return ScriptedEngine(model=f"scripted:{model.id}", keep_history=False)
    if engine.kind == "vllm":
        from engines.vllm.engine import VllmEngine

        return VllmEngine(model, engine)
    from engines.hf.engine import TransformersEngine

    return TransformersEngine(model, engine)


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
        self._cache = cache
        self._make = make
        self._roles = roles
        self._built: dict[str, CachedEngine] = {}

    def of(self, role: EngineRole) -> CachedEngine:
        """Return the engine of a role."""
        return self._engine_of(self._models.of(role))

    def with_adapter(self, adapter: Path) -> CachedEngine:
        """Return the engine of a trained policy; the folder holds its adapter, or its whole model."""
        return self._engine_of(trained_model(adapter, self._models.policy))

    def keep(self, *wanted: CachedEngine) -> None:
        """Close all other engines, or all without arguments, to free memory; each reloads at its next use."""
        for engine in self._built.values():
            if engine not in wanted:
                engine.close()

    def _engine_of(self, model: ModelConfig) -> CachedEngine:
        key = model.model_dump_json()
        if key not in self._built:
            self._built[key] = CachedEngine(self._make(model, self._engine), self._cache)
        return self._built[key]

    def identities(self) -> dict[str, str]:
        """Return a digest of everything that determines a model's answers, for each role in use."""
        return {role: self.of(role).identity for role in self._roles}

    def base_models(self) -> list[str]:
        """Return the names of the models that have no chat template of their own."""
        return sorted({engine.model for engine in self._built.values() if engine.is_base})

    def counts(self) -> RequestCounts:
        """Return the request counts of all engines since they were last taken."""
        return sum((engine.counts for engine in self._built.values()), RequestCounts())

    def take_counts(self) -> RequestCounts:
        """Return the request counts and reset them."""
        total = self.counts()
        for engine in self._built.values():
            engine.counts = RequestCounts()
        return total

    def close(self) -> None:
        """Close every engine."""
        for engine in self._built.values():
            engine.close()


@contextmanager
def open_engines(
    config: RunConfig, project: Path, make: EngineMaker = make_engine, *, pairs_only: bool = False
) -> Iterator[Engines]:
    """Yield the engines of a configuration with the project's request cache; close both at the end."""
    with open_cache(project) as cache:
        writers: tuple[EngineRole, ...] = () if pairs_only else ("policy", "critic")
        labelers: tuple[EngineRole, ...] = ("labeler",) if config.label.principles else ()
        judges: tuple[EngineRole, ...] = ("judge",) if config.models.judge else ()
        engines = Engines(config.models, config.engine, cache, make, (*writers, *labelers, *judges))
        try:
            yield engines
        finally:
            engines.close()

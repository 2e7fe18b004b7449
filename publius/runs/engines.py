"""The engines of a run: one per distinct model, shared by the roles that name it, behind one cache."""

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
from publius.runs.project import open_cache

EngineRole = Literal["policy", "critic", "labeler", "judge"]
_RUN_ROLES: tuple[EngineRole, ...] = ("policy", "critic", "labeler")

NEAR_CHANCE = "the embedded model judges near chance (docs/benchmarks.md)"
"""What is said wherever its judgments are shown."""

EngineMaker = Callable[[ModelConfig, EngineConfig], Engine]


def make_engine(model: ModelConfig, engine: EngineConfig) -> Engine:
    """Return the engine of the configured kind for a model; nothing is loaded yet."""
    if engine.kind == "scripted":
        return ScriptedEngine(model=f"scripted:{model.id}", keep_history=False)
    if engine.kind == "vllm":
        from engines.vllm.engine import VllmEngine

        return VllmEngine(model, engine)
    from engines.hf.engine import TransformersEngine

    return TransformersEngine(model, engine)


class Engines:
    """Hands out the engine of each role.

    Args:
        models: the roles.
        engine: how they are run.
        cache: the project's request cache.
        make: builds an engine; tests give their own.
        roles: the roles that are used at all; no other model is looked for.
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
        """Return the engine of the policy with a trained adapter on it."""
        return self._engine_of(self._models.policy.model_copy(update={"adapter": str(adapter)}))

    def keep(self, *wanted: CachedEngine) -> None:
        """Close every engine but these, so that their memory is free; one that is asked again loads again."""
        for engine in self._built.values():
            if engine not in wanted:
                engine.close()

    def _engine_of(self, model: ModelConfig) -> CachedEngine:
        key = model.model_dump_json()
        if key not in self._built:
            self._built[key] = CachedEngine(self._make(model, self._engine), self._cache)
        return self._built[key]

    def identities(self) -> dict[str, str]:
        """Return, for each role in use, a digest of everything that determines its model's answers."""
        return {role: self.of(role).identity for role in self._roles}

    def base_models(self) -> list[str]:
        """Return the names of models that have no chat template of their own."""
        return sorted({engine.model for engine in self._built.values() if engine.is_base})

    def counts(self) -> RequestCounts:
        """Return what was asked of all engines since the counts were last taken."""
        return sum((engine.counts for engine in self._built.values()), RequestCounts())

    def take_counts(self) -> RequestCounts:
        """Return the counts and begin anew."""
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
    """Yield the engines of a configuration over the project's cache; close both at the end."""
    with open_cache(project) as cache:
        writers: tuple[EngineRole, ...] = () if pairs_only else ("policy", "critic")
        labelers: tuple[EngineRole, ...] = ("labeler",) if config.label.principles else ()
        judges: tuple[EngineRole, ...] = ("judge",) if config.models.judge else ()
        engines = Engines(config.models, config.engine, cache, make, (*writers, *labelers, *judges))
        try:
            yield engines
        finally:
            engines.close()

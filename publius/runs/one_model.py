"""A single engine with the project's request cache, for commands that create no run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from constitution.loader import preset_names
from core.errors import ConfigError
from core.notices import note
from engines.cached import CachedEngine
from engines.config import EngineConfig, ModelConfig, ModelsConfig
from publius.runs.engines import EngineMaker, Engines, make_engine
from publius.runs.project import open_cache

EngineKind = Literal["transformers", "vllm"]


def project_of(constitution: str) -> Path:
    """Return the project folder of a constitution: its own folder, or the working directory for a preset."""
    return Path() if constitution in preset_names() else Path(constitution).resolve().parent


@contextmanager
def one_model(
    name: str, project: Path, make: EngineMaker = make_engine, kind: EngineKind = "transformers"
) -> Iterator[CachedEngine]:
    """Yield the engine of a model, with thinking disabled; at the end, print its request counts and close it.

    Args:
        name: a Hugging Face id, a folder, the embedded model, or `scripted`.
        project: folder of the request cache.
        make: builds the engine; tests pass their own.
        kind: kind of the engine.

    Raises:
        ConfigError: if the name is empty.
    """
    if not name.strip():
        raise ConfigError("the name is empty", where="--model", accepted="a Hugging Face id or a folder")
    # Reasoning is disabled: these commands should take seconds, and some ask for a single letter.
    quick = ModelConfig(id=name, chat_template_kwargs={"enable_thinking": False})
    config = EngineConfig(kind="scripted" if name == "scripted" else kind)
    with open_cache(project) as cache:
        engines = Engines(ModelsConfig(policy=quick), config, cache, make)
        try:
            yield engines.of("policy")
        finally:
            note(engines.counts().summary())
            engines.close()

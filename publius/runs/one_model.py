"""One model for a command that makes no run: its engine over the project's cache."""

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
    """Return the folder whose cache a command about a constitution uses: its own, or here for a preset."""
    return Path() if constitution in preset_names() else Path(constitution).resolve().parent


@contextmanager
def one_model(
    name: str, project: Path, make: EngineMaker = make_engine, kind: EngineKind = "transformers"
) -> Iterator[CachedEngine]:
    """Yield the engine of a model, asked not to think; say at the end what it was asked, and close it.

    Args:
        name: a Hugging Face id, a folder, the embedded model, or `scripted`.
        project: where the cache is.
        make: builds the engine; tests give their own.
        kind: what runs it.

    Raises:
        ConfigError: if the name is empty.
    """
    if not name.strip():
        raise ConfigError("found an empty text", where="--model", accepted="some text")
    # A model that can think is asked not to: such commands are for seconds, and ask for single letters.
    quick = ModelConfig(id=name, chat_template_kwargs={"enable_thinking": False})
    config = EngineConfig(kind="scripted" if name == "scripted" else kind)
    with open_cache(project) as cache:
        engines = Engines(ModelsConfig(policy=quick), config, cache, make)
        try:
            yield engines.of("policy")
        finally:
            note(engines.counts().summary())
            engines.close()

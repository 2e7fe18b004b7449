"""A single engine with the project's request cache, for commands that create no run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from constitution.loader import preset_names
from core.errors import ConfigError
from core.notices import note, warn
from engines.cached import CachedEngine
from engines.config import EngineConfig, ModelConfig, ModelsConfig
from publius.runs.engines import EngineMaker, Engines, make_engine
from publius.runs.project import open_cache

_KEY = "PUBLIUS_API_KEY"
"""Environment variable with the key of the server that `--engine` names; run files name their own."""
_MADE_UP = "the scripted engine makes up all texts and judgments, to try the command: they mean nothing"


def project_of(constitution: str) -> Path:
    """Return the project folder of a constitution: its own folder, or the working directory for a preset."""
    return Path() if constitution in preset_names() else Path(constitution).resolve().parent


def engine_settings(engine: str) -> EngineConfig:
    """Return the settings of an engine that is given by its kind, or by the address of a server.

    Raises:
        ConfigError: if it is neither.
    """
    is_address = ":" in engine or "/" in engine
    given = {"kind": "http", "url": engine} if is_address else {"kind": engine}
    if is_address and os.environ.get(_KEY):
        given["api_key_env"] = _KEY
    try:
        return EngineConfig.model_validate(given)
    except ValidationError as error:
        reason = (
            f" ({error.errors()[0]['msg'].removeprefix('Value error, ')})" if is_address else f" {engine!r}"
        )
        raise ConfigError(
            f"not an engine{reason}",
            where="--engine",
            accepted="transformers, vllm, scripted, or the address of a server, such as http://localhost:8000",
        ) from None


def engine_overrides(engine: str | None) -> tuple[str, ...]:
    """Return an engine as overrides of a run's settings; none if it is not given. The error is the same."""
    if engine is None:
        return ()
    given = engine_settings(engine).model_dump(mode="json", exclude_unset=True)
    return tuple(f"engine.{name}={value}" for name, value in given.items())


@contextmanager
def one_model(
    name: str, project: Path, make: EngineMaker = make_engine, engine: str = "transformers"
) -> Iterator[CachedEngine]:
    """Yield the engine of a model, with thinking disabled; at the end, print its request counts and close it.

    Arguments and errors are those of `engines_of_model`.
    """
    with engines_of_model(name, project, make, engine) as engines:
        yield engines.of("policy")


@contextmanager
def engines_of_model(
    name: str, project: Path, make: EngineMaker = make_engine, engine: str = "transformers"
) -> Iterator[Engines]:
    """Yield engines whose policy is a model, for commands that show their progress; else as `one_model`.

    Args:
        name: a Hugging Face id, a folder, the embedded model, a server's model, or `scripted`.
        project: folder of the request cache.
        make: builds the engine; tests pass their own.
        engine: `transformers`, `vllm`, `scripted`, or the address of a server.

    Raises:
        ConfigError: if the name is empty, or the engine is none of these.
    """
    if not name.strip():
        raise ConfigError("the name is empty", where="--model", accepted="a Hugging Face id or a folder")
    # Reasoning is disabled: these commands should take seconds, and some ask for a single letter.
    quick = ModelConfig(id=name, chat_template_kwargs={"enable_thinking": False})
    config = engine_settings("scripted" if name == "scripted" else engine)
    if config.kind == "scripted":
        warn(_MADE_UP)
    with open_cache(project) as cache:
        engines = Engines(ModelsConfig(policy=quick), config, cache, make)
        try:
            yield engines
        finally:
            note(engines.counts().summary())
            engines.close()

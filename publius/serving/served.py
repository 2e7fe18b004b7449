"""What `publius serve` serves, and the server itself."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import ConfigError, RunStateError, shell_command
from core.lazy import require
from core.notices import warn
from core.web.hosts import Hosts, is_loopback
from core.web.server import listen, serve
from engines.config import EngineConfig, ModelConfig, ModelEngineConfig
from engines.judge.settings import holds_judge
from engines.protocols import Engine, SharesModel
from engines.reward.folder import reward_folder
from evaluation.config import BASE, STEERED
from publius.config.run_file import load_run_config
from publius.runs.engines import EngineMaker, make_engine
from publius.runs.manifest import read_manifest
from publius.runs.one_model import engine_settings
from publius.runs.parts.trained import trained_adapter, trained_model
from publius.serving.guard import Bearer, token_of_environment
from training.methods import POLICY_METHODS

SERVE_EXTRA = "serve"
_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class ServeRequest:
    """Options of `publius serve`."""

    model: str | None = None
    """A run folder, a Hugging Face id, a model's folder, or `scripted`."""
    adapter: Path | None = None
    """LoRA adapter to attach to the model."""
    reward: Path | None = None
    """Reward model or trained judge that answers decisions."""
    variants: tuple[str, ...] = ()
    """Variants of the run to serve. If empty: the chosen checkpoint, or else the one trained last."""
    engine: str | None = None
    """`transformers`, `vllm` or a server's address; None for the run's own, and transformers for a model."""
    both_orders: bool = False
    """Ask each choice in both orders of its options."""
    host: str = "127.0.0.1"
    port: int = 8000
    allow_hosts: tuple[str, ...] = ()
    token_env: str | None = None
    """Environment variable of the token."""
    with_token: bool = True
    """False if every client on this machine may ask."""


@dataclass(frozen=True)
class Listening:
    """A server that accepts requests."""

    url: str
    models: tuple[str, ...]
    token: str | None
    """None if clients need none, or know it already."""
    needs_token: bool

    def as_json(self) -> dict[str, Any]:
        """Return the address, the models and the token as JSON-able values."""
        return {"url": self.url, "models": list(self.models), "token": self.token}


@dataclass(frozen=True)
class Stopped:
    """What a server has done when it ends."""

    answered: Mapping[str, int]
    """Number of answers by kind."""

    def as_json(self) -> dict[str, Any]:
        """Return the counts as JSON-able values."""
        return {"answered": dict(self.answered)}


def serve_models(
    request: ServeRequest, opened: Callable[[Listening], None], make: EngineMaker = make_engine
) -> Stopped:
    """Serve until the user interrupts.

    Args:
        request: options of the command.
        opened: called with the address once clients can connect.
        make: builds an engine; tests pass their own.

    Raises:
        ConfigError: if an option is wrong.
        EngineError: if a model is not found.
        MissingExtraError: if the web server's packages are not installed.
        RunStateError: if the run has no such variant.
    """
    for package in ("fastapi", "uvicorn"):
        require(package, SERVE_EXTRA)
    from publius.serving.app import Service, build_api

    bearer = token_of_environment(request.host, request.token_env, wanted=request.with_token)
    with listen(request.host, request.port) as listening, open_engines_by_name(request, make) as engines:
        service = Service(engines, _deciders(request, engines))
        if not is_loopback(request.host):
            warn("texts and the token are sent unencrypted; put an HTTPS proxy in front of this server")
        opened(_listening(request, listening, service.names, bearer))
        app = build_api(service, Hosts.of(request.host, request.allow_hosts), bearer)
        serve(app, listening, SERVE_EXTRA)
        return Stopped(service.answered)


@contextmanager
def open_engines_by_name(request: ServeRequest, make: EngineMaker) -> Iterator[dict[str, Engine]]:
    """Yield the engine of each served model by its name; close them at the end.

    Nothing is loaded yet but the tokenizers: a model loads when its first request comes.
    """
    made: list[Engine] = []
    named: dict[str, Engine] = {}
    try:
        for name, model, config in _models(request):
            engine = make(model, config.for_model(model, "policy"))
            made.append(engine)
            if isinstance(engine, SharesModel):
                any(engine.join(other) for other in made[:-1])
            _require_model(engine, config)
            named[name or engine.model] = engine
        yield named
    finally:
        for engine in made:
            engine.close()


def _require_model(engine: Engine, config: EngineConfig) -> None:
    """Raise an error now, and not at the first request, if a model does not exist."""
    # A server is asked. Of a model on this machine the tokenizer is read: its identity reads all weights.
    _ = engine.identity if config.kind == "http" else engine.is_base


def _models(request: ServeRequest) -> list[tuple[str | None, ModelConfig, EngineConfig]]:
    """Return name, model and engine settings of each served model; the engine's own name if it is None."""
    if request.model is None:
        if request.reward is None:
            raise ConfigError(
                "nothing to serve", where="MODEL", accepted="a run folder, a model, or --reward DIR"
            )
        _refuse_without_model(request)
        return []
    folder = Path(request.model)
    if holds_judge(folder):
        raise ConfigError(
            "a trained judge writes no text", where=request.model, accepted=f"--reward {request.model}"
        )
    if (folder / _MANIFEST).is_file():
        return _of_run(request, folder)
    if request.variants:
        raise ConfigError("no run, so it has no variants", where=f"--with with {request.model}")
    if not request.model.strip():
        raise ConfigError("the name is empty", where="MODEL", accepted="a run, a model's folder or its id")
    if reward_folder(ModelConfig(id=request.model), from_hub=False) is not None:
        raise ConfigError(
            "a reward model writes no text", where=request.model, accepted=f"--reward {request.model}"
        )
    engine = "scripted" if request.model == "scripted" else request.engine or "transformers"
    adapter = None if request.adapter is None else str(request.adapter)
    # A model that thinks first could answer no question with its next token.
    model = ModelConfig(id=request.model, adapter=adapter, chat_template_kwargs={"enable_thinking": False})
    return [(None, model, engine_settings(engine))]


def _refuse_without_model(request: ServeRequest) -> None:
    options = {"--adapter": request.adapter, "--with": request.variants, "--engine": request.engine}
    for option, given in options.items():
        if given:
            raise ConfigError("there is no model for it", where=option, accepted=f"{option} with MODEL")


def _of_run(request: ServeRequest, folder: Path) -> list[tuple[str | None, ModelConfig, EngineConfig]]:
    read_manifest(folder)
    if request.adapter is not None:
        raise ConfigError("a run has its own adapters", where="--adapter", accepted="--with VARIANT")
    folder = folder.resolve()
    config = load_run_config(folder / "resolved.yaml")
    engine = config.engine if request.engine is None else engine_settings(request.engine)
    policy = config.models.policy if request.engine is None else _on(config.models.policy, engine)
    found: list[tuple[str | None, ModelConfig, EngineConfig]] = []
    for variant in _variants(request, folder):
        trained = trained_adapter(folder, variant)
        model = policy if trained is None else trained_model(trained, policy)
        found.append((variant, model, engine))
    return found


def _on(policy: ModelConfig, engine: EngineConfig) -> ModelConfig:
    """Return the policy without the engine of its own that its run had, but on the same GPUs."""
    gpus = None if policy.engine is None or engine.kind == "http" else policy.engine.gpus
    return policy.model_copy(update={"engine": None if gpus is None else ModelEngineConfig(gpus=gpus)})


def _variants(request: ServeRequest, folder: Path) -> list[str]:
    """Return the variants to serve.

    Raises:
        RunStateError: if one of them does not exist in the run.
    """
    trained = [name for name in (*POLICY_METHODS, STEERED) if trained_adapter(folder, name)]
    available = (BASE, *trained)
    if not request.variants:
        return [available[-1]]
    for variant in request.variants:
        if variant not in available:
            raise RunStateError(
                f"the run has no model {variant!r}",
                where=str(folder),
                accepted=", ".join(available),
                run=shell_command("publius", "show", folder),
            )
    return list(dict.fromkeys(request.variants))


def _deciders(request: ServeRequest, engines: Mapping[str, Engine]) -> dict[str, Any]:
    """Return who answers decisions: the reward model if there is one, else each model itself."""
    from publius.serving.deciding import EngineDecider
    from publius.serving.judging import JudgeDecider
    from publius.serving.rewarding import RewardDecider

    if request.reward is None:
        return {name: EngineDecider(engine, request.both_orders) for name, engine in engines.items()}
    if not request.reward.is_dir():
        raise ConfigError(
            "no such folder",
            where=f"--reward {request.reward}",
            accepted="the folder of a reward model or judge",
        )
    folder = request.reward
    scorer = JudgeDecider(folder) if holds_judge(folder) else RewardDecider(folder)
    return dict.fromkeys([*engines, scorer.model], scorer)


def _listening(
    request: ServeRequest, listening: socket.socket, models: tuple[str, ...], bearer: Bearer
) -> Listening:
    host = socket.gethostname() if request.host in ("0.0.0.0", "::") else request.host
    shown = f"[{host}]" if ":" in host else host
    return Listening(
        f"http://{shown}:{listening.getsockname()[1]}",
        models,
        bearer.token if bearer.is_new else None,
        bearer.token is not None,
    )

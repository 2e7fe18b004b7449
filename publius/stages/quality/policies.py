"""The policies of a run on the trainer's side: one model, whose adapters take turns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from engines.adapter import attach_further_adapter
from engines.config import ModelConfig
from engines.hf.loading import load_model
from engines.loading import locate, pick_dtype
from publius.runs.folder import Run
from publius.runs.parts.trained import trained_model
from training.policy import free_memory, load_policy

_FIRST = "default"
"""peft's name of the adapter that a model is wrapped with."""


class Policies:
    """Several policies of a run, loaded at first use: adapters on one model, and whole models one at a time.

    Args:
        run: the run that the policies were trained in.
        folders: the folder of each trained policy by name; None for the policy before training.
    """

    def __init__(self, run: Run, folders: Mapping[str, Path | None]) -> None:
        self._run, self._own = run, run.config.models.policy
        self._device = run.config.engine.device
        self._trained = {name: trained_model(path, self._own) for name, path in folders.items() if path}
        self._names: dict[str, str] = {}
        self._other: tuple[str, Any] | None = None

    def config(self, name: str) -> ModelConfig:
        """Return the model of a policy."""
        return self._trained.get(name, self._own)

    def identity(self, name: str) -> str:
        """Return a digest of the weights of a policy: two policies with the same one are the same model."""
        return locate(self.config(name)).identity

    def activate(self, name: str) -> tuple[Any, bool, Any]:
        """Return a policy's model, whether it was trained, and the base if it is not the model's own."""
        policy, adapter = self._policy, self._names.get(name)
        if adapter is not None:
            policy.set_adapter(adapter, inference_mode=True)
        if adapter is not None or name not in self._trained:
            return policy, adapter is not None, None
        if self._other is None or self._other[0] != name:
            self._other = None
            free_memory()
            trained = self._trained[name]
            start = None if trained.adapter is None else Path(trained.adapter)
            self._other = (name, self._load(trained.model_copy(update={"adapter": None}), start))
        return self._other[1], True, policy

    @contextmanager
    def acting(self, name: str) -> Iterator[Any]:
        """Yield a policy's model for forward passes; of an untrained one, the adapter is switched off."""
        from training.divergence import without_adapter

        policy, is_trained, _ = self.activate(name)
        policy.eval()
        if is_trained:
            yield policy
        else:
            with without_adapter(policy):
                yield policy

    def close(self) -> None:
        """Free the memory of all models; they are loaded again at the next use."""
        self._other, self._names = None, {}
        self.__dict__.pop("_policy", None)
        free_memory()

    @cached_property
    def _policy(self) -> Any:
        """The run's policy with all adapters that are on its own weights."""
        if self._own.adapter is not None:  # a policy that is not trained further, as the engine runs it
            files = locate(self._own)
            return load_model(files, pick_dtype(self._own.dtype, self._device), self._device)
        adapters = [
            (name, Path(model.adapter))
            for name, model in self._trained.items()
            if model.adapter is not None and model.id == self._own.id  # not on weights that were trained
        ]
        policy = self._load(self._own, adapters[0][1] if adapters else None)
        self._names = {name: _FIRST for name, _ in adapters[:1]}
        for number, (name, adapter) in enumerate(adapters[1:]):
            # Names of policies may hold a dot, which peft takes for a module path.
            self._names[name] = f"adapter_{number}"
            attach_further_adapter(policy, adapter, self._names[name])
        return policy

    def _load(self, model: ModelConfig, adapter: Path | None) -> Any:
        config = self._run.config
        return load_policy(model, config.lora, config.engine.device, config.seed, adapter)

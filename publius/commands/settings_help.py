"""Settings in the help of the training commands: each key with its default and description."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import typer.core
from pydantic.fields import FieldInfo

_SHARED = ("optim", "lora")
_OF_EXAMPLES = ("optim.batch_size", "optim.epochs", "optim.eval_every", "optim.keep", "optim.patience")
"""Shared settings that only methods on examples read: SFT, reward models and DPO."""


class TrainCommand(typer.core.TyperCommand):
    """A command whose help ends with the settings that `--set` accepts."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the settings of the method that the command is named after."""
        with formatter.section("Settings, as --set KEY=VALUE or in RUN.yaml, with their defaults"):
            formatter.write_dl(list(settings_of(str(self.name))))


def settings_of(method: str) -> Iterator[tuple[str, str]]:
    """Yield settings as `dpo.beta=0.1` with their descriptions: the method's own and the shared ones."""
    from engines.config import EngineConfig, ModelConfig
    from publius.config.run_file import RunConfig
    from training.methods import ON_POLICY_METHODS

    fields, ignored = RunConfig.model_fields, _OF_EXAMPLES if method in ON_POLICY_METHODS else ()
    for name in (method, *_SHARED):
        for key, field in type(fields[name].default).model_fields.items():
            if f"{name}.{key}" not in ignored:
                yield _row(f"{name}.{key}", field)
    yield _row("seed", fields["seed"])
    yield _row("engine.device", EngineConfig.model_fields["device"])
    yield _row("models.policy.dtype", ModelConfig.model_fields["dtype"])


def _row(key: str, field: FieldInfo) -> tuple[str, str]:
    choices = [str(choice) for choice in _choices(field.annotation)]
    accepted = f" One of: {', '.join(choices)}." if choices else ""
    return f"{key}={_shown(field.default)}", " ".join((field.description or "").split()) + accepted


def _choices(kind: Any) -> tuple[Any, ...]:
    """Return the accepted values of a setting, or of its elements if it is a list; empty if open-ended."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    return _choices(get_args(kind)[0]) if get_origin(kind) is tuple else ()


def _shown(value: Any) -> str:
    """Return a value as it is written after `KEY=` in `--set`."""
    if isinstance(value, str):
        return value
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)

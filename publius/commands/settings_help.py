"""Settings in the help of commands that run stages: each key with its default and description."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer.core

if TYPE_CHECKING:
    from publius.config.reference import RunSetting

_SHARED = ("optim", "lora")
_OF_EXAMPLES = ("optim.batch_size", "optim.epochs", "optim.eval_every", "optim.keep", "optim.patience")
"""Shared settings that only methods on examples read: SFT, reward models and DPO."""
_OF_STAGES = {
    "run": (
        *("name", "recipe", "seed", "constitution", "prompts", "split", "models", "engine", "templates"),
        *("train", "choose", "gates", "time", "cache"),
    ),
    "critique": ("critique",),
    "sample": ("sample",),
    "compare": ("compare",),
    "label": ("label",),
    "eval": ("eval", "gates"),
}
"""Top-level keys of the run file that the help of a command lists."""
_FURTHER = (
    "Settings of the stages: publius critique, sample, compare, label, eval and train METHOD, each with "
    "--help. All of them: publius schema run --markdown."
)


class SettingsCommand(typer.core.TyperCommand):
    """A command whose help ends with the settings that `--set` accepts."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the settings of the stage that the command is named after."""
        with formatter.section("Settings, as --set KEY=VALUE or in RUN.yaml, with their defaults"):
            formatter.write_dl(list(_rows(str(self.name))))
        if self.name == "run":
            formatter.write_paragraph()
            formatter.write_text(_FURTHER)


def _rows(command: str) -> Iterator[tuple[str, str]]:
    return stage_settings(command) if command in _OF_STAGES else settings_of(command)


def stage_settings(command: str) -> Iterator[tuple[str, str]]:
    """Yield the settings of a command about a run as `critique.rounds=2` with their descriptions."""
    from publius.config.reference import section_settings

    for name in _OF_STAGES[command]:
        yield from map(_row, section_settings(name))


def settings_of(method: str) -> Iterator[tuple[str, str]]:
    """Yield settings as `dpo.beta=0.1` with their descriptions: the method's own and the shared ones."""
    from publius.config.reference import section_settings
    from training.methods import ON_POLICY_METHODS

    ignored = _OF_EXAMPLES if method in ON_POLICY_METHODS else ()
    for name in (method, *_SHARED):
        yield from (_row(one) for one in section_settings(name) if one.key not in ignored)
    for section, key in (("seed", "seed"), ("engine", "engine.device"), ("models", "models.policy.dtype")):
        yield from (_row(one) for one in section_settings(section) if one.key == key)


def _row(setting: RunSetting) -> tuple[str, str]:
    from publius.config.reference import REQUIRED

    accepted = f" One of: {', '.join(setting.choices)}." if setting.choices else ""
    if setting.default == REQUIRED:
        return setting.key, f"Required. {setting.meaning}{accepted}"
    return f"{setting.key}={setting.default}", setting.meaning + accepted

"""`publius export --model`: merge a trained adapter into its base model and write a standalone model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.errors import ConfigError, RunStateError
from engines.adapter import SETTINGS, read_settings
from engines.config import ModelConfig
from engines.reward_settings import FILE as REWARD_SETTINGS
from engines.reward_settings import read_reward_settings
from publius.config.run_file import load_run_config
from publius.models.merge import merge_adapter
from publius.models.provenance import trained_method, write_merged_card
from publius.runs.folder import read_manifest, trained_adapter
from training.methods import METHODS


@dataclass(frozen=True)
class ExportedModel:
    """The folder of an exported model."""

    folder: Path

    def as_json(self) -> dict[str, str]:
        """Return the result as JSON-able values."""
        return {"folder": str(self.folder)}


def export_model(folder: Path, method: str, to: Path) -> ExportedModel:
    """Merge a trained adapter into its base model; write the model and its card, and return the folder.

    Args:
        folder: a run folder, or the folder of a training job on a data set (`publius train ... --to DIR`).
        method: the training method whose adapter is exported.
        to: a new or empty folder.

    Raises:
        ConfigError: if the method is unknown, or the folder holds a model trained with another method.
        RunStateError: if the run has no such model, the target is not empty, or the disk is too small.
        EngineError: if the adapter cannot be merged.
    """
    if method not in METHODS:
        raise ConfigError(f"unknown method {method!r}", where="--model", accepted=", ".join(METHODS))
    if is_training(folder):
        first = folder / read_reward_settings(folder).members[0]
        found = trained_method(folder)
        if found not in (None, method):
            raise ConfigError(
                f"{folder} holds a model trained with {found}", where=f"--model {method}", accepted=found
            )
        named = str(read_settings(first)["base_model_name_or_path"])
        return _exported(folder, to, ModelConfig(id=named))
    read_manifest(folder)
    trained = [name for name in METHODS if trained_adapter(folder, name) or is_training(folder / name)]
    if method not in trained:
        raise RunStateError(
            f"this run has no {method} model",
            where=str(folder),
            accepted=", ".join(trained) or "none yet",
            run=f"publius train {method} RUN.yaml",
        )
    return _exported(folder / method, to, load_run_config(folder / "resolved.yaml").models.policy)


def _exported(training: Path, to: Path, base: ModelConfig) -> ExportedModel:
    merged = merge_adapter(training, to, base)
    write_merged_card(training, merged.expanduser())
    return ExportedModel(merged)


def is_training(folder: Path) -> bool:
    """Return True if a folder holds a trained adapter or an ensemble of adapters."""
    return (folder / SETTINGS).is_file() or (folder / REWARD_SETTINGS).is_file()

"""`publius export --model`: write a trained model that loads without Publius and without an adapter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.errors import ConfigError, RunStateError, shell_command
from core.notices import note
from core.store.files import os_errors, whole_folder
from engines.adapter import SETTINGS, read_settings
from engines.config import ModelConfig
from engines.hf.weights.saving import copy_model
from engines.identity import model_files
from engines.loading import holds_model
from engines.reward_settings import FILE as REWARD_SETTINGS
from engines.reward_settings import read_reward_settings
from evaluation.config import STEERED
from evaluation.gates.recorded import require_gates
from publius.config.run_file import load_run_config
from publius.models.merge import merge_adapter
from publius.models.provenance import trained_method, trained_quantization, write_merged_card
from publius.runs.folder import base_of, trained_adapter
from publius.runs.inputs import RESOLVED
from publius.runs.manifest import read_manifest
from training.methods import METHODS

_EXPORTED = (*METHODS, STEERED)


@dataclass(frozen=True)
class ExportedModel:
    """The folder of an exported model."""

    folder: Path

    def as_json(self) -> dict[str, str]:
        """Return the result as JSON-able values."""
        return {"folder": str(self.folder)}


def export_model(folder: Path, method: str, to: Path, *, force: bool = False) -> ExportedModel:
    """Write a trained model and its card, and return the folder.

    An adapter is merged into its base model; a model whose weights were trained is copied.

    Args:
        folder: a run folder, or the folder of a training job on a data set (`publius train ... --to DIR`).
        method: the training method whose adapter is exported, or `steered` for the chosen checkpoint.
        to: a new or empty folder.
        force: True to export a model whose run failed a gate.

    Raises:
        ConfigError: if the method is unknown, or the folder holds a model trained with another method.
        RunStateError: if the run failed a gate or has no such model, the target is not empty, or the disk is
            too small.
        EngineError: if the adapter cannot be merged.
    """
    if method not in _EXPORTED:
        raise ConfigError(f"unknown method {method!r}", where="--model", accepted=", ".join(_EXPORTED))
    if is_training(folder):
        found = trained_method(folder)
        if found not in (None, method):
            raise ConfigError(
                f"{folder} holds a model trained with {found}", where=f"--model {method}", accepted=found
            )
        return _exported(folder, to, None, require_gates(folder, force=force))
    read_manifest(folder)
    trained = [name for name in _EXPORTED if trained_adapter(folder, name) or is_training(folder / name)]
    if method not in trained:
        command = ("run", "--only", "choose") if method == STEERED else ("train", method)
        raise RunStateError(
            f"this run has no {method} model",
            where=str(folder),
            accepted=", ".join(trained) or "none yet",
            run=shell_command("publius", *command, "RUN.yaml"),
        )
    failed = require_gates(folder, force=force)
    return _exported(folder / method, to, load_run_config(folder / RESOLVED).models.policy, failed)


def _exported(training: Path, to: Path, policy: ModelConfig | None, failed: tuple[str, ...]) -> ExportedModel:
    """Export the model of a training.

    Args:
        training: its folder.
        to: a new or empty folder.
        policy: the model of its run; None for training on a data set.
        failed: the failed gates of its run, for the card.
    """
    with whole_folder(to) as folder:  # the model and its card
        if holds_model(training):
            extra = [training / name for name in (REWARD_SETTINGS,) if (training / name).exists()]
            copy_model([*model_files(training), *extra], folder)
        else:
            first = training / read_reward_settings(training).members[0]
            named = ModelConfig(id=str(read_settings(first)["base_model_name_or_path"]))
            base = named if policy is None else base_of(first, policy)
            if quantization := trained_quantization(first):
                note(f"the adapter was trained on {quantization} weights and is merged into unquantized ones")
            merge_adapter(training, folder, base)
        write_merged_card(training, folder, failed)
    return ExportedModel(to)


def is_training(folder: Path) -> bool:
    """Return True if a folder holds a trained adapter, an ensemble of adapters or a trained model."""
    with os_errors(folder):
        is_model = holds_model(folder) and trained_method(folder) is not None
        return is_model or (folder / SETTINGS).is_file() or (folder / REWARD_SETTINGS).is_file()

"""`publius export --model`: write a trained model with its card.

Merged into its base model, it loads without Publius and without an adapter. The adapter alone is small.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.errors import ConfigError, RunStateError, shell_command
from core.notices import note
from core.store.files import os_errors, whole_folder, write_atomic
from engines.adapter import SETTINGS, WEIGHTS, read_settings
from engines.config import ModelConfig
from engines.embedded import EMBEDDED_NAME
from engines.hf.weights.saving import copy_model
from engines.identity import model_files
from engines.loading import holds_model
from engines.reward_settings import FILE as REWARD_SETTINGS
from engines.reward_settings import read_reward_settings
from evaluation.config import STEERED
from evaluation.gates.recorded import require_gates
from publius.config.card_terms import NO_TERMS, CardTerms
from publius.config.run_file import load_run_config
from publius.config.stand_ins import warn_of_stand_ins
from publius.models.hub.shared_base import EMBEDDED_ON_HUB, is_local
from publius.models.merge import merge_adapter
from publius.models.provenance import CardOptions, trained_method, trained_quantization, write_exported_card
from publius.runs.inputs import RESOLVED
from publius.runs.manifest import MANIFEST, read_manifest
from publius.runs.pairs.caveats import scripted_roles
from publius.runs.parts.trained import base_of, trained_adapter
from training.methods import METHODS

ModelForm = Literal["merged", "adapter"]
"""`merged`: whole weights, the adapter merged into them. `adapter`: the adapter alone."""
_EXPORTED = (*METHODS, STEERED)


@dataclass(frozen=True)
class ExportedModel:
    """The folder of an exported model."""

    folder: Path

    def as_json(self) -> dict[str, str]:
        """Return the result as JSON-able values."""
        return {"folder": str(self.folder)}


@dataclass(frozen=True)
class FoundTraining:
    """A training whose model is exported."""

    folder: Path
    policy: ModelConfig | None
    """The model of its run; None for training on a data set."""

    @property
    def has_adapter(self) -> bool:
        """True if the training made adapters, and not a whole model."""
        return not holds_model(self.folder)


def export_model(
    folder: Path,
    method: str,
    to: Path,
    *,
    form: ModelForm = "merged",
    base: str | None = None,
    force: bool = False,
    terms: CardTerms = NO_TERMS,
) -> ExportedModel:
    """Write a trained model and its card, and return the folder.

    An adapter is merged into its base model, or written as it is. A model whose weights were trained is
    copied.

    Args:
        folder: a run folder, or the folder of a training job on a data set (`publius train ... --to DIR`).
        method: the training method whose adapter is exported, or `steered` for the chosen checkpoint.
        to: a new or empty folder.
        form: whether the adapter is merged.
        base: Hugging Face id of the base model, which card and settings name in place of a local folder.
        force: True to export a model whose run failed a gate.
        terms: the licence and the languages that the card states.

    Raises:
        ConfigError: if the method is unknown, the folder holds a model trained with another method, or
            there is no adapter to export.
        RunStateError: if the run failed a gate or has no such model, the target is not empty, or the disk is
            too small.
        EngineError: if the adapter cannot be merged.
    """
    training = find_training(folder, method)
    if form == "adapter" and not training.has_adapter:
        raise ConfigError(
            "all weights of this model were trained, so it has no adapter",
            where=str(training.folder),
            accepted="the whole model, without --adapter",
        )
    failed = require_gates(folder, force=force)
    stand_ins = stand_ins_of(folder)
    warn_of_stand_ins(stand_ins)
    with whole_folder(to) as target:  # the model and its card
        if form == "adapter":
            _write_adapters(training.folder, target, base)
            _note_local_base(target)
        else:
            _write_whole(training, target)
        merged = form == "merged" and training.has_adapter
        write_exported_card(training.folder, target, CardOptions(merged, failed, base, stand_ins, terms))
    return ExportedModel(to)


def find_training(folder: Path, method: str) -> FoundTraining:
    """Return the training of a method in a run folder or a training folder; arguments and errors as above."""
    if method not in _EXPORTED:
        raise ConfigError(f"unknown method {method!r}", where="--model", accepted=", ".join(_EXPORTED))
    if is_training(folder):
        found = trained_method(folder)
        if found not in (None, method):
            raise ConfigError(
                f"{folder} holds a model trained with {found}", where=f"--model {method}", accepted=found
            )
        return FoundTraining(folder, None)
    trained = methods_of(folder)
    if method not in trained:
        command = ("run", "--only", "choose") if method == STEERED else ("train", method)
        raise RunStateError(
            f"this run has no {method} model",
            where=str(folder),
            accepted=", ".join(trained) or "none yet",
            run=shell_command("publius", *command, "RUN.yaml"),
        )
    return FoundTraining(folder / method, load_run_config(folder / RESOLVED).models.policy)


def stand_ins_of(folder: Path) -> tuple[str, ...]:
    """Return the roles whose texts are from the scripted engine, in a run or in the run of a training."""
    run = folder if (folder / MANIFEST).exists() else folder.parent
    if not (run / MANIFEST).exists() or not (run / RESOLVED).exists():
        return ()
    return scripted_roles(run, read_manifest(run))


def methods_of(run: Path) -> Sequence[str]:
    """Return the methods of which a run has a trained model. Raises RunStateError if it is no run folder."""
    read_manifest(run)
    return [name for name in _EXPORTED if trained_adapter(run, name) or is_training(run / name)]


def _write_whole(training: FoundTraining, to: Path) -> None:
    """Write whole weights: those that were trained, or those of the base model with the adapter merged."""
    folder = training.folder
    if holds_model(folder):
        extra = [folder / name for name in (REWARD_SETTINGS,) if (folder / name).exists()]
        copy_model([*model_files(folder), *extra], to)
        return
    first = folder / read_reward_settings(folder).members[0]
    named = ModelConfig(id=str(read_settings(first)["base_model_name_or_path"]))
    base = named if training.policy is None else base_of(first, training.policy)
    if quantization := trained_quantization(first):
        note(f"the adapter was trained on {quantization} weights and is merged into unquantized ones")
    merge_adapter(folder, to, base)


def _note_local_base(adapter: Path) -> None:
    """Print that an adapter's settings name a folder of this machine, if they do."""
    first = adapter / read_reward_settings(adapter).members[0]
    named = str(read_settings(first)["base_model_name_or_path"])
    if is_local(named, adapter):
        of_base = EMBEDDED_ON_HUB if EMBEDDED_NAME in named else "OWNER/NAME"
        note(f"{SETTINGS} names the base model's folder on this machine; for others: --base {of_base}")


def _write_adapters(training: Path, to: Path, base: str | None) -> None:
    """Write a training's adapter, or those of an ensemble, without checkpoints and logs."""
    with os_errors(to):
        for member in read_reward_settings(training).members:
            settings = read_settings(training / member)
            if base is not None:
                settings["base_model_name_or_path"] = base
            (to / member).mkdir(exist_ok=True, parents=True)
            shutil.copyfile(training / member / WEIGHTS, to / member / WEIGHTS)
            write_atomic(to / member / SETTINGS, json.dumps(settings, indent=2, sort_keys=True) + "\n")
        if (training / REWARD_SETTINGS).exists():
            shutil.copyfile(training / REWARD_SETTINGS, to / REWARD_SETTINGS)


def is_training(folder: Path) -> bool:
    """Return True if a folder holds a trained adapter, an ensemble of adapters or a trained model."""
    with os_errors(folder):
        is_model = holds_model(folder) and trained_method(folder) is not None
        return is_model or (folder / SETTINGS).is_file() or (folder / REWARD_SETTINGS).is_file()

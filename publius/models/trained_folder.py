"""The folder of a trained policy: what trained it, and the model that it was trained from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from core.digests import digest
from core.errors import RunStateError, shell_command
from engines.adapter import read_settings
from engines.config import ModelConfig
from engines.loading import holds_model
from publius.models.provenance import trained_method, trained_quantization
from publius.runs.parts.trained import base_of
from training.checkpoints import RESULT
from training.methods import POLICY_METHODS, PolicyMethod

_CARD = "card.json"


@dataclass(frozen=True)
class TrainedFolder:
    """A trained policy: an adapter, or a whole model if all weights were trained."""

    folder: Path
    method: PolicyMethod
    policy: ModelConfig
    """The model before the training."""

    @property
    def digest(self) -> str:
        """Digest of the training that made the weights; another training in the folder has another one."""
        return digest(json.loads((self.folder / RESULT).read_text(encoding="utf-8")))


def read_trained_folder(folder: Path, against: str | None = None) -> TrainedFolder:
    """Return the trained policy in a folder.

    Args:
        folder: the folder of a training, on a data set or in a run.
        against: the model before the training, if it is elsewhere now; None for the one that is recorded.

    Raises:
        RunStateError: if the folder holds no trained policy, or nothing says what it was trained from.
    """
    method = trained_method(folder)
    known = [name for name in POLICY_METHODS if name == method]
    if not known:
        is_reward = method == "reward"
        what = (
            "this is a reward model, not a policy" if is_reward else "no training of a policy finished here"
        )
        command = shell_command("publius", "eval-reward", folder, "--data", "PAIRS")
        raise RunStateError(
            what,
            where=str(folder),
            accepted="a folder of publius train sft|dpo --data, or of a method in a run, such as RUN/dpo",
            run=command if is_reward else None,
        )
    policy = ModelConfig.model_validate(
        {"id": against or _recorded_base(folder), "quantization": trained_quantization(folder)}
    )
    # In a run, an adapter may be for the whole model that an earlier method trained.
    return TrainedFolder(folder.resolve(), known[0], policy if against else base_of(folder, policy))


def _recorded_base(folder: Path) -> str:
    """Return the model that a policy was trained from."""
    if not holds_model(folder):
        return str(read_settings(folder)["base_model_name_or_path"])
    try:
        return str(json.loads((folder / _CARD).read_text(encoding="utf-8"))["base_model"])
    except (OSError, ValueError, KeyError) as error:
        raise RunStateError(
            "nothing says which model it was trained from", where=str(folder), accepted="--against MODEL"
        ) from error

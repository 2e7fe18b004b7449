"""Settings of a reward model, saved with its weights as `reward.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from core.errors import EngineError, first_line
from core.records import Finite
from core.settings import Section
from core.store.files import write_atomic

FILE = "reward.json"


class RewardSettings(Section):
    """How the scores of a reward model are combined, normalised and calibrated."""

    members: tuple[str, ...] = Field(default=(".",), min_length=1)
    """Folders of the adapters, relative to the folder of this file; more than one form an ensemble."""
    combine: Literal["mean", "min", "uncertainty"] = "mean"
    """How the members' scores are combined: mean, minimum, or mean minus `uncertainty` times the variance."""
    uncertainty: float = Field(default=0.5, ge=0.0, allow_inf_nan=False)
    """Penalty per unit of variance between members."""
    mean: Finite = 0.0
    """Mean score of a sample of answers; it is subtracted to centre scores."""
    std: float = Field(default=1.0, gt=0.0, allow_inf_nan=False)
    """Standard deviation of the same scores; scores are divided by it."""
    temperature: float = Field(default=1.0, gt=0.0, allow_inf_nan=False)
    """Calibration temperature, fitted on held-out pairs, else 1: sigmoid(difference / temperature) is the
    calibrated probability."""


def read_reward_settings(folder: Path) -> RewardSettings:
    """Return the settings in `reward.json`, or the defaults if the file does not exist.

    Raises:
        EngineError: if the file cannot be read or is invalid.
    """
    path = folder / FILE
    if not path.exists():
        return RewardSettings()
    try:
        return RewardSettings.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EngineError(
            f"the settings of the reward model cannot be read ({_reason(error)})",
            where=str(path),
            accepted="a reward.json written by `publius train reward`",
        ) from error


def _reason(error: Exception) -> str:
    """Return the first problem in one line."""
    if not isinstance(error, ValidationError):
        return first_line(error)
    first = error.errors(include_url=False)[0]
    return ": ".join([*map(str, first["loc"]), first["msg"]])


def write_reward_settings(folder: Path, settings: RewardSettings) -> None:
    """Write `reward.json`. Raises RunStateError if the folder is not writable or the disk is full."""
    write_atomic(folder / FILE, settings.model_dump_json(indent=2) + "\n")

"""What is saved beside a reward model's weights, as `reward.json`."""

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
    """How the scores of a reward model are to be read."""

    members: tuple[str, ...] = Field(default=(".",), min_length=1)
    """Folders of the adapters, relative to this file's; more than one is an ensemble."""
    combine: Literal["mean", "min", "uncertainty"] = "mean"
    """How members' scores become one: mean, lowest, or the mean less variance times `uncertainty`."""
    uncertainty: float = Field(default=0.5, ge=0.0, allow_inf_nan=False)
    """What a unit of variance between members costs."""
    mean: Finite = 0.0
    """Mean score of the answers that it was trained on: what is subtracted to centre scores."""
    std: float = Field(default=1.0, gt=0.0, allow_inf_nan=False)
    """Their standard deviation: what scores are divided by to have one scale."""
    temperature: float = Field(default=1.0, gt=0.0, allow_inf_nan=False)
    """sigmoid(difference / temperature) is the calibrated probability: fitted on held-out pairs, else 1."""


def read_reward_settings(folder: Path) -> RewardSettings:
    """Return what `reward.json` says; the defaults if there is none. Raises EngineError if it is broken."""
    path = folder / FILE
    if not path.exists():
        return RewardSettings()
    try:
        return RewardSettings.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EngineError(
            f"the settings of the reward model cannot be read ({_reason(error)})",
            where=str(path),
            accepted="reward.json as `publius train reward` wrote it",
        ) from error


def _reason(error: Exception) -> str:
    """Return the first thing that is wrong, in one line."""
    if not isinstance(error, ValidationError):
        return first_line(error)
    first = error.errors(include_url=False)[0]
    return ": ".join([*map(str, first["loc"]), first["msg"]])


def write_reward_settings(folder: Path, settings: RewardSettings) -> None:
    """Write `reward.json`. Raises RunStateError if the folder is not writable or the disk is full."""
    write_atomic(folder / FILE, settings.model_dump_json(indent=2) + "\n")

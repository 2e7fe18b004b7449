"""The processes of a training that `accelerate launch` started; alone, there is nothing to wait for."""

from __future__ import annotations

import os
from typing import Any

from core.lazy import require


def world_size() -> int:
    """Return how many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Return which of them this one is, from 0 on."""
    return int(os.environ.get("RANK", "0"))


def is_main() -> bool:
    """Return whether this process is the one that writes files and speaks to the user."""
    return rank() == 0


def wait_for_all() -> None:
    """Return when every process has come to this point."""
    if world_size() > 1:
        state().wait_for_everyone()


def state() -> Any:
    """Return accelerate's view of the processes; they are connected by the first call."""
    accelerate = require("accelerate", "train")
    return accelerate.PartialState()

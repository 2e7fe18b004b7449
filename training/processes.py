"""The processes of a training that `accelerate launch` started; alone, there is nothing to wait for."""

from __future__ import annotations

import os
from collections.abc import Sequence
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
    """Return when every process has come to this point.

    Not by accelerate, which takes processes on CPUs that were started as for GPUs for a single one.
    """
    if world_size() > 1:
        state()  # connects the processes
        require("torch.distributed", "train").barrier()


def state() -> Any:
    """Return accelerate's view of the processes; they are connected by the first call."""
    accelerate = require("accelerate", "train")
    return accelerate.PartialState()


def summed(values: Any) -> Any:
    """Return the sum of a tensor over all processes, in place."""
    if world_size() > 1:
        state()
        require("torch.distributed", "train").all_reduce(values)
    return values


def gathered(own: list[Any]) -> list[Any]:
    """Return the rows of all processes in the order in which `share` dealt them out."""
    if world_size() == 1:
        return own
    state()
    hands: list[Any] = [None] * world_size()
    require("torch.distributed", "train").all_gather_object(hands, own)
    longest = max(map(len, hands))
    return [hand[turn] for turn in range(longest) for hand in hands if turn < len(hand)]


def process_rows(rows: Sequence[Any]) -> list[Any]:
    """Return this process's rows: dealt out one by one."""
    return list(rows[rank() :: world_size()])

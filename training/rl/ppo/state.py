"""Checkpoints of the loop: everything that the next step depends on, in safetensors and JSON.

A checkpoint holds no state of a random number generator: prompts, draws and minibatches follow from the seed
and the step, and dropout is off.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from core.store.files import write_atomic
from training.rl.optimizer import ParameterGroup
from training.rl.rollouts import Drawn, Rollout, RolloutPrompt

_TENSORS, _STATE = "state.safetensors", "state.json"
_MOMENTS = ("exp_avg", "exp_avg_sq")

Average = Mapping[str, torch.Tensor]
"""Averaged weights by name."""


def save_state(
    folder: Path, groups: Sequence[ParameterGroup], average: Average, state: Mapping[str, Any]
) -> None:
    """Write weights, optimizers and everything else into a checkpoint's folder."""
    tensors = {f"average.{name}": value for name, value in average.items()}
    for group in groups:
        for name, parameter in group.parameters.items():
            tensors[f"{group.name}.{name}"] = parameter.detach()
            for moment in (*_MOMENTS, "step"):
                held = group.optimizer.state.get(parameter, {})
                if moment in held:
                    tensors[f"{group.name}.{moment}.{name}"] = held[moment]
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous().cpu() for name, value in tensors.items()}, folder / _TENSORS)
    write_atomic(folder / _STATE, json.dumps(state) + "\n")


def load_state(
    folder: Path, groups: Sequence[ParameterGroup]
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Restore weights and optimizers from a checkpoint; return averaged weights and everything else."""
    tensors = load_file(folder / _TENSORS)
    load_weights(folder, groups)
    for group in groups:
        for name, parameter in group.parameters.items():
            if f"{group.name}.step.{name}" not in tensors:
                continue
            held = group.optimizer.state[parameter]
            for moment in _MOMENTS:
                held[moment] = tensors[f"{group.name}.{moment}.{name}"].to(parameter.device)
            held["step"] = tensors[f"{group.name}.step.{name}"]
    prefix = "average."
    average = {n.removeprefix(prefix): value for n, value in tensors.items() if n.startswith(prefix)}
    state: dict[str, Any] = json.loads((folder / _STATE).read_text(encoding="utf-8"))
    return average, state


def load_weights(folder: Path, groups: Sequence[ParameterGroup], *, averaged: bool = False) -> None:
    """Restore the weights of a checkpoint; for the policy the averaged ones, if `averaged`."""
    tensors = load_file(folder / _TENSORS)
    with torch.no_grad():
        for group in groups:
            for name, parameter in group.parameters.items():
                own = f"average.{name}" if averaged and group.name == "policy" else f"{group.name}.{name}"
                parameter.copy_(tensors[own])


def save_rollouts(folder: Path, step: int, rollouts: Sequence[Rollout], prompts: Sequence[int]) -> None:
    """Save the answers of a step, with the numbers of their prompts, until a checkpoint covers the step."""
    rows = [
        {"prompt": number, "drawn": asdict(rollout.drawn), "text": rollout.text, "scores": rollout.scores}
        for number, rollout in zip(prompts, rollouts, strict=True)
    ]
    write_atomic(_rollouts(folder, step), json.dumps(rows) + "\n")


def drop_rollouts(folder: Path, step: int) -> None:
    """Remove the answers of all steps up to one that a checkpoint covers."""
    for path in folder.glob("rollouts-*.json"):
        if int(path.stem.partition("-")[2]) <= step:
            path.unlink()


def load_rollouts(folder: Path, step: int, prompts: Sequence[RolloutPrompt]) -> list[Rollout] | None:
    """Return the answers that an earlier process drew for a step, or None if there are none."""
    try:
        rows = json.loads(_rollouts(folder, step).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return [Rollout(prompts[row["prompt"]], _drawn(row["drawn"]), row["text"], row["scores"]) for row in rows]


def _drawn(row: Mapping[str, Any]) -> Drawn:
    entropies = row["entropies"] and tuple(row["entropies"])
    return Drawn(tuple(row["tokens"]), tuple(row["logprobs"]), row["finished"], entropies)


def _rollouts(folder: Path, step: int) -> Path:
    return folder / f"rollouts-{step}.json"

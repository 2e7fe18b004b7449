"""Optimizer steps of the methods on the policy's own answers: gradients of all processes, clipped, scaled.

Losses are divided by a number for the whole step, so gradients of processes are summed and not averaged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from training.config import OptimConfig
from training.job import TrainingJob
from training.processes import summed, world_size
from training.steps.schedule import learning_rate_factor


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters with an optimizer of their own: the policy's, or the critic's."""

    name: str
    parameters: Mapping[str, torch.nn.Parameter]
    optimizer: torch.optim.Optimizer
    learning_rate: float
    """Peak learning rate."""

    @classmethod
    def of(
        cls,
        name: str,
        parameters: Mapping[str, torch.nn.Parameter],
        learning_rate: float,
        *,
        epsilon: float,
        weight_decay: float,
    ) -> Self:
        """Return a group that AdamW trains."""
        optimizer = torch.optim.AdamW(
            list(parameters.values()), lr=learning_rate, eps=epsilon, weight_decay=weight_decay
        )
        return cls(name, parameters, optimizer, learning_rate)

    def step(
        self, scaler: torch.amp.GradScaler, optim: OptimConfig, done: int, total: int
    ) -> dict[str, float]:
        """Take a step with the gradients of all processes; return the gradient norm and the learning rate.

        Args:
            scaler: scale of the loss; after the steps of all groups, the caller updates it.
            optim: clipping, warm-up and schedule.
            done: number of steps of this group so far.
            total: number of steps of the whole training.
        """
        parameters = list(self.parameters.values())
        if world_size() > 1:
            # Sums, not means: losses are divided by the whole minibatch's divisor already.
            _sum_gradients(parameters)
        scaler.unscale_(self.optimizer)
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, optim.max_grad_norm))
        factor = learning_rate_factor(done, total, optim.warmup * total, optim.schedule)
        for settings in self.optimizer.param_groups:
            settings["lr"] = self.learning_rate * factor
        scaler.step(self.optimizer)
        rate = {"lr" if self.name == "policy" else f"{self.name}/lr": self.learning_rate * factor}
        # Where gradients overflow, the scaler skips the step.
        took = not scaler.is_enabled() or math.isfinite(norm)
        return ({f"{self.name}/grad_norm": norm} if took else {}) | rate


def loss_scaler(job: TrainingJob, device: torch.device) -> torch.amp.GradScaler:
    """Return the scale of the loss, which is on for float16.

    In float16 small gradients would be 0: the loss is scaled up, and the gradients down again. torch begins
    with 65536 and skips steps until nothing overflows, but a step here has cost many answers.
    """
    return torch.amp.GradScaler(device.type, init_scale=2.0**10, enabled=job.fp16)


def _sum_gradients(parameters: Sequence[torch.nn.Parameter]) -> None:
    """Give every process the sum of all processes' gradients."""
    for parameter in parameters:
        if parameter.grad is None:  # this process had no micro-batch of the minibatch
            parameter.grad = torch.zeros_like(parameter)
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    vector_to_parameters(summed(parameters_to_vector(grads)), grads)

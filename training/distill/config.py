"""Section of the run file for on-policy distillation."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from training.rl.config import OnPolicyConfig


class DistillConfig(OnPolicyConfig):
    """On-policy distillation: the policy learns to answer without the constitution as it answers with it."""

    method = "distill"

    steps: int = Field(default=100, ge=1)
    """Number of optimizer steps; each samples answers and trains on them once."""
    rollouts: int = Field(default=64, ge=1)
    """Number of answers sampled per step."""
    samples: int = Field(default=1, ge=1)
    """Answers per prompt; `rollouts` must be a multiple of it."""
    temperature: float = Field(default=1.0, gt=0.0, allow_inf_nan=False)
    """Sampling temperature; the logits of student and teacher are divided by it too."""
    learning_rate: float = Field(default=1.0e-4, gt=0.0, allow_inf_nan=False)
    """Peak learning rate."""
    beta: float = Field(default=1.0, ge=0.0, le=1.0, allow_inf_nan=False)
    """Divergence to minimise, as in TRL: 1 is the reverse KL divergence, KL(student || teacher), 0 is the
    forward one, KL(teacher || student), and values between are generalised Jensen-Shannon divergences."""
    examples: bool = False
    """True to show the teacher, beside the constitution, the good answers of the principles' few-shot
    examples (`use: few_shot`)."""
    alarms: Literal["off", "warn", "stop"] = "warn"
    """Response when far more answers are repetitive or truncated than in the first step: none, a warning, or
    the end of training."""
    alarm_share: float = Field(default=0.3, gt=0.0, le=1.0)
    """Alarm when the share of repetitive or of truncated answers has risen by more than this."""

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.rollouts % self.samples:
            raise ValueError(f"samples ({self.samples}) must divide rollouts ({self.rollouts})")
        return self

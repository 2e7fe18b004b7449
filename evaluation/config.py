"""The evaluation's section of the run file."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from core.records import Sampling
from core.settings import OPERATIONAL, Section

BASE = "base"
"""The variant that all others are compared with."""
Variant = Literal["base", "prompted", "sft", "dpo", "ppo", "rloo", "grpo"]


class EvalSampling(Sampling):
    """How held-out prompts are answered; greedily by default, so that no luck of the draw enters."""

    temperature: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    max_new_tokens: int = Field(default=512, ge=1)


class EvalConfig(Section):
    """What is measured on the held-out prompts."""

    models: tuple[Variant, ...] = ("base", "prompted", "sft", "dpo", "ppo", "rloo", "grpo")
    """What is compared: the policy before training (`base`, always needed), `base` with the constitution as
    its system prompt (`prompted`), and the policy after each kind of training."""
    sampling: EvalSampling = EvalSampling()
    """How the answers are drawn."""
    kl: bool = True
    """Whether to measure how far each trained model has moved from `base`, in nats per token."""
    samples_shown: int = Field(default=3, ge=0, le=100, json_schema_extra=OPERATIONAL)
    """Prompts whose answers stand side by side in the report."""

    @model_validator(mode="after")
    def _names_base_and_each_variant_once(self) -> Self:
        if BASE not in self.models:
            raise ValueError(f"models does not name {BASE}, which all others are compared with")
        twice = sorted({name for name in self.models if self.models.count(name) > 1})
        if twice:
            raise ValueError(f"models names {', '.join(twice)} more than once")
        return self

"""Settings of the evaluation in the run file."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from core.records import Sampling
from core.settings import OPERATIONAL, Section

BASE = "base"
"""Variant that all others are compared with."""
Variant = Literal["base", "prompted", "sft", "dpo", "ppo", "rloo", "grpo", "distill"]
_FIRST_VARIANTS: tuple[Variant, ...] = ("base", "prompted", "sft", "dpo", "ppo", "rloo", "grpo")
"""Default variants of older versions, by which the identity of a run still names the default."""


class EvalSampling(Sampling):
    """Sampling parameters of the answers to held-out prompts; greedy by default, to avoid sampling noise."""

    temperature: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    max_new_tokens: int = Field(default=512, ge=1)


class EvalConfig(Section):
    """Evaluation on the held-out prompts."""

    models: tuple[Variant, ...] = (*_FIRST_VARIANTS, "distill")
    """Variants to compare: the policy before training (`base`, required), `base` with the constitution as its
    system prompt (`prompted`), and the policy after each training method."""
    sampling: EvalSampling = EvalSampling()
    """Sampling parameters of the answers."""
    kl: bool = True
    """True to measure the KL divergence of each trained model from `base`, in nats per token."""
    samples_shown: int = Field(default=3, ge=0, le=100, json_schema_extra=OPERATIONAL)
    """Number of prompts whose answers the report shows side by side."""

    def decisive(self) -> Self:
        """Return the section with the default variants of older versions in place of today's."""
        is_default = self.models == type(self).model_fields["models"].default
        return self.model_copy(update={"models": _FIRST_VARIANTS}) if is_default else self

    @model_validator(mode="after")
    def _names_base_and_each_variant_once(self) -> Self:
        if BASE not in self.models:
            raise ValueError(f"models does not include {BASE}, the variant that all others are compared with")
        twice = sorted({name for name in self.models if self.models.count(name) > 1})
        if twice:
            raise ValueError(f"models lists {', '.join(twice)} more than once")
        return self

"""The training room's sections of the run file."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from engines.config import OPERATIONAL

Method = Literal["sft", "dpo"]
METHODS: tuple[Method, ...] = ("sft", "dpo")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class LoraConfig(_Section):
    """The low-rank adapter that is trained; the model's own weights stay as they are."""

    r: int = Field(default=32, ge=1)
    """Rank."""
    alpha: int = Field(default=64, ge=1)
    """Scale: the adapter's output counts alpha / r."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Dropout within the adapter."""
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Names of the modules that get an adapter."""


class OptimConfig(_Section):
    """What all training methods share."""

    batch_size: int = Field(default=64, ge=1)
    """Examples, or pairs, per optimizer step."""
    micro_batch: int = Field(default=8, ge=1, json_schema_extra=OPERATIONAL)
    """Examples, or pairs, that go through the model together; bounds the memory."""
    epochs: float = Field(default=1.0, gt=0.0, allow_inf_nan=False)
    """Passes over the data."""
    warmup: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of the steps over which the learning rate rises to its full value."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate goes on from there."""
    weight_decay: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """Decoupled weight decay of AdamW."""
    max_grad_norm: float = Field(default=1.0, gt=0.0, allow_inf_nan=False)
    """The gradient's norm is clipped to this."""
    max_length: int = Field(default=2048, ge=16)
    """Most tokens of a prompt and its answer; an example that is longer is left out and counted."""
    bf16: Literal["auto"] | bool = "auto"
    """Mixed precision; `auto` is on for a GPU and off for a CPU."""
    checkpoint_every: int = Field(default=50, ge=1, json_schema_extra=OPERATIONAL)
    """Optimizer steps between checkpoints."""


class SFTConfig(_Section):
    """Supervised fine-tuning on the revisions."""

    learning_rate: float = Field(default=1.0e-4, gt=0.0, allow_inf_nan=False)
    """Peak learning rate."""
    epochs: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    """Passes over the data, where they differ from `optim.epochs`."""
    benign_replay: float = Field(default=0.5, ge=0.0, allow_inf_nan=False)
    """Up to so many drafts that needed no revision for each revision: they keep what was good already."""


class DPOConfig(_Section):
    """Direct preference optimization with a probability for each pair."""

    init: Literal["auto", "sft", "base"] = "auto"
    """Where training starts, which is also the reference; `auto` is the SFT model if the run trains one."""
    beta: float = Field(default=0.1, gt=0.0, allow_inf_nan=False)
    """Strength of the tie to the reference."""
    learning_rate: float = Field(default=5.0e-6, gt=0.0, allow_inf_nan=False)
    """Peak learning rate."""
    epochs: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    """Passes over the data, where they differ from `optim.epochs`."""
    min_margin: float = Field(default=0.05, ge=0.0, lt=0.5)
    """A pair whose probability is nearer to one half than this is left out and counted."""

"""The training room's sections of the run file."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from core.settings import OPERATIONAL, Section

Sink = Literal["tensorboard", "wandb", "trackio"]
TENSORBOARD: Sink = "tensorboard"


class LoraConfig(Section):
    """The low-rank adapter that is trained; the model's own weights stay as they are."""

    r: int = Field(default=32, ge=1)
    """Rank."""
    alpha: int = Field(default=64, ge=1)
    """Scale: the adapter's output counts alpha / r."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Dropout within the adapter."""
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Names of the modules that get an adapter."""


class OptimConfig(Section):
    """What all training methods share."""

    batch_size: int = Field(default=64, ge=1)
    """Examples, or pairs, per optimizer step."""
    micro_batch: int = Field(default=8, ge=1, json_schema_extra=OPERATIONAL)
    """Examples that go through the model together in SFT, and answers in RLOO and GRPO; bounds the memory."""
    micro_tokens: int = Field(default=2048, ge=16, json_schema_extra=OPERATIONAL)
    """Tokens of pairs that go through the model together; bounds the memory. A longer pair goes alone."""
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
    stop_grad_norm: float | None = Field(default=1.0e4, gt=0.0, allow_inf_nan=False)
    """A gradient whose norm, before it is clipped, exceeds this stops the training with the step's number."""
    max_length: int = Field(default=2048, ge=16)
    """Most tokens of a prompt and its answer; no example may be longer than the model's context."""
    overlong: Literal["drop", "truncate"] = "drop"
    """What happens to a longer example: it is left out and counted, or its prompt is cut from the left."""
    bf16: Literal["auto"] | bool = "auto"
    """Mixed precision; `auto` is on for a GPU and off for a CPU."""
    gradient_checkpointing: bool = Field(default=False, json_schema_extra=OPERATIONAL)
    """Compute activations twice and keep few of them: less memory, about a third more time."""
    checkpoint_every: int = Field(default=50, ge=1, json_schema_extra=OPERATIONAL)
    """Optimizer steps between checkpoints."""
    eval_every: int | None = Field(default=None, ge=1)
    """Optimizer steps between evaluations on held-out examples; unset, there is one at the end."""
    keep: Literal["last", "best"] = "last"
    """Which weights are the result: the last, or those with the lowest held-out loss."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after so many evaluations in a row without a lower held-out loss."""
    report_to: tuple[Sink, ...] = Field(default=(), json_schema_extra=OPERATIONAL)
    """Also log there; metrics.jsonl is always written."""

    @model_validator(mode="after")
    def _evaluates_what_it_decides_by(self) -> Self:
        if self.eval_every is None and (self.keep == "best" or self.patience is not None):
            raise ValueError("keep: best and patience go by the held-out loss: set eval_every")
        return self


class SFTConfig(Section):
    """Supervised fine-tuning on the revisions."""

    learning_rate: float = Field(default=1.0e-4, gt=0.0, allow_inf_nan=False)
    """Peak learning rate."""
    epochs: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    """Passes over the data, where they differ from `optim.epochs`."""
    benign_replay: float = Field(default=0.5, ge=0.0, allow_inf_nan=False)
    """Up to so many drafts that needed no revision for each revision: they keep what was good already."""
    answers: Literal["best", "final", "every"] = "best"
    """Which answers of the loop are learned: the one that does best in the machine checks (the latest of
    equals), the last, or every revision that was kept."""
    held_out: float = Field(default=0.0, ge=0.0, le=0.5)
    """Share of the prompts whose answers are held out from training, and evaluated on."""


class RewardConfig(Section):
    """A reward model: scores of which sigmoid(difference) is the preference's probability."""

    init: Literal["auto", "sft", "base"] = "auto"
    """Where training starts; `auto` is the SFT model if the run trains one."""
    learning_rate: float = Field(default=1.0e-4, gt=0.0, allow_inf_nan=False)
    """Peak learning rate."""
    epochs: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    """Passes over the data, where they differ from `optim.epochs`."""
    center: float = Field(default=0.01, ge=0.0, allow_inf_nan=False)
    """Pulls the sum of both scores of a pair to 0 (Eisenstein et al. 2023): scores then have an origin."""
    keep_ties: bool = True
    """Whether pairs of exactly one half teach too: that the two scores are equal."""
    held_out: float = Field(default=0.1, ge=0.0, le=0.5)
    """Share of the prompts whose pairs are held out: the report and the temperature come from them."""
    members: int = Field(default=1, ge=1, le=16)
    """Reward models that are trained from different seeds."""
    combine: Literal["mean", "min", "uncertainty"] = "mean"
    """The score of several members: their mean, the lowest, or the mean less their variance times
    `uncertainty` (Coste et al. 2023, arXiv 2310.02743)."""
    uncertainty: float = Field(default=0.5, ge=0.0, allow_inf_nan=False)
    """What a unit of variance between members costs."""


class DPOConfig(Section):
    """Direct preference optimization with a probability for each pair."""

    init: Literal["auto", "sft", "base"] = "auto"
    """Where training starts, which is also the reference; `auto` is the SFT model if the run trains one."""
    loss: Literal["sigmoid", "ipo", "robust"] = "sigmoid"
    """What is minimised (`training/pairs/losses.py`): DPO's own loss, IPO's square, or the loss that is right
    on average where a known share of labels is flipped.
    """
    beta: float = Field(default=0.1, gt=0.0, allow_inf_nan=False)
    """Strength of the tie to the reference."""
    flipped: float = Field(default=0.0, ge=0.0, lt=0.5, allow_inf_nan=False)
    """Share of labels that are believed to be flipped (`robust` only)."""
    sft_coef: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """Weight of the chosen answers' mean negative log-probability per token, added to the loss."""
    learning_rate: float = Field(default=5.0e-6, gt=0.0, allow_inf_nan=False)
    """Peak learning rate."""
    epochs: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    """Passes over the data, where they differ from `optim.epochs`."""
    min_margin: float = Field(default=0.05, ge=0.0, lt=0.5)
    """A pair whose probability is nearer to one half than this is left out and counted."""
    held_out: float = Field(default=0.0, ge=0.0, le=0.5)
    """Share of the prompts whose pairs are held out from training, and evaluated on."""
    chosen_fall: float | None = Field(default=0.1, gt=0.0, allow_inf_nan=False)
    """Warn when chosen answers have become less likely than under the reference by so many nats per token,
    on the mean of the last 10 steps."""

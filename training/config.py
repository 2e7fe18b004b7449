"""Settings of the run file for training: LoRA, optimizer, SFT, reward models and DPO."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from core.settings import ADDED, OPERATIONAL, Section

Schedule = Literal["cosine", "linear", "constant"]
"""Learning rate schedules (`training/steps/schedule.py`)."""
Sink = Literal["tensorboard", "wandb", "trackio"]
TENSORBOARD: Sink = "tensorboard"
Finetuning = Literal["lora", "full"]


class _ByExamples(Section):
    """A method that learns from examples."""

    finetuning: Finetuning = Field(default="lora", json_schema_extra=ADDED)
    """Weights to train: `lora` an adapter, `full` all weights of the model (16 bytes of GPU memory per
    parameter and more; the result is a whole model; the learning rate is a tenth unless set)."""

    @model_validator(mode="before")
    @classmethod
    def _smaller_steps_for_all_weights(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("finetuning") == "full" and "learning_rate" not in value:
            return value | {"learning_rate": cls.model_fields["learning_rate"].default / 10}
        return value


class LoraConfig(Section):
    """Low-rank adapter (LoRA) to train; the model's own weights are not changed."""

    r: int = Field(default=32, ge=1, le=65_536)
    """Rank of the adapter."""
    alpha: int = Field(default=64, ge=1)
    """Scale: the adapter's output is multiplied by alpha / r."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Dropout probability in the adapter."""
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Names of the modules to adapt, or `all-linear`."""


class OptimConfig(Section):
    """Optimizer settings shared by all training methods."""

    batch_size: int = Field(default=64, ge=1)
    """Examples (SFT) or pairs (reward, DPO) per optimizer step, over all processes; the last step of an epoch
    has the rest. No effect on PPO, RLOO, GRPO and distill, which have `rollouts`."""
    micro_batch: int = Field(default=8, ge=1, json_schema_extra=OPERATIONAL)
    """Maximum examples per forward pass of SFT; bounds the memory together with `micro_tokens`. GRPO: answers
    per block of the loss type `bnpo`."""
    micro_tokens: int = Field(default=2048, ge=16, json_schema_extra=OPERATIONAL)
    """Maximum tokens per forward pass, in SFT with padding; bounds the memory. A longer row runs alone. If
    unset, 512 on a CPU, where larger passes are not faster."""
    epochs: float = Field(default=1.0, gt=0.0, allow_inf_nan=False)
    """Number of passes over the data (SFT, reward, DPO)."""
    warmup: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of the steps during which the learning rate rises to its peak; the first step's is above 0."""
    schedule: Schedule = "cosine"
    """Learning rate schedule after the warm-up."""
    weight_decay: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """Decoupled weight decay of AdamW."""
    max_grad_norm: float = Field(default=1.0, gt=0.0, allow_inf_nan=False)
    """Maximum norm to which the gradient is clipped."""
    stop_grad_norm: float | None = Field(default=1.0e4, gt=0.0, allow_inf_nan=False)
    """Stop the training if the gradient norm exceeds this value before clipping."""
    max_length: int = Field(default=2048, ge=16)
    """Maximum tokens of a prompt plus its answer; if the model's context is shorter, its length applies."""
    overlong: Literal["drop", "truncate"] = "drop"
    """Longer examples: `drop` excludes and counts them; `truncate` shortens their prompt by its oldest turns,
    then by the beginning of its last message. System message, role headers and answers stay whole."""
    bf16: Literal["auto"] | bool = "auto"
    """Mixed precision; `auto` is on for a GPU (bfloat16, or float16 if it has none) and off for a CPU."""
    gradient_checkpointing: bool = Field(default=False, json_schema_extra=OPERATIONAL)
    """Recompute activations in the backward pass: less memory, about a third more time."""
    checkpoint_every: int = Field(default=50, ge=1, json_schema_extra=OPERATIONAL)
    """Optimizer steps between checkpoints."""
    eval_every: int | None = Field(default=None, ge=1)
    """Optimizer steps between evaluations on held-out examples; if unset, evaluate once at the end. This
    setting, `keep` and `patience` apply to SFT, reward and DPO; PPO, RLOO and GRPO have their own."""
    keep: Literal["last", "best"] = "last"
    """Weights to keep as the result: the last, or those with the lowest held-out loss."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after this many evaluations in a row without a lower held-out loss."""
    report_to: tuple[Sink, ...] = Field(default=(), json_schema_extra=OPERATIONAL)
    """Further logging targets; metrics.jsonl is always written."""

    @model_validator(mode="after")
    def _evaluates_if_needed(self) -> Self:
        if self.eval_every is None and (self.keep == "best" or self.patience is not None):
            raise ValueError("keep: best and patience need held-out losses: set eval_every")
        return self


class SFTConfig(_ByExamples):
    """Supervised fine-tuning (SFT) on the revisions, or on the best of the sampled answers."""

    model_config = ConfigDict(populate_by_name=True)

    source: Literal["revisions", "samples"] = Field(
        default="revisions", alias="from", json_schema_extra=ADDED
    )
    """`revisions`: the answers of the critique loop; `samples`: the best answer of the sample stage to each
    prompt of the split train (best of K)."""
    per_prompt: int = Field(default=1, ge=1, le=64, json_schema_extra=ADDED)
    """Maximum number of answers per prompt, for `samples`; all but the first must pass."""
    learn: Literal["all", "edits"] = Field(default="all", json_schema_extra=ADDED)
    """Tokens to learn: `all`, or `edits` (only for `samples` and LoRA), those that an edit or a given
    beginning added to what the policy wrote itself, and the end. At the other tokens the policy is held to
    its distribution at the start of training (`anchor`), so that little else changes."""
    anchor: float = Field(default=1.0, ge=0.0, allow_inf_nan=False, json_schema_extra=ADDED)
    """Weight of the KL divergence from the start at the tokens that are not learned, for `learn: edits`."""
    learning_rate: float = Field(default=1.0e-4, gt=0.0, allow_inf_nan=False)
    """Peak learning rate."""
    epochs: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    """Number of passes over the data; if unset, `optim.epochs`."""
    benign_replay: float = Field(default=0.5, ge=0.0, allow_inf_nan=False)
    """Maximum ratio of unrevised drafts to revisions in the training data; drafts preserve good behaviour."""
    answers: Literal["best", "final", "every"] = "best"
    """Answers of the critique loop to train on: `best` is the answer that does best in the machine checks (of
    ties, the last), `final` is the last one, `every` is every revision that was kept."""
    held_out: float = Field(default=0.0, ge=0.0, le=0.5)
    """Share of the prompts whose answers are held out from training for evaluation."""

    @model_validator(mode="after")
    def _has_edits_to_learn(self) -> Self:
        if self.learn == "edits" and self.source != "samples":
            raise ValueError("learn is edits, but only sampled answers (from: samples) are edited")
        if self.learn == "edits" and self.finetuning == "full":
            raise ValueError(
                "learn is edits, which compares with the model without its adapter; with "
                "finetuning: full there is none"
            )
        return self


class RewardConfig(_ByExamples):
    """Reward model: sigmoid of the score difference is the probability of a preference."""

    init: Literal["auto", "sft", "base"] = "auto"
    """Model that training starts from; `auto` is the SFT model if the run trains one, else the base model."""
    learning_rate: float = Field(default=1.0e-4, gt=0.0, allow_inf_nan=False)
    """Peak learning rate."""
    epochs: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    """Number of passes over the data; if unset, `optim.epochs`."""
    center: float = Field(default=0.01, ge=0.0, allow_inf_nan=False)
    """Weight of the centring loss, which pulls the sum of a pair's scores to 0 (Eisenstein et al. 2023)."""
    keep_ties: bool = True
    """Train on ties (probability exactly 0.5) too; they teach that the two scores are equal."""
    held_out: float = Field(default=0.1, ge=0.0, le=0.5)
    """Share of the prompts whose pairs are held out for the report and the calibration temperature."""
    members: int = Field(default=1, ge=1, le=16)
    """Number of reward models trained from different seeds (an ensemble if more than one)."""
    combine: Literal["mean", "min", "uncertainty"] = "mean"
    """Combination of the members' scores: the mean, the minimum, or the mean minus `uncertainty` times the
    variance (Coste et al. 2023, arXiv 2310.02743)."""
    uncertainty: float = Field(default=0.5, ge=0.0, allow_inf_nan=False)
    """Penalty per unit of variance between members."""

    @model_validator(mode="after")
    def _ensembles_share_a_model(self) -> Self:
        if self.finetuning == "full" and self.members > 1:
            raise ValueError("an ensemble shares one model: with finetuning: full, members must be 1")
        return self


class DPOConfig(_ByExamples):
    """Direct preference optimization (DPO) with a probability for each pair (soft labels)."""

    init: Literal["auto", "sft", "base"] = "auto"
    """Model that training starts from, which is also the reference; `auto` is the SFT model if the run trains
    one, else the base model."""
    loss: Literal["sigmoid", "ipo", "robust"] = "sigmoid"
    """Loss function (`training/pairs/losses.py`): `sigmoid` is DPO's own loss, `ipo` is IPO's squared loss,
    `robust` is unbiased if a known share of labels is flipped."""
    beta: float = Field(default=0.1, gt=0.0, allow_inf_nan=False)
    """Strength of the penalty on divergence from the reference."""
    flipped: float = Field(default=0.0, ge=0.0, lt=0.5, allow_inf_nan=False)
    """Assumed share of flipped labels (`robust` only)."""
    sft_coef: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """Weight of the SFT term in the loss: the chosen answer's mean negative log-likelihood per token."""
    learning_rate: float = Field(default=5.0e-6, gt=0.0, allow_inf_nan=False)
    """Peak learning rate."""
    epochs: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    """Number of passes over the data; if unset, `optim.epochs`."""
    min_margin: float = Field(default=0.05, ge=0.0, lt=0.5)
    """Pairs whose probability is closer to 0.5 than this are excluded and counted. So are pairs whose chosen
    answer is cut off at its token limit: to prefer it would teach the model to run on."""
    held_out: float = Field(default=0.0, ge=0.0, le=0.5)
    """Share of the prompts whose pairs are held out from training for evaluation."""
    rounds: int = Field(default=1, ge=1, le=16, json_schema_extra=ADDED)
    """Number of rounds in a run. Each round after the first samples answers from the model of the round
    before (settings of `compare`), labels them with the AI labeler and the checks, and trains on from that
    model, which is its reference. No effect on training on a data set."""
    chosen_fall: float | None = Field(default=0.1, gt=0.0, allow_inf_nan=False)
    """Warn if the log-probability of chosen answers has fallen below the reference's by more than this, in
    nats per token, averaged over the last 10 steps."""

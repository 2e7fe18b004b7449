"""Settings of the evaluation in the run file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from core.records import Sampling
from core.settings import ADDED, OPERATIONAL, Section, turned_off_by

BASE: Final = "base"
"""Variant that all others are compared with."""
STEERED: Final = "steered"
"""Variant with the checkpoint that the stage `choose` chose."""
Variant = Literal["base", "prompted", "sft", "dpo", "ppo", "rloo", "grpo", "distill", "steered"]
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
    system prompt (`prompted`), and the policy after each training method. The chosen checkpoint (`steered`)
    is added if the run has one."""
    prompts: int | None = Field(default=None, ge=1, json_schema_extra=ADDED)
    """Maximum number of held-out prompts to answer, chosen by hash; the others are counted as excluded. With
    fewer prompts, intervals are wider. Default: all."""
    sampling: EvalSampling = EvalSampling()
    """Sampling parameters of the answers."""
    kl: bool = True
    """True to measure the KL divergence of each trained model from `base`, in nats per token."""
    quality: bool = Field(default=True, json_schema_extra=ADDED)
    """True to measure what training costs: the loss of each variant on neutral text and reference answers
    that ship with Publius, and the loss of `base` on the variant's answers, in nats per token."""
    texts: int | None = Field(
        default=None, ge=1, json_schema_extra=turned_off_by("eval.quality: false", ADDED)
    )
    """Maximum number of neutral passages, and of reference answers, that losses are measured on, of forty
    each; all kinds of passages stay. Default: all."""
    refusals: str | None = Field(default=None, min_length=1, json_schema_extra=ADDED)
    """Prompts to measure over-refusal and under-refusal on: `builtin` for the eighty that ship, or a file
    with the columns `prompt` and `label` (`safe` or `unsafe`), such as XSTest's CSV, relative to the run
    file. Prompts that the run trains on are left out. Not set: refusals are not measured, as each variant
    would have to answer these prompts too."""
    refusal_prompts: int | None = Field(
        default=None, ge=1, json_schema_extra=turned_off_by("eval.refusals: null", ADDED)
    )
    """Maximum number of refusal prompts of each label, chosen by hash. Default: all."""
    best_of: int | None = Field(default=None, ge=2, le=1024, json_schema_extra=OPERATIONAL)
    """Number of answers to sample for each held-out prompt, of which the run's reward model chooses the best
    of 1, 2, 4 and so on: the report shows what that gains in reward and in machine checks. Sampled at the
    temperature of `sampling`, or at 1 if that is greedy. Finished runs can be asked. Not set: nothing is
    sampled."""
    pairs: Literal["base", "all"] = Field(default="base", json_schema_extra=ADDED)
    """Answers that the judge compares: those of each variant with those of `base`, or of all variants with
    each other, which ranks them more exactly; with four variants it is asked twice as much."""
    judged: bool = Field(default=True, json_schema_extra=OPERATIONAL)
    """True to have the judge, if there is one, rate every answer under each principle without a machine check
    that applies to its prompt: one question for each."""
    sheet: int = Field(default=20, ge=0, json_schema_extra=OPERATIONAL)
    """Number of prompts of each judged principle in `eval/sheet.csv`, a sheet for people to label; 0 for no
    sheet."""
    gold: tuple[Path, ...] = Field(default=(), json_schema_extra=OPERATIONAL)
    """Files with people's labels of single answers, relative to the run file, which correct the judge's
    ratings: sheets, or rows with the columns `prompt`, `completion`, `principle` (an id) and `label` (true
    or false). The sheet in the run folder is read without being named."""
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


class ChooseConfig(Section):
    """Choice of a checkpoint: the most compliant one within limits of quality.

    Limits are compared with `base` on the same texts and prompts; null switches a limit off. A change of a
    limit chooses again and trains nothing again.
    """

    prompts: int = Field(default=32, ge=1, json_schema_extra=turned_off_by("choose: null"))
    """Number of `train` and `preference` prompts to hold out from training, on which checkpoints are
    compared; at most a quarter of them."""
    neutral_loss: float | None = Field(default=0.05, ge=0.0, json_schema_extra=OPERATIONAL)
    """Largest rise of the loss on neutral text, in nats per token."""
    reference_loss: float | None = Field(default=None, ge=0.0, json_schema_extra=OPERATIONAL)
    """Largest rise of the loss on reference answers, in nats per token."""
    sameness: float | None = Field(default=0.05, ge=0.0, le=1.0, json_schema_extra=OPERATIONAL)
    """Largest share of answers that are nearly the same as the answer to another prompt; the share of `base`
    where that is larger."""
    finished: Literal["base"] | Annotated[float, Field(ge=0.0, le=1.0)] | None = Field(
        default="base", json_schema_extra=OPERATIONAL
    )
    """Smallest share of answers that end by themselves; `base` for that of the policy before training."""
    length: tuple[Annotated[float, Field(ge=0.0)], Annotated[float, Field(gt=0.0)]] | None = Field(
        default=None, json_schema_extra=OPERATIONAL
    )
    """Smallest and largest mean number of words, relative to `base`, such as `[0.1, 3.0]`."""
    weaker: tuple[Annotated[float, Field(gt=0.0, lt=1.0)], ...] = Field(
        default=(0.75, 0.5), json_schema_extra=OPERATIONAL
    )
    """Shares of its strength at which an adapter is tried, from strong to weak, if a limit excludes the most
    compliant checkpoint; empty to try none."""

    @model_validator(mode="after")
    def _length_is_a_range(self) -> Self:
        if self.length is not None and self.length[0] > self.length[1]:
            raise ValueError(f"length is [smallest, largest], but {self.length[0]:g} > {self.length[1]:g}")
        return self

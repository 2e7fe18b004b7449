"""Settings of the labelers: the `label` section of the run file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from core.records import Sampling
from core.settings import ADDED, Section, identity_of
from labelers.crowd.methods import Aggregation

LabelMode = Literal["choice", "pointwise", "symmetric", "rating", "contrastive", "reasoned", "rubric"]
"""What the AI labeler is asked: which of two replies is better, or whether or how well each fulfils the
principle."""
MODE_TEMPLATES: Mapping[LabelMode, tuple[str, ...]] = {
    "symmetric": ("symmetric",),
    "rating": ("rating",),
    "contrastive": ("contrastive",),
    "reasoned": ("reasoned", "reasoned_verdict"),
    "rubric": ("rubric",),
}
"""Templates of the modes that have their own."""
Polarity = Literal["fulfils", "both"]
"""Questions about a reply in the mode `pointwise`."""
Mix = Literal["override", "weights", "pooled", "humans", "machines"]
"""How human annotators and machines (the AI labeler and the checks) are combined."""

PrincipleCount = Annotated[int, Field(ge=0, le=64)] | Literal["all"]
SourceWeight = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class MixRule(Section):
    """A mix for the judgments that meet every condition set."""

    mix: Mix
    """How annotators and machines are combined for these judgments; values as in `label.mix`."""
    tags: tuple[str, ...] = ()
    """The prompt has one of these tags."""
    sections: tuple[str, ...] = ()
    """The judgment is under a principle of one of these sections."""
    dimensions: tuple[str, ...] = ()
    """The judgment is about one of these dimensions."""
    sources: tuple[str, ...] = ()
    """The judgment is from one of these sources: `ai`, `check`, or the name of a human source."""


class VerdictSampling(Sampling):
    """Sampling parameters of a judge that writes; by default it writes the same each time."""

    temperature: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    max_new_tokens: int = Field(default=256, ge=1)


class LabelConfig(Section):
    """How comparisons are judged, and how judgments are aggregated into preferences."""

    mode: LabelMode = "choice"
    """`choice`: the log-probabilities of a one-letter answer about both replies, in both presentation orders.
    `pointwise`: of Yes and No about each reply alone; the difference of their log-odds is the preference.
    `symmetric`: as `choice`, with the replies side by side in one prompt, so that neither is the first.
    `rating`: of the numbers from 1 to `rating_points` about each reply alone; the difference of the expected
    ratings is the preference. `contrastive`: how much more likely each reply is under the principle than
    under its antithesis. `reasoned`: as `choice`, after the labeler has written down its reasons. `rubric`: a
    grade of each reply with a reason, as JSON."""
    rating_points: int = Field(default=5, ge=2, le=9, json_schema_extra=ADDED)
    """Highest rating or grade in the modes `rating` and `rubric`. Ratings must be single tokens, so 9 is the
    largest."""
    rating_scale: float = Field(default=1.0, gt=0.0, allow_inf_nan=False, json_schema_extra=ADDED)
    """Log-odds in nats for each point of difference between two ratings or grades."""
    polarity: Polarity = Field(default="fulfils", json_schema_extra=ADDED)
    """Questions about each reply in the mode `pointwise`. `fulfils`: whether it fulfils the principle.
    `both`: also whether it breaks it; half the difference of both log-odds counts, in which a liking for Yes
    cancels, also that for a reply that asks for it. This takes a second request about each reply."""
    contrast: Literal["sum", "mean"] = Field(default="sum", json_schema_extra=ADDED)
    """Log-probability of a reply in the mode `contrastive`: the sum over its tokens, or their mean."""
    verdict: VerdictSampling = Field(default=VerdictSampling(), json_schema_extra=ADDED)
    """Sampling parameters of what the labeler writes in the modes `reasoned` and `rubric`."""
    reasoned_clamp: float = Field(default=0.6, gt=0.5, le=1.0, json_schema_extra=ADDED)
    """Highest probability of a label in the mode `reasoned`, and 1 less it the lowest. Behind its own reasons
    a model is nearly always certain. 1 does not clamp."""
    principles: PrincipleCount = 4
    """Number of principles drawn per comparison for the AI labeler; 0 uses only the machine checks. `all`:
    every principle without a machine check that applies to the prompt."""
    # It has one value and nothing reads it. It remains because it is part of the identity of runs and of the
    # ids of judgments: without it no earlier run could be resumed.
    order_average: Literal["logit"] = "logit"
    """The log-odds of both orders are averaged, which cancels a constant position bias exactly."""
    min_answer_mass: float = Field(default=0.5, ge=0.0, le=1.0)
    """A judgment is `unparsed` if the offered letters have less total probability than this."""
    near_duplicate: float = Field(default=0.9, gt=0.0, le=1.0)
    """Two answers that share at least this fraction of their words are not compared, unless people judged
    them (`label.humans`). 1 keeps all that differ in a word."""
    check_confidence: float = Field(default=0.95, gt=0.5, lt=1.0)
    """Probability of the answer that passes a machine check when the other answer fails it."""
    correction: Path | None = Field(default=None, json_schema_extra=ADDED)
    """File of `publius audit correction`, relative to the run file. The AI labeler's probabilities are then
    corrected before they are aggregated, and those that it abstains on are not used."""
    humans: tuple[Path, ...] = ()
    """Folders with human judgments, relative to the run file."""
    mix: Mix | Literal["classic"] = "override"
    """How human judgments are combined with those of machines (the AI labeler and the checks). `override`:
    annotators where they have judged, otherwise machines. `weights`: each source by its weight. `pooled`: all
    votes, each by the reliability estimated from the votes. `humans` or `machines`: only these. `classic`:
    machines on harmlessness, annotators on everything else."""
    rules: tuple[MixRule, ...] = ()
    """Different mixes for some prompts, sections, dimensions or sources. The first matching rule applies to a
    judgment. The rules decide a comparison in their order, before `mix`."""
    weights: dict[str, SourceWeight] = Field(default={})
    """For the mix `weights`: the weight of each source (`ai`, `check` or the name of a human source);
    default 1."""
    aggregation: Aggregation = "graded"
    """How the votes of several annotators are aggregated into one probability. `graded`: a Dawid-Skene model
    that estimates annotator reliability. `majority`: the share of votes. `dawid-skene`: crowd-kit's
    implementation."""

    @model_validator(mode="after")
    def _has_only_settings_of_its_mode(self) -> Self:
        for field, modes in _MODE_FIELDS.items():
            if self.mode not in modes and getattr(self, field) != type(self).model_fields[field].default:
                raise ValueError(f"label.{field} is set, but label.mode is not {' or '.join(modes)}")
        return self

    @model_validator(mode="after")
    def _requires_human_folders(self) -> Self:
        if not self.humans:
            for field in sorted(ANNOTATOR_FIELDS - {"humans"}):
                if getattr(self, field) != type(self).model_fields[field].default:
                    raise ValueError(f"label.{field} is set, but label.humans names no folder")
        return self


_MODE_FIELDS: Mapping[str, tuple[LabelMode, ...]] = {
    "rating_points": ("rating", "rubric"),
    "rating_scale": ("rating", "rubric"),
    "polarity": ("pointwise",),
    "contrast": ("contrastive",),
    "verdict": ("reasoned", "rubric"),
    "reasoned_clamp": ("reasoned",),
}
"""Fields that only some modes read."""

ANNOTATOR_FIELDS = frozenset({"humans", "mix", "rules", "weights", "aggregation"})
"""Fields about human judgments, which have no effect without `humans`."""
AGGREGATION_FIELDS = ANNOTATOR_FIELDS | {"correction"}
"""Fields that do not change the AI labeler's requests and are therefore excluded from its judgments' ids."""


def in_mode(config: LabelConfig, mode: LabelMode) -> LabelConfig:
    """Return the settings with another mode, and defaults for the fields that it does not read."""
    fields = LabelConfig.model_fields
    unread = {name: fields[name].default for name, modes in _MODE_FIELDS.items() if mode not in modes}
    return config.model_copy(update={"mode": mode, **unread})


def asks_both_polarities(config: LabelConfig) -> bool:
    """Return True if the labeler is also asked whether a reply breaks the principle."""
    return config.mode == "pointwise" and config.polarity == "both"


def further_templates(config: LabelConfig, *, typed: bool) -> tuple[str, ...]:
    """Return the templates of a mode's questions beside those that every run has; `typed` for typed ones."""
    if asks_both_polarities(config):
        return ("decision_breaks",) if typed else ("pointwise_breaks",)
    return MODE_TEMPLATES.get(config.mode, ())


def judging_settings(config: LabelConfig) -> dict[str, object]:
    """Return the settings that the AI labeler's judgments depend on: their part of a judgment's id."""
    return {name: value for name, value in identity_of(config).items() if name not in AGGREGATION_FIELDS}

"""The labelers' section of the run file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from core.settings import Section
from labelers.crowd.methods import Aggregation

Mix = Literal["override", "weights", "pooled", "humans", "machines"]
"""Who decides where people and machines (the AI labeler and the checks) have judged."""

Say = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class MixRule(Section):
    """A mix for some judgments: those that fit every condition that is set."""

    mix: Mix
    """Who decides here; as `label.mix`."""
    tags: tuple[str, ...] = ()
    """The prompt has one of these tags."""
    sections: tuple[str, ...] = ()
    """The judgment is under a principle of one of these sections."""
    dimensions: tuple[str, ...] = ()
    """The judgment is about one of these dimensions."""
    sources: tuple[str, ...] = ()
    """The judgment is from one of these sources: `ai`, `check`, or the name of people's."""


class LabelConfig(Section):
    """How comparisons are judged and judgments become preferences."""

    # `mode` and `order_average` have one value each and nothing reads them. They stay because they are part
    # of the identity of runs and of the ids of judgments: without them no earlier run could be resumed.
    mode: Literal["choice"] = "choice"
    """`choice`: the log-probabilities of a one-letter answer, in both presentation orders."""
    principles: int = Field(default=4, ge=0, le=64)
    """Principles drawn per comparison for the AI labeler; 0 leaves labeling to the machine checks."""
    order_average: Literal["logit"] = "logit"
    """Both orders are averaged as log-odds, which cancels a constant position bias exactly."""
    min_answer_mass: float = Field(default=0.5, ge=0.0, le=1.0)
    """Less probability than this on the offered letters makes the judgment `unparsed`."""
    near_duplicate: float = Field(default=0.9, gt=0.0, le=1.0)
    """Answers that share at least this part of their words are not compared."""
    check_confidence: float = Field(default=0.95, gt=0.5, lt=1.0)
    """Probability for the answer that passes a machine check when the other fails it."""
    humans: tuple[Path, ...] = ()
    """Folders with people's judgments, relative to the run file."""
    mix: Mix | Literal["classic"] = "override"
    """`override`: people where they have judged, else machines; `weights`: each source by its weight;
    `pooled`: everyone by the reliability that the votes show; `humans` or `machines`: they alone. `classic`:
    machines on harmlessness, people on everything else."""
    rules: tuple[MixRule, ...] = ()
    """Other mixes for some prompts, sections, dimensions or sources. A judgment falls under the first rule
    that it fits; the rules settle a comparison in their order, before `mix`."""
    weights: dict[str, Say] = Field(default={})
    """For `weights`: the say of each source, `ai`, `check` or the name of people's; 1 where not given."""
    aggregation: Aggregation = "graded"
    """How several annotators become one probability: `graded` learns whom to believe; `majority` is the share
    of votes; `dawid-skene` is crowd-kit's."""

    @model_validator(mode="after")
    def _mixes_with_people(self) -> Self:
        if not self.humans:
            for field in sorted(ANNOTATOR_FIELDS - {"humans"}):
                if getattr(self, field) != type(self).model_fields[field].default:
                    raise ValueError(f"label.{field} is set, but label.humans names no folder")
        return self


ANNOTATOR_FIELDS = frozenset({"humans", "mix", "rules", "weights", "aggregation"})
"""Fields that change nothing about what the AI labeler is asked, and so have no part in its judgments'
ids."""

"""The critique room's sections of the run file: the loop, and where comparisons come from."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import ConfigDict, Field, model_validator

from core.records import Sampling
from core.settings import Section

Flag = Literal["unchanged", "empty", "truncated", "prefix_leak"]


class DraftSampling(Sampling):
    """How first drafts are drawn."""

    max_new_tokens: int = Field(default=768, ge=1)


class CritiqueSampling(Sampling):
    """How critiques are drawn."""

    temperature: float = Field(default=0.7, ge=0.0, allow_inf_nan=False)
    max_new_tokens: int = Field(default=256, ge=1)


class RevisionSampling(Sampling):
    """How revisions are drawn."""

    temperature: float = Field(default=0.7, ge=0.0, allow_inf_nan=False)
    max_new_tokens: int = Field(default=768, ge=1)


class CritiqueConfig(Section):
    """The critique-and-revise loop."""

    rounds: int = Field(default=2, ge=0, le=16)
    """Rounds of critique and revision; each draws one principle."""
    draft: DraftSampling = DraftSampling()
    """How drafts are drawn."""
    critique: CritiqueSampling = CritiqueSampling()
    """How critiques are drawn."""
    revision: RevisionSampling = RevisionSampling()
    """How revisions are drawn."""
    drop: tuple[Flag, ...] = ("unchanged", "empty", "prefix_leak", "truncated")
    """A revision with one of these flags is recorded but not kept: the answer before it stands."""


class CompareConfig(Section):
    """Which answers are compared."""

    model_config = ConfigDict(populate_by_name=True)

    source: Literal["revisions", "base", "sft"] = Field(default="revisions", alias="from")
    """`revisions`: the draft against the last revision; `base`: samples of the policy before training; `sft`:
    samples of the policy after supervised training, as in the paper."""
    samples: int = Field(default=4, ge=2, le=64)
    """Answers per prompt when they are sampled."""
    pairs: Literal["disjoint", "all"] = "disjoint"
    """`disjoint`: each sample stands in one comparison; `all`: every pair of samples is compared."""
    sampling: DraftSampling = DraftSampling()
    """How the samples are drawn."""

    @model_validator(mode="after")
    def _pairs_come_out_even(self) -> Self:
        if self.source != "revisions" and self.pairs == "disjoint" and self.samples % 2:
            raise ValueError(f"samples is {self.samples}, and disjoint pairs need an even number")
        return self

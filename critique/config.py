"""Settings of the critique package in the run file: the critique loop and the source of comparisons."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import ConfigDict, Field, model_validator

from core.records import Sampling
from core.settings import Section

Flag = Literal["unchanged", "empty", "truncated", "prefix_leak"]


class DraftSampling(Sampling):
    """Sampling parameters of first drafts."""

    max_new_tokens: int = Field(default=768, ge=1)


class CritiqueSampling(Sampling):
    """Sampling parameters of critiques."""

    temperature: float = Field(default=0.7, ge=0.0, allow_inf_nan=False)
    max_new_tokens: int = Field(default=256, ge=1)


class RevisionSampling(Sampling):
    """Sampling parameters of revisions."""

    temperature: float = Field(default=0.7, ge=0.0, allow_inf_nan=False)
    max_new_tokens: int = Field(default=768, ge=1)


class CritiqueConfig(Section):
    """The critique-and-revise loop."""

    rounds: int = Field(default=2, ge=0, le=16)
    """Number of rounds of critique and revision; each draws one principle."""
    draft: DraftSampling = DraftSampling()
    """Sampling parameters of drafts."""
    critique: CritiqueSampling = CritiqueSampling()
    """Sampling parameters of critiques."""
    revision: RevisionSampling = RevisionSampling()
    """Sampling parameters of revisions."""
    drop: tuple[Flag, ...] = ("unchanged", "empty", "prefix_leak", "truncated")
    """A revision with any of these flags is recorded but discarded, and the answer before it is kept."""


class CompareConfig(Section):
    """Source and pairing of the answers that are compared."""

    model_config = ConfigDict(populate_by_name=True)

    source: Literal["revisions", "base", "sft"] = Field(default="revisions", alias="from")
    """`revisions`: the draft and the last revision; `base`: samples from the policy before training; `sft`:
    samples from the policy after supervised fine-tuning, as in the paper."""
    samples: int = Field(default=4, ge=2, le=64)
    """Number of answers sampled per prompt, for `base` and `sft`."""
    pairs: Literal["disjoint", "all"] = "disjoint"
    """`disjoint`: each sample is in one comparison; `all`: every pair of samples is compared."""
    sampling: DraftSampling = DraftSampling()
    """Sampling parameters of these answers."""

    @model_validator(mode="after")
    def _pairs_come_out_even(self) -> Self:
        if self.source != "revisions" and self.pairs == "disjoint" and self.samples % 2:
            raise ValueError(f"samples is {self.samples}, but disjoint pairs require an even number")
        return self

"""Settings of the critique package in the run file: critique loop, scored samples, source of comparisons."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from core.records import Sampling
from core.settings import ADDED, Section, turned_off_by

Flag = Literal[
    "unchanged",
    "empty",
    "truncated",
    "prefix_leak",
    "critique_copied",
    "question_copied",
    "talks_about_the_reply",
    "repeats_itself",
    "refused",
    "evasive",
    "language_changed",
]
"""A problem of a revision (`critique/flags.py`)."""


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
    """A revision with any of these flags is recorded but discarded, and the answer before it is kept. Others:
    `critique_copied`, `question_copied`, `talks_about_the_reply`, `repeats_itself`, `language_changed`,
    `refused`, `evasive`."""
    principles: Literal["random", "section", "all", "worst"] = Field(
        default="random", json_schema_extra=ADDED
    )
    """Principles of a round: `random`, one drawn by weight, as in the paper; `section`, one drawn from the
    constitution's next section; `all`, every principle that applies, in one request; `worst`, the one that
    the answer fulfils least by the machine checks and, with `judge`, the labeler; of equally broken ones hard
    ones first, then those of greater weight."""
    direct: bool = Field(default=False, json_schema_extra=ADDED)
    """Revise without a critique."""
    begin: Annotated[str, Field(max_length=200)] = Field(default="auto", json_schema_extra=ADDED)
    """Text that the critique is made to begin with; `none` for no such text. `auto` begins the critiques of
    models with fewer than 300 million parameters, which else answer the user again, and no others. A template
    of yours with a `prefill` block of its own decides for itself."""
    from_checks: Literal["auto"] | bool = Field(default="auto", json_schema_extra=ADDED)
    """Where the machine checks of all principles of a round fail, what they found is the critique, such as
    `it has 132 words, and the limit is 60`, and no model is asked for one. A principle with a `critique`
    request of its own is criticised by the model. `auto`: true for critics of 300 million parameters or
    more."""
    candidates: int = Field(default=1, ge=1, le=16, json_schema_extra=ADDED)
    """Number of revisions per round, of which the best is used: by the machine checks and, with `judge`, the
    labeler."""
    judge: bool = Field(default=False, json_schema_extra=ADDED)
    """Let the labeler score answers under `label.principles` drawn principles without a machine check, for
    `worst`, `candidates` and `guard`."""
    guard: bool = Field(default=True, json_schema_extra=ADDED)
    """Discard a revision that breaks a principle which the answer before it fulfils (by machine check or,
    with `judge`, labeler), that fails the check of its own principle by more, or that copies its critique or
    the question, talks about the reply, repeats itself or changes the language unasked. The answer before it
    is kept."""
    early_stop: Literal["auto", "off", "checks", "critique"] = Field(default="auto", json_schema_extra=ADDED)
    """`checks`: a round is skipped if its principles have machine checks and the answer passes them;
    `critique`: also if the critique says that nothing is wrong, which small models say at random; `off`:
    every round runs. `auto`: `checks` for critics of 300 million parameters or more, else `off`."""

    @model_validator(mode="after")
    def _candidates_differ(self) -> Self:
        if self.candidates > 1 and self.revision.temperature == 0:
            raise ValueError(
                f"candidates is {self.candidates}, but revision.temperature is 0, so all would be equal"
            )
        return self


Way = Literal["prompted", "begun", "wide", "repaired"]
"""A way to get an answer that passes where no plain draw does (`critique/teaching.py`)."""


class SampleConfig(Section):
    """Answers sampled from the policy and scored under the constitution."""

    draws: int = Field(default=4, ge=1, le=64)
    """Number of plain answers per prompt. They do not depend on the constitution."""
    splits: tuple[Literal["train", "preference"], ...] = Field(default=("train",), min_length=1)
    """Splits whose prompts are answered."""
    teach: tuple[Way, ...] = ("prompted", "begun", "wide", "repaired")
    """What to try, in this order, for a prompt of which no finished draw passes: `prompted`, draws with the
    constitution and the good examples of its principles in front; `begun`, answers that begin as a check
    asks; `wide`, draws at a higher temperature; `repaired`, answers edited so that the checks pass, which
    costs no tokens. The first way with an answer that passes is the last one tried; `[]` tries none."""
    attempts: int = Field(default=2, ge=1, le=64, json_schema_extra=turned_off_by("sample.teach: []"))
    """Number of answers per prompt for each of the ways in `teach`."""
    wide_temperature: float = Field(default=1.3, gt=0.0, allow_inf_nan=False)
    """Temperature of `wide`."""
    informative: int | None = Field(default=None, ge=1)
    """Stop when this many prompts have a best and a worst answer that differ in score; if unset, all prompts
    are answered."""
    batch: int = Field(default=64, ge=1)
    """Prompts answered between two looks at `informative`, and the most that are answered together."""
    judge: bool = False
    """Also score principles without a machine check: the labeler's probability that the answer fulfils each
    of `label.principles` drawn principles. If false, only machine checks count."""
    sampling: DraftSampling = DraftSampling()
    """Sampling parameters of the answers."""

    @model_validator(mode="after")
    def _lists_each_once(self) -> Self:
        for name in ("splits", "teach"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ValueError(f"{name} lists a value twice: {', '.join(getattr(self, name))}")
        return self


class CompareConfig(Section):
    """Source and pairing of the answers that are compared."""

    model_config = ConfigDict(populate_by_name=True)

    source: Literal["revisions", "base", "sft", "samples", "prompted"] = Field(
        default="revisions", alias="from"
    )
    """`revisions`: the draft and the last revision; `base`: samples from the policy before training; `sft`:
    samples from the policy after supervised fine-tuning, as in the paper; `samples`: the answers of the
    sample stage; `prompted`: samples from the policy with the constitution as its system prompt against
    samples without it."""
    samples: int = Field(default=4, ge=2, le=64)
    """Number of answers sampled per prompt, for `base`, `sft` and `prompted` (half of them with the
    constitution)."""
    pairs: Literal["disjoint", "all", "best_worst"] = "disjoint"
    """`disjoint`: each sample is in one comparison; `all`: every pair of samples is compared (for `prompted`,
    every sample with the constitution and every one without); `best_worst`: only the samples with the highest
    and the lowest score, by the machine checks and, if `sample.judge` is set, the labeler. `samples` has
    `best_worst` if `pairs` is not set."""
    weight: Literal["one", "spread"] = Field(default="one", json_schema_extra=ADDED)
    """Weight of a pair in training: `one`, or `spread`, the difference of its scores (`best_worst` only)."""
    sampling: DraftSampling = DraftSampling()
    """Sampling parameters of these answers."""

    @model_validator(mode="before")
    @classmethod
    def _samples_have_scores(cls, value: Any) -> Any:
        if isinstance(value, dict) and "samples" in (value.get("from"), value.get("source")):
            return {"pairs": "best_worst"} | value
        return value

    @model_validator(mode="after")
    def _pairs_come_out_even(self) -> Self:
        drawn = self.source not in ("revisions", "samples")
        if self.samples % 2 and ((drawn and self.pairs == "disjoint") or self.source == "prompted"):
            pairs = "disjoint pairs require" if self.source != "prompted" else "from: prompted requires"
            raise ValueError(f"samples is {self.samples}, but {pairs} an even number")
        if self.source == "revisions" and self.pairs == "best_worst":
            raise ValueError("pairs is best_worst, but from: revisions has one draft and one revision")
        if self.weight == "spread" and self.pairs != "best_worst":
            raise ValueError("weight is spread, but only pairs: best_worst compares scored answers")
        return self

"""The records that stages exchange: frozen, validated, one JSON line each.

Stages meet only through these records in files of a run folder, so that each stage can be run alone,
inspected with `head`, resumed, or fed with someone else's data. An id is a digest of content
(`core.digests.record_id`): the same content has the same id everywhere.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from core.digests import record_id

SCHEMA_VERSION: Literal[1] = 1

Finite = Annotated[float, Field(allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Role = Literal["system", "user", "assistant"]
Split = Literal["train", "preference", "test"]
Verdict = Literal["a", "b", "tie", "both_bad", "skip", "unparsed"]


class Record(BaseModel):
    """Base of all records: immutable, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = SCHEMA_VERSION

    def to_line(self) -> str:
        """Return the record as one JSON line, newline included."""
        return self.model_dump_json(exclude_none=True) + "\n"


class Message(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Role
    content: str


class Prompt(Record):
    """A conversation that waits for an assistant's answer; multi-turn context is kept whole."""

    id: str
    messages: tuple[Message, ...] = Field(min_length=1)
    tags: tuple[str, ...] = ()
    source: str = ""
    split: Split | None = None
    """Which stage may use it. None until a run assigns one from the hash of the normalised text."""

    @classmethod
    def of(
        cls,
        messages: tuple[Message, ...] | str,
        tags: tuple[str, ...] = (),
        source: str = "",
        split: Split | None = None,
    ) -> Self:
        """Return the prompt with the id that its messages determine; a text is one user message."""
        if isinstance(messages, str):
            messages = (Message(role="user", content=messages),)
        return cls(
            id=record_id("prompt", [m.model_dump() for m in messages]),
            messages=messages,
            tags=tags,
            source=source,
            split=split,
        )

    @model_validator(mode="after")
    def _ends_with_the_user(self) -> Self:
        if self.messages[-1].role != "user":
            raise ValueError(
                f"the last message is from the {self.messages[-1].role}, and must be from the user"
            )
        if any(m.role == "system" for m in self.messages[1:]):
            raise ValueError("a system message may only stand first")
        if not self.messages[-1].content.strip():
            raise ValueError("the last message is empty")
        return self


class Sampling(BaseModel):
    """How tokens are drawn. `temperature` 0 is greedy; `top_k` 0 and `top_p` 1 mean no truncation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float = Field(default=1.0, ge=0.0, allow_inf_nan=False)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    top_k: int = Field(default=0, ge=0)
    max_new_tokens: int = Field(default=512, ge=1)
    stop: tuple[str, ...] = ()


class Generation(Record):
    """What a model wrote in answer to one request."""

    text: str
    """The answer, think blocks stripped, white space at both ends removed."""
    reasoning: str | None = None
    """What stood in think blocks."""
    finish_reason: Literal["stop", "length"]
    """`stop`: the model ended its turn; `length`: it was cut at `max_new_tokens`."""
    prompt_tokens: int
    completion_tokens: int
    model: str
    sampling: Sampling
    seed: int | None = None
    """None when decoding was greedy."""


class Revision(Record):
    """One round of the loop: a principle was drawn, the answer criticised under it and rewritten."""

    round: int = Field(ge=1)
    principle_id: str
    critique: Generation
    candidates: tuple[Generation, ...] = Field(min_length=1)
    kept: bool
    """Whether the last candidate became the answer; otherwise the answer before this round stands."""
    flags: tuple[str, ...] = ()
    """What was noticed: `unchanged`, `empty`, `truncated`, `prefix_leak`."""


class CritiqueTrace(Record):
    """One prompt's way from the first draft through all rounds of critique and revision."""

    id: str
    prompt: Prompt
    initial: Generation
    revisions: tuple[Revision, ...]
    constitution_digest: str

    def answers(self) -> tuple[Generation, ...]:
        """Return the draft and every revision that was kept, in order; the last one is the final answer."""
        return (self.initial, *(r.candidates[-1] for r in self.revisions if r.kept))


class Candidate(NamedTuple):
    """An answer on its way into a comparison."""

    response: str
    origin: str
    """Where it comes from: `draft`, `revision:2`, `sample:0`, or a variant of the policy."""
    finished: bool = True
    """Whether the answer ended by itself, and was not cut at `max_new_tokens`."""


class Comparison(Record):
    """Two answers to one prompt, in canonical order: the same two answers always have the same id."""

    id: str
    prompt: Prompt
    response_a: str
    response_b: str
    origin_a: str
    origin_b: str
    finished_a: bool = True
    """Whether the answer ended by itself; training does not teach an answer to end where it was cut."""
    finished_b: bool = True
    group: str = ""
    """The ranking or sample set that the comparison belongs to."""

    @classmethod
    def of(
        cls,
        prompt: Prompt,
        first: Candidate | tuple[str, str],
        second: Candidate | tuple[str, str],
        group: str = "",
    ) -> Self:
        """Return the comparison of two candidates; which is called `a` is decided by hash.

        The hash, not the caller, decides, so that `a` carries no hint of which answer is the newer one.
        """
        candidates = (Candidate(*first), Candidate(*second))
        a, b = sorted(candidates, key=lambda candidate: record_id("side", prompt.id, candidate.response))
        return cls(
            id=record_id("comparison", prompt.id, a.response, b.response),
            prompt=prompt,
            response_a=a.response,
            response_b=b.response,
            origin_a=a.origin,
            origin_b=b.origin,
            finished_a=a.finished,
            finished_b=b.finished,
            group=group,
        )


class OrderLogits(BaseModel):
    """The labeler's log-odds for `a`, in nats, in each of the two presentation orders."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    a_first: Finite
    """log P(a better) - log P(b better) when `a` was shown first."""
    b_first: Finite
    """The same log-odds for `a` when `b` was shown first."""


class Judgment(Record):
    """One labeler's opinion of one comparison, under one principle where it has principles."""

    id: str
    comparison_id: str
    labeler: str
    """Which labeler: `ai`, `check`, or the name of a human source."""
    model: str | None = None
    verdict: Verdict
    p_a: Probability | None = None
    """Probability that `a` is the better answer; None when the verdict gives no number."""
    principle_id: str | None = None
    dimension: str | None = None
    annotator: str | None = None
    shown_first: Literal["a", "b"] | None = None
    """Which answer a person saw first or on the left, where that is known."""
    group: str | None = None
    """The ranking that it is one pair of."""
    weight: float = Field(default=1.0, ge=0.0, allow_inf_nan=False)
    """Its say beside other judgments; the pairs of one ranking sum to 1."""
    orders: OrderLogits | None = None
    answer_mass: Probability | None = None
    """Probability that the model put on the offered answers at all, the smaller of the two orders."""
    margin: Finite | None = None
    """By how much `a` is better, on the source's own scale; negative where `b` is."""
    confidence: Probability | None = None
    comment: str | None = None
    duration_s: Finite | None = None
    raw: str | None = None
    """What the model would have written instead, when the verdict is `unparsed`."""
    supersedes: str | None = None
    """Id of an earlier judgment that this one takes back."""
    created: datetime | None = None


class Preference(Record):
    """An aggregated preference with its probability, in the columns that TRL expects."""

    id: str
    comparison_id: str
    prompt: tuple[Message, ...]
    prompt_id: str
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    p_chosen: Annotated[float, Field(ge=0.5, le=1.0)]
    weight: float = Field(default=1.0, ge=0.0, allow_inf_nan=False)
    sources: dict[str, int]
    """How many judgments of each labeler stand behind it."""
    by_principle: dict[str, float]
    """Probability that `chosen` is better, for each principle that was judged."""
    origin_chosen: str
    origin_rejected: str
    finished_chosen: bool = True
    """Whether the answer ended by itself."""
    finished_rejected: bool = True
    tags: tuple[str, ...] = ()
    split: Split | None = None
    constitution_digest: str

    def p_a(self, comparison: Comparison) -> float:
        """Return the probability that answer `a` of the comparison it was made from is better."""
        a_is_chosen = self.chosen[0].content == comparison.response_a
        return self.p_chosen if a_is_chosen else 1 - self.p_chosen


class Exclusion(Record):
    """A record that a stage left out, and why. Nothing is left out without one of these."""

    id: str
    stage: str
    record_id: str
    reason: str
    detail: str = ""
    """Which of several things of that record, where there are several."""

    @classmethod
    def of(cls, stage: str, excluded_id: str, reason: str, detail: str = "") -> Self:
        """Return the exclusion of a record by a stage; the same one twice has the same id."""
        identity = record_id("exclusion", stage, excluded_id, reason, detail)
        return cls(id=identity, stage=stage, record_id=excluded_id, reason=reason, detail=detail)


class Answer(Record):
    """What one variant of the policy answered to a held-out prompt."""

    id: str
    variant: str
    """Which variant: `base`, `prompted`, or the training method, such as `sft`."""
    prompt: Prompt
    generation: Generation

    @classmethod
    def of(cls, variant: str, prompt: Prompt, generation: Generation) -> Self:
        """Return the answer; a prompt has one of each variant, whose id variant and prompt determine."""
        return cls(
            id=record_id("answer", variant, prompt.id), variant=variant, prompt=prompt, generation=generation
        )


class Metric(Record):
    """One measured number with its 95 % interval, where it has one."""

    name: str
    value: Finite
    n: int
    low: Finite | None = None
    high: Finite | None = None
    unit: str = ""

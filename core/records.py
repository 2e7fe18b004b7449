"""The records that stages exchange: frozen, validated, one JSON line each.

Stages exchange data only through these records in the files of a run folder. Each stage can therefore be run
alone, inspected with `head`, resumed, or given someone else's data. An id is a digest of content
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
JudgmentProblem = Literal["low_mass", "unreadable", "refused", "cut_off", "abstained"]
"""Why a model's judgment has no probability: little probability on the offered answers, a text without a
readable verdict, a refusal to judge, a text cut off before its verdict, or a judge that cannot tell."""


def _is_empty(values: tuple[str, ...]) -> bool:
    """Return True if a field has no values; it is then left out of the line, as in older records."""
    return not values


def _is_zero(value: int) -> bool:
    return value == 0


class Record(BaseModel):
    """Base class of all records: immutable, unknown fields are rejected."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = SCHEMA_VERSION

    def to_line(self) -> str:
        """Return the record as one JSON line, including the newline."""
        return self.model_dump_json(exclude_none=True) + "\n"

    def has_own_id(self) -> bool:
        """Return False if the id is a digest of content that has changed since. Some ids digest more."""
        return True


class Message(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Role
    content: str


class Prompt(Record):
    """A conversation that ends with a user message to be answered; it may have several turns."""

    id: str
    messages: tuple[Message, ...] = Field(min_length=1)
    tags: tuple[str, ...] = ()
    source: str = ""
    split: Split | None = None
    """Split that the prompt belongs to; None until a run assigns one by the hash of the normalised text."""
    repeat: int = Field(default=0, ge=0, exclude_if=_is_zero)
    """Number of earlier prompts of the run with the same messages; a repeat's id digests tags and this."""

    @classmethod
    def of(
        cls,
        messages: tuple[Message, ...] | str,
        tags: tuple[str, ...] = (),
        source: str = "",
        split: Split | None = None,
    ) -> Self:
        """Return a prompt with the id derived from its messages; plain text is one user message."""
        if isinstance(messages, str):
            messages = (Message(role="user", content=messages),)
        return cls(
            id=record_id("prompt", [m.model_dump() for m in messages]),
            messages=messages,
            tags=tags,
            source=source,
            split=split,
        )

    def repeated(self, repeat: int) -> Self:
        """Return the prompt as one after `repeat` others with the same messages, with its own id."""
        if not repeat:
            return self
        own = record_id("prompt", [m.model_dump() for m in self.messages], list(self.tags), repeat)
        return self.model_copy(update={"id": own, "repeat": repeat})

    def has_own_id(self) -> bool:
        """Return True if the id is that of the messages, and of the tags for a repeat."""
        messages = [m.model_dump() for m in self.messages]
        repeat = (list(self.tags), self.repeat) if self.repeat else ()
        return self.id == record_id("prompt", messages, *repeat)

    @model_validator(mode="after")
    def _ends_with_the_user(self) -> Self:
        if self.messages[-1].role != "user":
            raise ValueError(
                f"the last message is from the {self.messages[-1].role}; it must be from the user"
            )
        if any(m.role == "system" for m in self.messages[1:]):
            raise ValueError("a system message must be the first message")
        if not self.messages[-1].content.strip():
            raise ValueError("the last message is empty")
        return self


class PromptColumns(Record):
    """The user's own columns of a prompt, carried to the export; no other record depends on them."""

    id: str
    """Id of the prompt."""
    row: str
    """Place of the row in the user's data, such as `tickets.csv row 17`."""
    columns: dict[str, str | int | float | bool | None]


class Sampling(BaseModel):
    """Sampling parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    temperature: float = Field(default=1.0, ge=0.0, allow_inf_nan=False)
    """Sampling temperature; 0 is greedy."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Sample from the most likely tokens that have this probability together; 1 for all."""
    top_k: int = Field(default=0, ge=0)
    """Sample from this many of the most likely tokens; 0 for all."""
    max_new_tokens: int = Field(default=512, ge=1)
    """Maximum number of tokens of an answer; a longer one is cut off."""
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Texts that end an answer."""


class Generation(Record):
    """Output of a model for one request."""

    text: str
    """The answer without think blocks and without white space at both ends."""
    reasoning: str | None = None
    """Content of the think blocks."""
    finish_reason: Literal["stop", "length"]
    """`stop`: the model ended its turn; `length`: the answer was cut off at `max_new_tokens`."""
    prompt_tokens: int
    completion_tokens: int
    model: str
    sampling: Sampling
    seed: int | None = None
    """None if decoding was greedy."""


class Revision(Record):
    """One round of the loop: a principle is drawn, and the answer is criticised and rewritten under it."""

    round: int = Field(ge=1)
    principle_id: str
    others: tuple[str, ...] = Field(default=(), exclude_if=_is_empty)
    """Ids of further principles of the round, if it revises under several at once."""
    critique: Generation | None = None
    """None if the answer was revised without a critique."""
    candidates: tuple[Generation, ...] = Field(min_length=1)
    """The revisions that were written, the best one last. If the critique finds nothing wrong, the answer
    before this round."""
    kept: bool
    """True if the last candidate became the answer; False if the answer before this round was retained."""
    flags: tuple[str, ...] = ()
    """Problems of the last candidate, such as `unchanged` or `truncated` (`critique/flags.py`), or `no_fault`
    if the critique found nothing wrong."""
    broken: tuple[str, ...] = Field(default=(), exclude_if=_is_empty)
    """Ids of the principles that the answer before this round fulfils and the last candidate breaks."""
    dropped: str | None = None
    """Why a revision was discarded: `flags` or `guard`. None in records made before it was recorded."""

    @property
    def principle_ids(self) -> tuple[str, ...]:
        """Ids of all principles of the round."""
        return (self.principle_id, *self.others)


class CritiqueTrace(Record):
    """The critique trace of one prompt: its first draft and all rounds of critique and revision."""

    id: str
    prompt: Prompt
    initial: Generation
    revisions: tuple[Revision, ...]
    constitution_digest: str

    def has_own_id(self) -> bool:
        """Return True if the prompt has the id of its messages; the answers have no part in a trace's id."""
        return self.prompt.has_own_id()

    def answers(self) -> tuple[Generation, ...]:
        """Return the draft and every kept revision, in order; the last one is the final answer."""
        return (self.initial, *(r.candidates[-1] for r in self.revisions if r.kept))


class Candidate(NamedTuple):
    """An answer to be paired with another in a comparison."""

    response: str
    origin: str
    """Origin of the answer: `draft`, `revision:2`, `sample:0`, or a variant of the policy."""
    finished: bool = True
    """True if the model ended the answer itself; False if it was cut off at `max_new_tokens`."""


class Comparison(Record):
    """Two answers to one prompt, in canonical order: the same two answers always have the same id."""

    id: str
    prompt: Prompt
    response_a: str
    response_b: str
    origin_a: str
    origin_b: str
    finished_a: bool = True
    """True if the model ended the answer itself; training does not teach it to end where it was cut off."""
    finished_b: bool = True
    group: str = ""
    """Ranking or sample set that the comparison belongs to."""
    weight: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] | None = None
    """Weight of the pair in training; None is 1."""

    @classmethod
    def of(
        cls,
        prompt: Prompt,
        first: Candidate | tuple[str, str],
        second: Candidate | tuple[str, str],
        group: str = "",
        weight: float | None = None,
    ) -> Self:
        """Return the comparison of two candidates, in the order of their hashes.

        The hash determines which answer is `a`, so the name does not reveal which answer is newer.
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
            weight=weight,
        )

    def has_own_id(self) -> bool:
        """Return True if the id is that of the prompt and both answers."""
        own = record_id("comparison", self.prompt.id, self.response_a, self.response_b)
        return self.id == own and self.prompt.has_own_id()


class ScoredAnswer(Record):
    """One answer of the sample stage to a training prompt, with its score under the constitution."""

    id: str
    prompt: Prompt
    answer: Generation
    origin: str
    """How the answer was made: `draw:0`, `prompted:0`, `begun:0`, `wide:0`, or `repaired:` and the origin of
    the answer that was repaired."""
    score: Probability
    """Mean of the principles' scores, weighted by the principles' weights; 1 if all are fulfilled."""
    passed: bool
    """True if every machine check passes and no judged principle has a probability below one half."""
    by_principle: dict[str, Probability]
    """Score of the check, or probability that the answer fulfils the principle, by principle."""
    begun: str = ""
    """Text that the answer was begun with; the policy wrote the rest."""

    @classmethod
    def of(
        cls,
        prompt: Prompt,
        answer: Generation,
        origin: str,
        by_principle: dict[str, float],
        score: float,
        *,
        passed: bool,
        begun: str = "",
    ) -> Self:
        """Return the scored answer with an id derived from prompt and origin."""
        return cls(
            id=record_id("sample", prompt.id, origin),
            prompt=prompt,
            answer=answer,
            origin=origin,
            score=score,
            passed=passed,
            by_principle=by_principle,
            begun=begun,
        )

    @property
    def written(self) -> str | None:
        """The part that the policy writes by itself; None for prompted, wide and repaired answers."""
        if self.way in ("prompted", "wide", "repaired"):
            return None
        return self.answer.text[len(self.begun) :].strip()

    @property
    def finished(self) -> bool:
        """True if the answer ends by itself."""
        return self.answer.finish_reason == "stop"

    @property
    def way(self) -> str:
        """First part of the origin: `draw`, `prompted`, `begun`, `wide` or `repaired`."""
        return self.origin.partition(":")[0]


class OrderLogits(BaseModel):
    """The labeler's log-odds that `a` is better, in nats, in each of the two presentation orders."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    a_first: Finite
    """log P(a better) - log P(b better) with `a` shown first."""
    b_first: Finite
    """The same log-odds with `b` shown first."""


class Judgment(Record):
    """One labeler's judgment of one comparison, under one principle if the labeler uses principles."""

    id: str
    comparison_id: str
    labeler: str
    """Name of the labeler: `ai`, `check`, or the name of a source of human labels."""
    model: str | None = None
    verdict: Verdict
    p_a: Probability | None = None
    """Probability that `a` is the better answer; None if the verdict does not imply one."""
    principle_id: str | None = None
    dimension: str | None = None
    annotator: str | None = None
    shown_first: Literal["a", "b"] | None = None
    """The answer that the annotator saw first or on the left, if known."""
    group: str | None = None
    """Ranking that the judged pair belongs to."""
    weight: float = Field(default=1.0, ge=0.0, allow_inf_nan=False)
    """Number of votes; for a pair of a ranking (`group`), its share of the ranking, which is one decision."""
    orders: OrderLogits | None = None
    answer_mass: Probability | None = None
    """Probability mass on the offered answer tokens, the smaller of the two presentation orders."""
    margin: Finite | None = None
    """How much better `a` is, on the source's own scale; negative if `b` is better."""
    confidence: Probability | None = None
    comment: str | None = None
    duration_s: Finite | None = None
    raw: str | None = None
    """Text that the model wrote or would have written, if the verdict is `unparsed`."""
    problem: JudgmentProblem | None = None
    """Why a model's judgment has no probability. None in records made before it was recorded."""
    supersedes: str | None = None
    """Id of an earlier judgment that this one revokes."""
    occasion: int | None = Field(default=None, ge=2)
    """Which time the annotator judged this comparison: 2 for the second; None for the first."""
    created: datetime | None = None
    place: str | None = None
    """Row of the file that a vote is from which was joined with its pair, such as `votes.csv row 7`."""


class Preference(Record):
    """An aggregated preference and its probability, in the columns that TRL expects."""

    id: str
    comparison_id: str
    prompt: tuple[Message, ...]
    prompt_id: str
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    p_chosen: Annotated[float, Field(ge=0.5, le=1.0)]
    weight: float = Field(default=1.0, ge=0.0, allow_inf_nan=False)
    sources: dict[str, int]
    """Number of judgments by labeler that were aggregated."""
    by_principle: dict[str, float]
    """Probability that `chosen` is better, by principle."""
    origin_chosen: str
    origin_rejected: str
    finished_chosen: bool = True
    """True if the model ended the answer itself."""
    finished_rejected: bool = True
    tags: tuple[str, ...] = ()
    split: Split | None = None
    constitution_digest: str

    def p_a(self, comparison: Comparison) -> float:
        """Return the probability that answer `a` of the underlying comparison is better."""
        a_is_chosen = self.chosen[0].content == comparison.response_a
        return self.p_chosen if a_is_chosen else 1 - self.p_chosen


class Exclusion(Record):
    """A record that a stage skipped, with the reason. Every skipped record has one."""

    id: str
    stage: str
    record_id: str
    reason: str
    detail: str = ""
    """Details of this record, such as which of its parts was skipped."""

    @classmethod
    def of(cls, stage: str, excluded_id: str, reason: str, detail: str = "") -> Self:
        """Return the exclusion of a record by a stage; equal arguments give the same id."""
        identity = record_id("exclusion", stage, excluded_id, reason, detail)
        return cls(id=identity, stage=stage, record_id=excluded_id, reason=reason, detail=detail)


class Answer(Record):
    """The answer of one variant of the policy to a held-out prompt."""

    id: str
    variant: str
    """Name of the variant: `base`, `prompted`, or the training method, such as `sft`."""
    prompt: Prompt
    generation: Generation

    @classmethod
    def of(cls, variant: str, prompt: Prompt, generation: Generation) -> Self:
        """Return the answer with an id derived from variant and prompt: each prompt has one per variant."""
        return cls(
            id=record_id("answer", variant, prompt.id), variant=variant, prompt=prompt, generation=generation
        )


class Metric(Record):
    """One measured number, with its 95 % interval if it has one."""

    name: str
    value: Finite
    n: int
    low: Finite | None = None
    high: Finite | None = None
    unit: str = ""
    p_value: Annotated[Finite, Field(ge=0, le=1)] | None = Field(default=None, exclude_if=lambda p: p is None)
    """Probability of a difference at least this large by chance, two-sided, for this metric alone; None if it
    is not a difference or has too few prompts."""
    changed: Annotated[int, Field(ge=0)] | None = Field(default=None, exclude_if=lambda n: n is None)
    """Number of prompts on which a difference is not zero; None if it is not a difference."""
    simultaneous_low: Finite | None = Field(default=None, exclude_if=lambda low: low is None)
    """Lower end of the interval that covers together with those of all differences of the evaluation, with a
    probability of 95 %; None where `p_value` is."""
    simultaneous_high: Finite | None = Field(default=None, exclude_if=lambda high: high is None)
    """Upper end of this interval."""

"""Opinions about two answers in a source's own order, and their conversion to records.

A source has a first and a second answer, in its own order. `records_of` converts them to records: a hash
decides which answer is `a` in the comparison, and everything that refers to a side is converted accordingly
(verdict, probability, margin, which answer was shown first).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from core.conversations import Sides
from core.digests import record_id
from core.errors import RequestError
from core.records import Candidate, Comparison, Finite, Judgment, Message, Probability, Prompt, Verdict

Side = Literal["first", "second"]
Outcome = Literal["first", "second", "tie", "both_bad", "skip", "unparsed"]

OTHER: Mapping[Side, Side] = {"first": "second", "second": "first"}
_P_FIRST: Mapping[Outcome, float] = {"first": 1.0, "second": 0.0, "tie": 0.5}
"""Probability that the first answer is better. `both_bad` has none: it does not prefer either answer."""


class Opinion(BaseModel):
    """One annotator's opinion on two answers. A field is None if the source does not have it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    verdict: Outcome
    annotator: str | None = None
    """The annotator, by the same name throughout the source."""
    seat: int | None = None
    """Number of an unnamed annotator within the row, to distinguish several of them."""
    dimension: str | None = None
    """The aspect that was judged, such as helpfulness."""
    shown_first: Side | None = None
    p_first: Probability | None = None
    """Probability that the first answer is better; None derives it from the verdict."""
    margin: Finite | None = None
    """How much better the first answer is, on the source's scale; negative if the second is better."""
    weight: float = Field(default=1.0, ge=0.0, allow_inf_nan=False)
    group: str | None = None
    """Id of the ranking that this pair is part of."""
    confidence: Probability | None = None
    comment: str | None = None
    duration_s: Finite | None = None
    created: datetime | None = None
    model: str | None = None
    """The model that gave the opinion; None for a human annotator."""
    raw: str | None = None
    """The source's text in place of a verdict, if the verdict is `unparsed`."""


@dataclass(frozen=True, slots=True)
class Exported:
    """Original records, restored from a file that `publius export --labels` wrote."""

    comparison: Comparison
    judgments: tuple[Judgment, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one prompt, and the opinions on them."""

    prompt: tuple[Message, ...]
    first: Candidate
    second: Candidate
    opinions: tuple[Opinion, ...] = ()
    group: str = ""
    """Id of the set of answers that the two belong to."""
    tags: tuple[str, ...] = ()
    exported: Exported | None = None
    weight: float | None = None
    """Weight of the pair in training; None is 1."""


def pair_of(
    sides: Sides, opinions: Sequence[Opinion], origins: tuple[str, str], tags: tuple[str, ...] = ()
) -> Pair:
    """Return the pair of two answers.

    Args:
        sides: the prompt and the answers; `chosen` is the first answer.
        opinions: the opinions on them.
        origins: where the answers come from: a model's name, or the column.
        tags: the tags of the prompt.
    """
    first, second = Candidate(sides.chosen, origins[0]), Candidate(sides.rejected, origins[1])
    return Pair(sides.prompt, first, second, tuple(opinions), tags=tags)


def training_weight(pairs: int) -> float | None:
    """Return the weight in training of each of the pairs of one decision; None is 1."""
    return 1 / pairs if pairs > 1 else None


def records_of(pair: Pair, labeler: str) -> tuple[Comparison, tuple[Judgment, ...]]:
    """Return the comparison of a pair and the judgments on it.

    Args:
        pair: two answers and the opinions on them.
        labeler: the name of the judgments' source.

    Raises:
        RequestError: if an answer is empty, or the two are identical. The caller counts it.
        ValidationError: if the prompt is invalid. The caller counts it.
    """
    first, second = pair.first, pair.second
    if not first.response.strip() or not second.response.strip():
        raise RequestError("an answer is empty")
    if first.response == second.response:
        raise RequestError("the two answers are the same")
    if pair.exported is not None:
        comparison, exact = pair.exported.comparison, pair.exported.judgments
    else:
        prompt = Prompt.of(pair.prompt, tags=pair.tags, source=labeler)
        comparison, exact = Comparison.of(prompt, first, second, pair.group, pair.weight), ()
    a_is: Side = "first" if comparison.response_a == first.response else "second"
    judgments = tuple(judgment_of(opinion, comparison.id, labeler, a_is) for opinion in pair.opinions)
    return comparison, (*exact, *judgments)


def outcome_by(lead: float) -> Outcome:
    """Return the outcome of a score difference: positive if the first answer is better, 0 for a tie."""
    if lead == 0:
        return "tie"
    return "first" if lead > 0 else "second"


def canonical(outcome: Outcome, a_is: Side) -> Verdict:
    """Convert an outcome to a verdict about `a` and `b`."""
    if outcome == "first" or outcome == "second":
        return "a" if outcome == a_is else "b"
    return outcome


def judgment_of(opinion: Opinion, comparison_id: str, labeler: str, a_is: Side) -> Judgment:
    """Convert an opinion to a judgment; `a_is` tells which of the two answers is `a`."""
    swapped = a_is == "second"
    p_first = _P_FIRST.get(opinion.verdict) if opinion.p_first is None else opinion.p_first
    margin = opinion.margin
    annotator = opinion.annotator
    if annotator is None and opinion.seat is not None:
        annotator = f"{comparison_id}:{opinion.seat}"
    verdict = canonical(opinion.verdict, a_is)
    return Judgment(
        id=_identity(opinion, comparison_id, labeler, annotator, verdict),
        comparison_id=comparison_id,
        labeler=labeler,
        model=opinion.model,
        verdict=verdict,
        p_a=1 - p_first if swapped and p_first is not None else p_first,
        dimension=opinion.dimension,
        annotator=annotator,
        shown_first=_shown_first(opinion.shown_first, a_is),
        group=opinion.group,
        weight=opinion.weight,
        margin=0.0 - margin if swapped and margin is not None else margin,  # -margin may be -0.0
        confidence=opinion.confidence,
        comment=opinion.comment,
        duration_s=opinion.duration_s,
        raw=opinion.raw,
        created=opinion.created,
    )


def _identity(
    opinion: Opinion, comparison_id: str, labeler: str, annotator: str | None, verdict: Verdict
) -> str:
    """Return the judgment's id, from comparison, annotator and verdict; a repeated judgment has the same id.

    Unnamed annotators are distinguished by the time of the judgment, if there is one.
    """
    moment = opinion.created.isoformat() if annotator is None and opinion.created else None
    who = (labeler, opinion.model, annotator, moment)
    return record_id("judgment", comparison_id, *who, opinion.dimension, opinion.group, verdict)


def _shown_first(shown: Side | None, a_is: Side) -> Literal["a", "b"] | None:
    if shown is None:
        return None
    return "a" if shown == a_is else "b"

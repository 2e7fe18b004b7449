"""Annotation tasks (two answers to compare, or up to four to rank) and the judgments made from decisions.

A ranking of K answers becomes K (K - 1) / 2 judgments, one per pair. Each has weight 1 / (number of pairs),
so together they weigh as much as one comparison.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import combinations
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.digests import derive_uniform, record_id
from core.errors import DataError
from core.records import Candidate, Comparison, Judgment, Prompt, Verdict

HUMAN_LABELER = "human"
"""The `labeler` of judgments made on the page."""
MAX_RANKED = 4
"""Maximum number of answers ranked at once; more would not fit on a screen, nor the keys 1 to 4."""

_NAME = Field(pattern=r"^[A-Za-z0-9-]{8,64}$")


@dataclass(frozen=True)
class Question:
    """The question that annotators answer, and what identifies it in records."""

    text: str
    principle_id: str | None = None
    dimension: str | None = None
    guide: tuple[str, ...] = ()
    """The principles to consider, if the question is about all of them."""


@dataclass(frozen=True)
class Task:
    """Answers to one prompt that an annotator judges in one decision."""

    id: str
    prompt: Prompt
    answers: tuple[str, ...]
    """Two to four different answers; their origin is never shown."""
    comparisons: tuple[Comparison, ...]
    """One comparison for each pair of the answers."""


class Decision(BaseModel):
    """Request body of a decision."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    request: Annotated[str, _NAME]
    """Id that the page generates for each decision; a repeated request is stored once."""
    task: Annotated[str, _NAME]
    verdict: Literal["first", "second", "tie", "both_bad", "skip", "ranking"]
    """`first` and `second` refer to the positions on the screen."""
    ranks: tuple[int, ...] = Field(default=(), max_length=MAX_RANKED)
    """For `ranking`: the rank of each answer in the order shown; 1 is best, equal ranks are ties."""
    comment: str = Field(default="", max_length=4000)
    duration_s: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """Seconds from the display of the answers to the decision, by the browser's clock."""


@dataclass(frozen=True)
class Showing:
    """How a task was presented to one annotator; this is recorded in every judgment."""

    annotator: str
    question: Question
    order: tuple[int, ...]
    """Indices of the task's answers in the order on the screen."""
    superseded: dict[str, str] = field(default_factory=dict)
    """Id of the undo that the new judgment supersedes, by comparison."""


def pair_task(comparison: Comparison) -> Task:
    """Return the task that asks for one comparison."""
    answers = (comparison.response_a, comparison.response_b)
    return Task(comparison.id, comparison.prompt, answers, (comparison,))


def make_tasks(comparisons: Iterable[Comparison], *, rank: bool) -> list[Task]:
    """Return the tasks in the order of their first comparisons.

    Args:
        comparisons: the comparisons in order of presentation.
        rank: True to merge the comparisons of a group with three or four answers into one ranking; all others
            remain pairs.
    """
    groups: dict[str, list[Comparison]] = {}
    for comparison in comparisons:
        key = (
            record_id(comparison.prompt.id, comparison.group) if rank and comparison.group else comparison.id
        )
        groups.setdefault(key, []).append(comparison)
    tasks: list[Task] = []
    for members in groups.values():
        ranking = _ranking_task(members)
        tasks += [ranking] if ranking else map(pair_task, members)
    return tasks


def _ranking_task(members: Sequence[Comparison]) -> Task | None:
    """Return one task for all pairs of the members' answers, or None if they cannot be ranked at once."""
    candidates: dict[str, Candidate] = {}
    for c in members:
        candidates.setdefault(c.response_a, Candidate(c.response_a, c.origin_a, c.finished_a))
        candidates.setdefault(c.response_b, Candidate(c.response_b, c.origin_b, c.finished_b))
    if not 2 < len(candidates) <= MAX_RANKED:
        return None
    prompt, group, known = members[0].prompt, members[0].group, {c.id: c for c in members}
    made = [Comparison.of(prompt, one, two, group) for one, two in combinations(candidates.values(), 2)]
    answers = tuple(sorted(candidates))
    comparisons = tuple(known.get(c.id, c) for c in made)
    return Task(record_id("ranking task", prompt.id, *answers), prompt, answers, comparisons)


def order_for(task: Task, annotator: str, seed: int) -> tuple[int, ...]:
    """Return the presentation order of the answers for an annotator: random, but the same every time."""
    places = range(len(task.answers))
    return tuple(sorted(places, key=lambda i: derive_uniform(seed, "shown", annotator, task.id, i)))


def judgment_ids(task: Task, annotator: str, request: str) -> list[str]:
    """Return the ids of the judgments of a request, in the order of the task's comparisons."""
    return [record_id("judgment", c.id, HUMAN_LABELER, annotator, request) for c in task.comparisons]


def judgments_of(
    task: Task, decision: Decision, showing: Showing, duration_s: float, created: datetime
) -> list[Judgment]:
    """Return the judgments of a decision, one for each pair of answers.

    The duration of a ranking is divided equally among its pairs, so durations add up. Its comment is stored
    with the first pair.

    Raises:
        DataError: if the decision does not fit the task.
    """
    ranks = _ranks(task, decision)
    place = {task.answers[answer]: at for at, answer in enumerate(showing.order)}
    pairs = len(task.comparisons)
    ids = judgment_ids(task, showing.annotator, decision.request)
    judgments = []
    for number, (comparison, identity) in enumerate(zip(task.comparisons, ids, strict=True)):
        a, b = place[comparison.response_a], place[comparison.response_b]
        verdict, p_a = _opinion(decision, ranks, a, b)
        judgment = Judgment(
            id=identity,
            comparison_id=comparison.id,
            labeler=HUMAN_LABELER,
            verdict=verdict,
            p_a=p_a,
            principle_id=showing.question.principle_id,
            dimension=showing.question.dimension,
            annotator=showing.annotator,
            shown_first="a" if a < b else "b",
            group=record_id("ranking", task.id, showing.annotator, decision.request) if pairs > 1 else None,
            weight=1 / pairs,
            comment=(decision.comment.strip() or None) if number == 0 else None,
            duration_s=round(duration_s / pairs, 3),
            supersedes=showing.superseded.get(comparison.id),
            created=created,
        )
        judgments.append(judgment)
    return judgments


def undo_of(judgment: Judgment, created: datetime) -> Judgment:
    """Return the undo of a judgment: a `skip` that supersedes it."""
    taken_back = {"verdict": "skip", "p_a": None, "supersedes": judgment.id, "created": created}
    bare = {"comment": None, "duration_s": None}
    return judgment.model_copy(update={"id": record_id("undo", judgment.id), **taken_back, **bare})


def _ranks(task: Task, decision: Decision) -> tuple[int, ...]:
    """Return the rank of each answer in the order shown; empty if the decision does not order them."""
    by_verdict = {"first": (1, 2), "second": (2, 1), "tie": (1, 1)}
    count = len(task.answers)
    if decision.verdict in by_verdict and count == 2:
        return by_verdict[decision.verdict]
    if decision.verdict in ("both_bad", "skip"):
        return ()
    fits = len(decision.ranks) == count and all(1 <= rank <= count for rank in decision.ranks)
    if decision.verdict == "ranking" and count > 2 and fits:
        return decision.ranks
    raise DataError(
        f"the decision '{decision.verdict}' with ranks {list(decision.ranks)} is invalid for {count} answers",
        accepted="first, second, tie, both_bad or skip"
        if count == 2
        else f"ranking with {count} ranks from 1 to {count}, both_bad or skip",
    )


def _opinion(decision: Decision, ranks: tuple[int, ...], a: int, b: int) -> tuple[Verdict, float | None]:
    """Return the verdict and the probability of `a`; `a` and `b` are the answers' positions on the screen."""
    if decision.verdict == "both_bad":
        return "both_bad", None
    if not ranks:
        return "skip", None
    if ranks[a] == ranks[b]:
        return "tie", 0.5
    return ("a", 1.0) if ranks[a] < ranks[b] else ("b", 0.0)

"""Convert rankings and ratings of several answers to pairwise comparisons.

A ranking of K answers covers K (K - 1) / 2 pairs, but is a single decision of one annotator. Each of its
judgments therefore has weight 1 / (number of pairs), which sum to 1, and all share the ranking's `group`.
Answers of equal rank are a tie (p_a 0.5). For ratings, the margin is the difference of the two ratings. A
ranking has no margin, since ranks give an order without distances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from core.conversations import prompt_of, shown
from core.digests import record_id
from core.errors import RequestError
from core.records import Candidate, Message
from labelers.formats.annotation_columns import ANNOTATION_COLUMNS, cell_tags, opinion_of
from labelers.formats.fields import (
    answer_of,
    is_missing,
    list_of,
    number_of,
    present,
    required,
)
from labelers.formats.opinions import Opinion, Pair, outcome_by
from labelers.formats.source import RowLabels, RowSource, Skipped

MAX_ANSWERS = 64
"""Maximum number of answers in one ranking; more would make thousands of pairs of one decision."""
_RESPONSES = ("responses", "answers", "completions", "outputs", "candidates")
_ORDER = ("ranks", "rank", "ranking")
_RATINGS = ("ratings", "scores", "rating", "score")


class ScoredAnswer(NamedTuple):
    """An answer with its score among the others; a higher score is better."""

    answer: Candidate
    score: float


class Ranked(NamedTuple):
    """The pairs of a ranking, and the pairs that were skipped."""

    pairs: tuple[Pair, ...]
    skipped: tuple[Skipped, ...]


def pairs_of(
    prompt: tuple[Message, ...],
    scored: Sequence[ScoredAnswer],
    by: Opinion,
    *,
    margins: bool,
    tags: tuple[str, ...] = (),
) -> Ranked:
    """Return the pairs of a ranking or of several ratings.

    Args:
        prompt: the prompt of the answers.
        scored: the answers, each once, with their scores.
        by: fields shared by all pairs, such as annotator, dimension and time. The verdict is replaced.
        margins: True if the scores are ratings, so their differences are margins.
        tags: the tags of the prompt.

    Raises:
        RequestError: if there are fewer than two answers, or more than `MAX_ANSWERS`.
    """
    if not 2 <= len(scored) <= MAX_ANSWERS:
        raise RequestError(f"a ranking needs 2 to {MAX_ANSWERS} answers", detail=f"found {len(scored)}")
    chosen = list(combinations(scored, 2))
    distinct = _distinct(chosen)
    repeated = len(chosen) - len(distinct)
    group = record_id("answers", [m.model_dump() for m in prompt], sorted(s.answer.response for s in scored))
    ranking = record_id("ranking", group, by.annotator, by.seat, by.dimension, [s.score for s in scored])
    pairs = []
    for one, two in distinct:
        margin = one.score - two.score
        opinion = by.model_copy(
            update={
                "verdict": outcome_by(margin),
                "margin": margin if margins else None,
                "weight": 1 / len(distinct),
                "group": ranking,
            }
        )
        pairs.append(Pair(prompt, one.answer, two.answer, (opinion,), group, tags))
    skipped = (Skipped("two of the ranked answers are the same"),) * repeated
    return Ranked(tuple(pairs), skipped)


def _distinct(pairs: Sequence[tuple[ScoredAnswer, ScoredAnswer]]) -> list[tuple[ScoredAnswer, ScoredAnswer]]:
    """Return the pairs with different answers, each pair of texts once."""
    by_texts: dict[frozenset[str], tuple[ScoredAnswer, ScoredAnswer]] = {}
    for one, two in pairs:
        by_texts.setdefault(frozenset((one.answer.response, two.answer.response)), (one, two))
    return [pair for texts, pair in by_texts.items() if len(texts) == 2]


class Rankings(RowSource):
    """A table with one ranking, or one set of ratings, of K answers per row."""

    name = "rankings"
    summary = "K responses per row with ranks (1 is best, equal ranks tie), an order of positions, or ratings"
    columns = ANNOTATION_COLUMNS | {"prompt", "order", "models", *_RESPONSES, *_ORDER, *_RATINGS}

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row looks like a ranking, or None."""
        responses, order = present(row, _RESPONSES), present(row, (*_ORDER, "order", *_RATINGS))
        found = responses and order and "prompt" in row
        return f"it has the columns prompt, {responses} and {order}" if found else None

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return the pairs of a row's ranking."""
        prompt = prompt_of(required(values, "prompt"))
        answers = _answers(values)
        scores, margins = _scores(values, len(answers))
        by = opinion_of(values, verdict="tie")
        rated = [ScoredAnswer(a, s) for a, s in zip(answers, scores, strict=True) if s is not None]
        unrated = (Skipped("an answer has no rank or rating"),) * (len(answers) - len(rated))
        pairs, skipped = pairs_of(prompt, rated, by, margins=margins, tags=cell_tags(values.get("tags")))
        return RowLabels((number,), pairs, unrated + skipped)


def _answers(values: Mapping[str, Any]) -> list[Candidate]:
    responses = list_of(required(values, *_RESPONSES), "responses")
    models = list_of(values["models"], "models") if not is_missing(values.get("models")) else []
    names = [
        models[n] if n < len(models) and isinstance(models[n], str) else f"response_{n + 1}"
        for n in range(len(responses))
    ]
    return [
        Candidate(answer_of(response, f"response {n}"), name)
        for n, (response, name) in enumerate(zip(responses, names, strict=True), start=1)
    ]


def _scores(values: Mapping[str, Any], count: int) -> tuple[list[float | None], bool]:
    """Return the score of each answer (None if it has none), and whether the scores are ratings."""
    name = present(values, _RATINGS)
    if name is not None:
        ratings = _numbers(values[name], name, count)
        return ratings, True
    name = present(values, _ORDER)
    if name is not None:
        ranks = _numbers(values[name], name, count)
        return [None if rank is None else -rank for rank in ranks], False
    order = list_of(required(values, "ranks", "order"), "order")
    return list(_by_order(order, count)), False


def _numbers(value: Any, what: str, count: int) -> list[float | None]:
    found = list_of(value, what)
    if len(found) != count:
        raise RequestError(f"{what} and responses differ in length", detail=f"{len(found)} and {count}")
    return [None if is_missing(entry) else number_of(entry, what) for entry in found]


def _by_order(order: Sequence[Any], count: int) -> list[float]:
    """Return the scores of a list of positions from 0, best first; positions in a nested list are tied."""
    scores: dict[int, float] = {}
    for place, entry in enumerate(order):
        for position in entry if isinstance(entry, list) else [entry]:
            whole = number_of(position, "a position of order")
            if whole not in range(count) or int(whole) in scores:
                raise RequestError("order must list each position from 0 once", detail=shown(order))
            scores[int(whole)] = float(-place)
    if len(scores) != count:
        raise RequestError("order must list each position from 0 once", detail=shown(order))
    return [scores[position] for position in range(count)]

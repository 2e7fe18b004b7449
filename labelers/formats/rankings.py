"""Convert rankings and ratings of several answers to pairwise comparisons.

A ranking of K answers covers K (K - 1) / 2 pairs, but is a single decision of one annotator. Each of its
judgments therefore has weight 1 / (number of pairs), which sum to 1, and all share the ranking's `group`. So
has each comparison in training: a prompt with many answers counts as much as one with two (Ouyang et al.
2022, arXiv 2203.02155, equation 1).
Answers of equal rank are a tie (p_a 0.5). For ratings, the margin is the difference of the two ratings. A
ranking has no margin, since ranks give an order without distances.

A row has the responses in one list and ranks, an order or ratings in another (distilabel's `generations`
and `ratings`), or one list of objects with text and rank or rating (Nectar's `answers`, NeMo-RL's
`completions`). An answer that is empty, or whose rank or rating is not a number, is skipped, not the ranking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple

from core.conversations import prompt_of, shown
from core.digests import record_id
from core.errors import RequestError
from core.records import Candidate, Message
from core.text.messages import is_conversation, is_message, parsed_messages
from labelers.formats.annotation_columns import ANNOTATION_COLUMNS, cell_tags, opinion_of, optional
from labelers.formats.fields import (
    answer_of,
    is_missing,
    list_of,
    number_of,
    present,
    required,
    value_of,
)
from labelers.formats.opinions import Opinion, Pair, outcome_by, training_weight
from labelers.formats.prompt_columns import PROMPT_COLUMNS, asked_in
from labelers.formats.source import RowLabels, RowSource, Skipped, refusal

MAX_ANSWERS = 64
"""Maximum number of answers in one ranking; more would make thousands of pairs of one decision."""
_RESPONSES = ("responses", "answers", "completions", "outputs", "candidates", "generations")
_ORDER = ("ranks", "rank", "ranking")
_RATINGS = ("ratings", "scores", "rating", "score")
_MODELS = ("models", "model_names", "generation_models")
_TEXTS = ("text", "answer", "response", "completion", "content", "output", "generation")
_OWN_RATINGS = ("rating", "score", "overall_score", "reward")


class RatedAnswer(NamedTuple):
    """An answer with its score among the others; a higher score is better."""

    answer: Candidate
    score: float


class Ranked(NamedTuple):
    """The pairs of a ranking, and the pairs that were skipped."""

    pairs: tuple[Pair, ...]
    skipped: tuple[Skipped, ...]


def pairs_of(
    prompt: tuple[Message, ...],
    scored: Sequence[RatedAnswer],
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
    pairs, weight = [], training_weight(len(distinct))
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
        pairs.append(Pair(prompt, one.answer, two.answer, (opinion,), group, tags, weight=weight))
    skipped = (Skipped("two of the ranked answers are the same"),) * repeated
    return Ranked(tuple(pairs), skipped)


def _distinct(pairs: Sequence[tuple[RatedAnswer, RatedAnswer]]) -> list[tuple[RatedAnswer, RatedAnswer]]:
    """Return the pairs with different answers, each pair of texts once."""
    by_texts: dict[frozenset[str], tuple[RatedAnswer, RatedAnswer]] = {}
    for one, two in pairs:
        by_texts.setdefault(frozenset((one.answer.response, two.answer.response)), (one, two))
    return [pair for texts, pair in by_texts.items() if len(texts) == 2]


class Rankings(RowSource):
    """A table with one ranking, or one set of ratings, of K answers per row."""

    name = "rankings"
    summary = "K responses per row with ranks (1 is best, equal ranks tie), an order of positions, or ratings"
    columns = ANNOTATION_COLUMNS | PROMPT_COLUMNS | {"id", "order", *_MODELS, *_RESPONSES, *_ORDER, *_RATINGS}

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row looks like a ranking, or None."""
        responses, order = present(row, _RESPONSES), present(row, (*_ORDER, "order", *_RATINGS))
        prompt = "prompt" if "prompt" in row else next((name for name in row if name in PROMPT_COLUMNS), None)
        if responses is None or prompt is None:
            return None
        if _has_own_scores(row[responses]):
            return f"it has the columns {prompt} and {responses}, with a rank or rating in each answer"
        is_list = isinstance(row[responses], list | tuple) or str(row[responses]).lstrip()[:1] == "["
        return f"it has the columns {prompt}, {responses} and {order}" if order and is_list else None

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return the pairs of a row's ranking."""
        asked = asked_in(values).value
        if asked is None:
            required(values, "prompt")
        prompt = prompt_of(asked)
        answers, skipped = _answers(values)
        scores, margins = _scores(values, len(answers), skipped)
        by = opinion_of(values, skipped, verdict="tie")
        rated = []
        for place, (answer, score) in enumerate(zip(answers, scores, strict=True), start=1):
            if answer is not None and score is not None:
                rated.append(RatedAnswer(answer, score))
            elif answer is not None:
                skipped.append(Skipped("an answer has no rank or rating", f"response {place}"))
        if len(rated) < 2 and skipped:
            raise refusal(skipped, "fewer than two answers")
        pairs, same = pairs_of(prompt, rated, by, margins=margins, tags=cell_tags(values.get("tags")))
        return RowLabels((number,), pairs, (*skipped, *same))


def _answers(values: Mapping[str, Any]) -> tuple[list[Candidate | None], list[Skipped]]:
    """Return the answers, None for one that cannot be used, and why it cannot."""
    responses = list_of(required(values, *_RESPONSES), "responses")
    name = present(values, _MODELS)
    models = list_of(values[name], name) if name else []
    answers: list[Candidate | None] = []
    skipped: list[Skipped] = []
    for place, response in enumerate(responses):
        model = models[place] if place < len(models) else None
        if isinstance(response, Mapping):
            model = response.get("model", model)
            response = value_of(response, *_TEXTS)
        origin = model if isinstance(model, str) and model else f"response_{place + 1}"
        try:
            answers.append(Candidate(_text(response, f"response {place + 1}"), origin))
        except RequestError as error:
            answers.append(None)
            skipped.append(Skipped(error.reason, error.detail))
    return answers, skipped


def _text(response: Any, what: str) -> str:
    """Return the text of an answer, which may be a list of one message."""
    if is_conversation(response) or is_message(response):
        messages = parsed_messages(response, what)
        if len(messages) != 1 or messages[0].role != "assistant":
            raise RequestError("an answer is not one assistant message", detail=what)
        response = messages[0].content
    if is_missing(response):
        raise RequestError("an answer is empty", detail=f"in {what}")
    return answer_of(response, what)


def _has_own_scores(responses: Any) -> bool:
    """Return True if a list of answers has a rank or rating in each answer."""
    found = responses if isinstance(responses, list) else []
    scored = [entry for entry in found if isinstance(entry, Mapping)]
    return bool(scored) and all("rank" in entry or present(entry, _OWN_RATINGS) for entry in scored)


def _own_field(entries: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the field of a rank or rating that answers have: a filled one, else one that is always empty."""
    names = ("rank", *_OWN_RATINGS)
    filled = (name for name in names if any(not is_missing(entry.get(name)) for entry in entries))
    return next(filled, next((name for name in names if any(name in entry for entry in entries)), None))


def _scores(values: Mapping[str, Any], count: int, skipped: list[Skipped]) -> tuple[list[float | None], bool]:
    """Return the score of each answer (None if it has none), and whether the scores are ratings."""
    responses = list_of(required(values, *_RESPONSES), "responses")
    beside = present(values, (*_ORDER, "order", *_RATINGS))
    entries = [entry if isinstance(entry, Mapping) else {} for entry in responses]
    own = _own_field(entries)
    if own is not None and (beside is None or _has_own_scores(responses)):
        if all(is_missing(entry.get(own)) for entry in entries):
            raise RequestError(f"the field '{own}' is missing or empty in every answer")
        ranked = own == "rank"
        found = [entry.get("rank") if ranked else value_of(entry, *_OWN_RATINGS) for entry in entries]
        numbers = _numbers(found, own, count, skipped)
        return [None if n is None else -n for n in numbers] if ranked else numbers, not ranked
    name = present(values, _RATINGS)
    if name is not None:
        ratings = _numbers(values[name], name, count, skipped)
        return ratings, True
    name = present(values, _ORDER)
    if name is not None:
        ranks = _numbers(values[name], name, count, skipped)
        return [None if rank is None else -rank for rank in ranks], False
    order = list_of(required(values, "ranks", "order", "rank", "ranking", *_RATINGS), "order")
    return list(_by_order(order, count)), False


def _numbers(value: Any, what: str, count: int, skipped: list[Skipped]) -> list[float | None]:
    """Return the numbers of a list, None for an entry that is no number."""
    found = list_of(value, what)
    if len(found) != count:
        raise RequestError(f"{what} and responses differ in length", detail=f"{len(found)} and {count}")
    return [
        None if is_missing(entry) else optional(partial(number_of, entry, what), skipped) for entry in found
    ]


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

"""Read TRL's preference data: `chosen` and `rejected`, with or without `prompt`, as text or as messages.

Other data sets with these columns are read too: ShareGPT's `conversations` beside one message each,
`question` or `instruction` in place of `prompt`, `system`, and lists of answers (RewardBench 2), of which
each chosen one is paired with each rejected one. Equal scores of the two answers are a tie.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from core.conversations import oddities
from core.errors import RequestError
from core.text.literals import parsed_literal
from core.text.messages import is_conversation
from labelers.formats.annotation_columns import ANNOTATION_COLUMNS, cell_tags, opinion_of, optional
from labelers.formats.fields import is_blank, is_missing, maybe_number, maybe_text, number_of, required
from labelers.formats.opinions import Outcome, Pair, pair_of, training_weight
from labelers.formats.prompt_columns import PROMPT_COLUMNS, sides_in
from labelers.formats.source import RowLabels, RowSource, Skipped
from labelers.formats.vote_counts import FOR_CHOSEN, voted

SCORES = (
    ("score_chosen", "score_rejected"),
    ("chosen_score", "rejected_score"),
    ("chosen_rating", "rejected_rating"),
    ("rating_chosen", "rating_rejected"),
    ("chosen-rating", "rejected-rating"),
    ("chosen_avg_rating", "rejected_avg_rating"),
)
"""Columns of the scores that the two answers had."""
_SOURCES = ("source", "section", "subset")


class AnswerPairs(NamedTuple):
    """Each chosen answer with each rejected one, and the answers that are not used."""

    pairs: tuple[tuple[Any, Any], ...]
    excluded: tuple[RequestError, ...]


class TrlPreferences(RowSource):
    """Preferences with explicit or implicit prompts; the margin is `margin` or the score difference."""

    name = "trl"
    summary = "TRL's preference data: chosen and rejected, with or without prompt, text or messages, margin"
    columns = (
        frozenset({"id", "chosen", "rejected", "margin", "p_chosen", "weight", *_SOURCES})
        | {name for names in (*SCORES, *FOR_CHOSEN) for name in names}
        | PROMPT_COLUMNS
        | ANNOTATION_COLUMNS
    )

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row looks like TRL's data, or None."""
        return "it has the columns chosen and rejected" if {"chosen", "rejected"} <= row.keys() else None

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return the pair of a row, the chosen answer first, or the pairs of its lists of answers."""
        required(values, "chosen"), required(values, "rejected")
        several = answer_pairs(values)
        if several is None:
            skipped: list[Skipped] = []
            pair, notes = _pair(values, 1, skipped)
            return RowLabels((number,), (pair,), tuple(skipped), notes)
        pairs: list[Pair] = []
        skipped = [Skipped(error.reason, error.detail) for error in several.excluded]
        notes = ()
        for chosen, rejected in several.pairs:
            try:
                one = {**values, "chosen": chosen, "rejected": rejected}
                pair, notes = _pair(one, len(several.pairs), skipped)
                pairs.append(pair)
            except RequestError as error:
                skipped.append(Skipped(error.reason, error.detail))
        return RowLabels((number,), tuple(pairs), tuple(skipped), notes)


def answer_pairs(values: Mapping[str, Any]) -> AnswerPairs | None:
    """Return the pairs of a row whose `chosen` or `rejected` is a list of answers; None if neither is."""
    sides = [_several(values.get(name)) for name in ("chosen", "rejected")]
    if all(side is None for side in sides):
        return None
    chosen, rejected = (
        [values.get(name)] if side is None else side
        for name, side in zip(("chosen", "rejected"), sides, strict=True)
    )
    empty = sum(is_missing(answer) for answer in (*chosen, *rejected))
    kept = ([answer for answer in side if not is_missing(answer)] for side in (chosen, rejected))
    first, second = kept
    pairs = tuple((one, other) for one in first for other in second)
    return AnswerPairs(pairs, (RequestError("an answer of a list is empty"),) * empty)


def lead_of(values: Mapping[str, Any]) -> float | None:
    """Return the score of the chosen answer less that of the rejected one; None without two numbers."""
    for names in SCORES:
        try:
            chosen, rejected = (number_of(values.get(name), name) for name in names)
        except RequestError:
            continue
        return chosen - rejected
    return None


def _several(value: Any) -> list[Any] | None:
    """Return a list of answers, each text or messages; None for anything else."""
    if isinstance(
        value, str
    ):  # an answer may be a JSON list itself: only lists of conversations are unpacked
        found = parsed_literal(value)
        value = found if isinstance(found, list) and found and all(map(is_conversation, found)) else value
    if not isinstance(value, list) or not value or is_conversation(value):
        return None
    usable = [entry for entry in value if entry is not None]
    of_one_kind = all(isinstance(entry, str) for entry in usable) or all(map(is_conversation, usable))
    return value if usable and of_one_kind and (len(value) > 1 or isinstance(usable[0], str)) else None


def _pair(values: Mapping[str, Any], count: int, skipped: list[Skipped]) -> tuple[Pair, tuple[str, ...]]:
    """Return one pair of a row with `count` of them, and the notes on it."""
    sides, _, note = sides_in(values)
    lead = lead_of(values)
    p_chosen = _p_chosen(values, lead)
    weight = maybe_number(values, "weight")
    margin = optional(lambda: maybe_number(values, "margin"), skipped)
    opinion = opinion_of(
        values,
        skipped,
        verdict=_outcome(p_chosen),
        p_first=p_chosen,
        margin=lead if margin is None else margin,
        weight=1.0 if weight is None else weight,
    )
    source = maybe_text(values, *_SOURCES)
    tags = (*cell_tags(values.get("tags")), *((source,) if source else ()))
    doubt = ("the chosen answer has the lower score",) if lead is not None and lead < 0 else ()
    notes = (*oddities(sides.prompt), *((note,) if note else ()), *doubt)
    votes = [] if "p_chosen" in values else voted(values, FOR_CHOSEN)
    opinions = [vote.model_copy(update={"dimension": opinion.dimension}) for vote in votes] or [opinion]
    if 2 * sum(vote.verdict == "second" for vote in votes) > len(votes):
        notes = (*notes, "more votes are against the chosen answer than for it")
    pair = pair_of(sides, opinions, ("chosen", "rejected"), tags)
    return replace(pair, weight=training_weight(count)), notes


def _p_chosen(values: Mapping[str, Any], lead: float | None) -> float | None:
    """Return the probability that the chosen answer is better; None if nothing but the columns says so."""
    if "p_chosen" not in values:
        return 0.5 if lead == 0 else None
    if is_blank(values["p_chosen"]):
        raise RequestError("p_chosen is empty, but not in every row")
    p_chosen = number_of(values["p_chosen"], "p_chosen")
    if not 0 <= p_chosen <= 1:
        raise RequestError("p_chosen must be between 0 and 1", detail=str(p_chosen))
    return p_chosen


def _outcome(p_chosen: float | None) -> Outcome:
    if p_chosen is None or p_chosen > 0.5:
        return "first"
    return "tie" if p_chosen == 0.5 else "second"

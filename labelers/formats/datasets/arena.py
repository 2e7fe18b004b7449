"""Read votes of Chatbot Arena and MT-bench: two models' conversations, and the preferred one.

Supported are releases with `winner` (which distinguish a tie from "both bad"), messages whose content is text
or a list of parts, and the one-hot format with `winner_model_a`, `winner_model_b` and `winner_tie` and lists
of turns as JSON. Model A was shown on the left. MT-bench's `turn` says which answer was judged. Conversations
that differ before that answer do not compare two answers to one prompt and are skipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.conversations import Sides, oddities, shown, sides_of
from core.errors import RequestError
from labelers.formats.annotation_columns import moment_in
from labelers.formats.fields import (
    annotator_name,
    from_json_text,
    is_missing,
    list_of,
    maybe_number,
    number_of,
    outcome_of,
    present,
    required,
    value_of,
)
from labelers.formats.opinions import Opinion, Outcome, pair_of
from labelers.formats.source import RowLabels, RowSource, Skipped

_ONE_HOT: Mapping[str, Outcome] = {
    "winner_model_a": "first",
    "winner_model_b": "second",
    "winner_tie": "tie",
    "winner_both_bad": "both_bad",
}
_ANNOTATOR_COLUMNS = ("judge", "judge_hash", "user_id", "evaluation_session_id")
_TIMES = ("tstamp", "timestamp", "created_at")
_TALKS = ("conversation_a", "conversation_b")


class ArenaVotes(RowSource):
    """A table with one vote per row."""

    name = "arena"
    summary = "Arena and MT-bench votes: model_a, model_b, tie and both bad, or one-hot columns"
    columns = frozenset(
        {"model_a", "model_b", "winner", "turn", *_ONE_HOT, *_TALKS, *_ANNOTATOR_COLUMNS, *_TIMES}
        | {"prompt", "response_a", "response_b"}
    )

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row looks like a vote, or None."""
        if not {"model_a", "model_b"} <= row.keys():
            return None
        if "winner" in row and _TALKS[0] in row:
            return "it has the columns model_a, model_b, conversation_a and winner"
        return "it has the columns model_a, model_b and winner_model_a" if "winner_model_a" in row else None

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return the pair of a vote, model A first."""
        outcome = _outcome(values)
        sides, skipped = _sides(values), list[Skipped]()
        opinion = Opinion(
            verdict=outcome,
            annotator=annotator_name(value_of(values, *_ANNOTATOR_COLUMNS)),
            shown_first="first",
            created=moment_in(values, skipped, *_TIMES),
        )
        origins = (_model(values, "model_a"), _model(values, "model_b"))
        pair = pair_of(sides, [opinion], origins)
        return RowLabels((number,), (pair,), tuple(skipped), oddities(sides.prompt))


def _model(values: Mapping[str, Any], name: str) -> str:
    return annotator_name(values.get(name)) or name


def _outcome(values: Mapping[str, Any]) -> Outcome:
    if not is_missing(values.get("winner")):
        return outcome_of(values["winner"], "winner")
    marks = {name: number_of(values[name], name) for name in _ONE_HOT if not is_missing(values.get(name))}
    if sorted(marks.values()) != [0.0] * (len(marks) - 1) + [1.0]:
        raise RequestError("the row does not have exactly one winner", detail=shown(marks))
    return next(_ONE_HOT[name] for name, mark in marks.items() if mark)


def _sides(values: Mapping[str, Any]) -> Sides:
    if present(values, _TALKS):
        first, second = (list_of(required(values, name), name) for name in _TALKS)
        return sides_of(None, *_up_to(values, first, second), _TALKS)
    names = ("response_a", "response_b")
    turns = [_turns(required(values, name), name) for name in ("prompt", *names)]
    if len(turns[1]) != len(turns[0]) or len(turns[2]) != len(turns[0]):
        raise RequestError("prompt and responses differ in the number of turns")
    first, second = (_woven(turns[0], side) for side in turns[1:])
    return sides_of(None, first, second, names)


def _up_to(values: Mapping[str, Any], first: list[Any], second: list[Any]) -> tuple[list[Any], list[Any]]:
    """Return the messages up to the judged answers, which MT-bench's `turn` names."""
    turn = maybe_number(values, "turn")
    if turn is None:
        return first, second
    talks = []
    for talk in (first, second):
        ends = [
            n for n, m in enumerate(talk, start=1) if isinstance(m, Mapping) and m.get("role") == "assistant"
        ]
        if turn not in range(1, len(ends) + 1):
            raise RequestError(
                "turn does not name an answer of the conversation", detail=shown(values["turn"])
            )
        talks.append(talk[: ends[int(turn) - 1]])
    return talks[0], talks[1]


def _turns(value: Any, what: str) -> list[Any]:
    """Return the turns of one speaker, given as a list, as a JSON list in a cell, or as one text."""
    found = from_json_text(value) if isinstance(value, str) else value
    turns = found if isinstance(found, list) else [found]
    if not turns or any(not isinstance(turn, str) for turn in turns):
        raise RequestError("a turn is not text", detail=f"in {what}")
    return turns


def _woven(asked: list[Any], answered: list[Any]) -> list[dict[str, Any]]:
    return [
        {"role": role, "content": text}
        for pair in zip(asked, answered, strict=True)
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]

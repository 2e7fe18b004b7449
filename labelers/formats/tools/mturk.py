"""Read the batch results of Amazon Mechanical Turk: a CSV file with an assignment in each row.

The prompt and both answers are read from the `Input.*` columns by their usual names, the verdict from the
`Answer.*` columns: a word, the label of a classifier (`Answer.choice.label`), or one of several columns that
are true and false (`Answer.choice.a`); also as JSON in `Answer.taskAnswers`. A question that is not about
which answer is better as a whole (`Answer.honesty`), beside another one, is a dimension.

A rejected assignment is left out: it is not paid for, because its requester does not believe it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import combinations
from typing import Any

from core.conversations import shown
from core.errors import RequestError
from labelers.formats.columns import NAMES, Columns
from labelers.formats.fields import (
    VERDICT_NOT_RECOGNISED,
    from_json_text,
    is_missing,
    is_outcome,
    present,
)
from labelers.formats.people_columns import differ_in_side, folded_word, side_words
from labelers.formats.prompt_columns import PROMPT_COLUMNS
from labelers.formats.source import RowLabels, RowSource

_INPUT, _ANSWER = "Input.", "Answer."
_TASK_ANSWERS = "taskAnswers"
REJECTED = "the assignment was rejected"
STATUS_COLUMNS = ("AssignmentStatus", "Reject")
"""The columns by which an assignment is left out."""
_ANSWER_NAME = re.compile(r"answer|respon|repl|output|complet|text|candidate|summar|option", re.IGNORECASE)
_ANY_NAME = re.compile("")
_NO_ANSWERS = "no two columns of Input.* differ in a side, as answers do"
_ORIGIN_NAME = re.compile(r"model|system|origin|source", re.IGNORECASE)
_PROMPT_NAME = re.compile(
    r"prompt|question|quer|instruct|input|context|post|user|task|request", re.IGNORECASE
)
_COMMENT_NAME = re.compile(r"comment|reason|rational|expla|why|feedback|justif|remark", re.IGNORECASE)
_OVERALL_NAME = re.compile(
    r"verdict|winner|label|prefer|choice|chosen|vote|better|best|judg|overall|select|categor", re.IGNORECASE
)
_IS_BETTER = re.compile(r"\s+is\s+(?:(?:much|slightly|a\s+bit|significantly)\s+)?better\W*$", re.IGNORECASE)
_TIES = frozenset(
    {"equally good", "about the same", "no preference", "both are equally good", "no difference"}
)
_ZONES = {"PST": -8, "PDT": -7, "UTC": 0, "GMT": 0}
_SUBMITTED = re.compile(r"(\w{3} \w{3} +\d+ [\d:]{8}) (\w+) (\d{4})")
_TARGETS = (*NAMES, "verdict", "rating_a", "rating_b", "p_a", "shown_first", "margin", "weight", "confidence")
_VERDICTS = ("verdict", "rating_a", "p_a")


class MechanicalTurk(RowSource):
    """One worker's assignment in each row.

    Args:
        leaves_out: True to leave out rejected assignments.
    """

    name = "mturk"
    summary = "batch results of Amazon Mechanical Turk, with Input.* and Answer.* of each assignment"
    columns = None

    def __init__(self, *, leaves_out: bool = True) -> None:
        self._leaves_out = leaves_out

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row looks like an assignment, or None."""
        is_batch = {"HITId", "WorkerId"} <= row.keys()
        answer = next((name for name in row if str(name).startswith(_ANSWER)), None)
        return f"it has the columns HITId, WorkerId and {answer}" if is_batch and answer else None

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return the pair of an assignment, with an opinion for each verdict."""
        if self._leaves_out:
            _refuse_rejected(values)
        inputs = {name.removeprefix(_INPUT): cell for name, cell in _named(values, _INPUT)}
        given = _answers(values)
        row = _pair_cells(values, inputs)
        row["annotator"] = values.get("annotator", values.get("WorkerId"))
        row["duration_s"] = values.get("duration_s", values.get("WorkTimeInSeconds"))
        row["created"] = values.get("created", _moment(values.get("SubmitTime")))
        comments = (cell for name, cell in given.items() if _COMMENT_NAME.search(name))
        row["comment"] = values.get("comment", next((c for c in comments if not is_missing(c)), None))
        row |= {name: values[name] for name in ("dimension", "tags") if name in values}
        if present(values, _VERDICTS) is not None:
            return Columns().labels_of(row, number)
        found = _verdicts(given, _side_words(inputs))
        read = [Columns().labels_of({**row, "verdict": verdict, **about}, number) for verdict, about in found]
        opinions = tuple(one for labels in read for one in labels.pairs[0].opinions)
        skipped = tuple(dict.fromkeys(part for labels in read for part in labels.skipped))
        return RowLabels((number,), (replace(read[0].pairs[0], opinions=opinions),), skipped, read[0].notes)


def _refuse_rejected(values: Mapping[str, Any]) -> None:
    """Raise RequestError for an assignment that was rejected, or is to be."""
    status = str(values.get("AssignmentStatus") or "").strip()
    if status.casefold() == "rejected":
        raise RequestError(REJECTED, detail=f"AssignmentStatus is {status}")
    if not is_missing(values.get("Reject")) and is_missing(values.get("Approve")):
        raise RequestError(REJECTED, detail=f"Reject is {shown(values['Reject'])}")


def _named(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    return ((str(name), cell) for name, cell in values.items() if str(name).startswith(prefix))


def _pair_cells(values: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return prompt, answers and origins as the columns of a plain table; what the user maps goes first."""
    row = {
        name: values[name] for name in (*_TARGETS, *PROMPT_COLUMNS, "origin_a", "origin_b") if name in values
    }
    two = _two_answers(inputs)
    if two is None and not set(NAMES) <= row.keys():
        known = ", ".join(f"{_INPUT}{name}" for name in inputs)
        raise RequestError(_NO_ANSWERS, detail=f"{known}; --columns response_a=NAME,response_b=NAME")
    if two is not None and not set(NAMES) & row.keys():
        row |= {ours: inputs[theirs] for ours, theirs in zip(NAMES, two, strict=True)}
    models = _two(inputs, _ORIGIN_NAME)
    if models is not None and "origin_a" not in row:
        row |= {ours: inputs[theirs] for ours, theirs in zip(("origin_a", "origin_b"), models, strict=True)}
    if not PROMPT_COLUMNS & row.keys():
        row |= _prompt_cells({name: cell for name, cell in inputs.items() if name not in (two or ())})
    return row


def _two(inputs: Mapping[str, Any], named: re.Pattern[str]) -> tuple[str, str] | None:
    """Return the two inputs whose names differ in the side alone, those with a likely name."""
    pairs = (two for two in combinations(inputs, 2) if named.search(two[0]) and differ_in_side(*two))
    return next(pairs, None)


def _two_answers(inputs: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the two inputs that are the answers: by their names, or else the first two of two sides."""
    others = {name: cell for name, cell in inputs.items() if not _ORIGIN_NAME.search(name)}
    return _two(inputs, _ANSWER_NAME) or _two(others, _ANY_NAME)


def _prompt_cells(inputs: Mapping[str, Any]) -> dict[str, Any]:
    own = {name: cell for name, cell in inputs.items() if name in PROMPT_COLUMNS}
    likely = next((name for name in inputs if _PROMPT_NAME.search(name)), None)
    return own or ({} if likely is None else {"prompt": inputs[likely]})


def _side_words(inputs: Mapping[str, Any]) -> Mapping[str, str]:
    two = _two_answers(inputs)
    return {} if two is None else side_words(two)


def _answers(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the worker filled in, by question; of truth values, the option that is true."""
    flat = {name.removeprefix(_ANSWER): cell for name, cell in _named(values, _ANSWER)}
    packed = flat.pop(_TASK_ANSWERS, None)
    listed = from_json_text(packed) if isinstance(packed, str) else packed
    for given in listed if isinstance(listed, list) else [listed]:
        for name, cell in given.items() if isinstance(given, Mapping) else ():
            held = cell.items() if isinstance(cell, Mapping) else ()
            flat |= {f"{name}.{key}": value for key, value in held} or {str(name): cell}
    found: dict[str, Any] = {}
    for name, cell in flat.items():
        question, dot, option = name.rpartition(".")
        if not dot:
            question, value = name, cell
        elif option in ("label", "labels"):
            value = _only(cell)
        else:
            value = option if str(cell).strip().casefold() == "true" else None
        if not is_missing(value) or question not in found:
            found[question] = value
    return found


def _only(cell: Any) -> Any:
    """Return the only entry of a list, as a classifier writes it; any other value as it is."""
    held = from_json_text(cell) if isinstance(cell, str) else cell
    return held[0] if isinstance(held, list) and len(held) == 1 else cell


def _verdicts(given: Mapping[str, Any], words: Mapping[str, str]) -> list[tuple[Any, dict[str, str]]]:
    """Return each verdict of a worker, with its dimension unless it is about the answers as a whole.

    Raises:
        RequestError: if there is none.
    """
    asked = {name: cell for name, cell in given.items() if not _COMMENT_NAME.search(name)}
    found = {name: word for name, cell in asked.items() if (word := _verdict(cell, words)) is not None}
    if not found:
        likely = [name for name in asked if _OVERALL_NAME.search(name)] or list(asked)
        name = next((name for name in likely if not is_missing(asked[name])), None)
        if name is None:
            raise RequestError("the assignment has no verdict", detail=f"in {_ANSWER}*")
        raise RequestError(
            VERDICT_NOT_RECOGNISED,
            detail=f"{shown(asked[name])}; --columns verdict={_ANSWER}{name} --verdicts a=...,b=...",
        )
    if len(found) == 1:
        return [(word, {}) for word in found.values()]
    return [(word, {} if _OVERALL_NAME.search(name) else {"dimension": name}) for name, word in found.items()]


def _verdict(cell: Any, words: Mapping[str, str]) -> Any:
    """Return a word for a verdict that any table may have; None if a cell has none."""
    if not isinstance(cell, str):
        return None
    text = _IS_BETTER.sub("", cell.strip())
    folded = folded_word(text)
    if folded in words:
        return words[folded]
    if folded in _TIES:
        return "tie"
    return text if is_outcome(text) else None


def _moment(submitted: Any) -> Any:
    """Return the time of submission, which is written as `Mon Nov 30 10:00:00 PST 2026`."""
    match = _SUBMITTED.fullmatch(submitted.strip()) if isinstance(submitted, str) else None
    if match is None or match[2] not in _ZONES:
        return None
    zone = timezone(timedelta(hours=_ZONES[match[2]]))
    try:
        return datetime.strptime(f"{match[1]} {match[3]}", "%a %b %d %H:%M:%S %Y").replace(tzinfo=zone)
    except ValueError:
        return None

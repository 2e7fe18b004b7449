"""Read the batch results of Amazon Mechanical Turk: a CSV file with an assignment in each row.

The prompt and both answers are read from the `Input.*` columns by their usual names, the verdict from the
`Answer.*` columns: a word, the label of a classifier (`Answer.choice.label`), or one of several columns that
are true and false (`Answer.choice.a`); also as JSON in `Answer.taskAnswers`. A question that is not about
which answer is better as a whole (`Answer.honesty`), beside another one, is a dimension.

A column that the user mapped is no longer called `Input.*` or `Answer.*`: it has our name.

A rejected assignment is left out: it is not paid for, because its requester does not believe it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import permutations
from typing import Any, NamedTuple

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
from labelers.formats.people_columns import differ_in_side, differ_in_telling_words, folded_word, side_words
from labelers.formats.prompt_columns import PROMPT_COLUMNS
from labelers.formats.source import RowLabels, RowSource

_INPUT, _ANSWER = "Input.", "Answer."
_TASK_ANSWERS = "taskAnswers"
REJECTED = "the assignment was rejected"
STATUS_COLUMNS = ("AssignmentStatus", "Reject")
"""The columns by which an assignment is left out."""
_OF_BATCHES = frozenset({"HITTypeId", "AssignmentId", *STATUS_COLUMNS})
_ORIGINS = ("origin_a", "origin_b")
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
_OUR_WORDS = frozenset({"a", "b", "tie", "both_bad", "skip"})
_NO_VERDICT = "the assignment has no verdict"
_MAPPED_WORDS = "--verdicts a=...,b=..."


class _Given(NamedTuple):
    """What a worker answered to a question."""

    cell: Any
    column: str | None
    """The column whose cell it is as it stands; None if it is read from several, or from JSON."""


class MechanicalTurk(RowSource):
    """One worker's assignment in each row.

    Args:
        leaves_out: True to leave out rejected assignments.
        verdicts: our verdict for each of the user's words, in whichever column of `Answer.*`.
    """

    name = "mturk"
    summary = "batch results of Amazon Mechanical Turk, with Input.* and Answer.* of each assignment"
    columns = None

    def __init__(self, *, leaves_out: bool = True, verdicts: Mapping[str, str] | None = None) -> None:
        self._leaves_out = leaves_out
        self._verdicts = verdicts or {}

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row looks like an assignment, or None."""
        names = [str(name) for name in row]
        is_batch = any(name in _OF_BATCHES or name.startswith((_INPUT, _ANSWER)) for name in names)
        worker = next((name for name in ("WorkerId", "annotator") if name in row), None)
        verdicts = (
            *(name for name in _VERDICTS if name in row),
            *(n for n in names if n.startswith(_ANSWER)),
        )
        if not is_batch or "HITId" not in row or worker is None or not verdicts:
            return None
        return f"it has the columns HITId, {worker} and {verdicts[0]}"

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
        comments = (one.cell for name, one in given.items() if _COMMENT_NAME.search(name))
        row["comment"] = values.get("comment", next((c for c in comments if not is_missing(c)), None))
        row |= {name: values[name] for name in ("dimension", "tags") if name in values}
        words = _side_words(values, inputs)
        mapped = next((name for name in _VERDICTS if name in values), None)
        if mapped is not None:
            if present(values, _VERDICTS) is None:
                raise RequestError(_NO_VERDICT, detail=f"in {mapped}")
            cell = row.get("verdict")
            if isinstance(cell, str) and cell not in _OUR_WORDS:  # these are the user's words, mapped before
                row["verdict"] = _verdict(cell, words, {}) or cell
            return Columns().labels_of(row, number)
        found = _verdicts(given, words, self._verdicts)
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
    row = {name: values[name] for name in (*_TARGETS, *PROMPT_COLUMNS, *_ORIGINS) if name in values}
    if (columns := _mapped_inputs(values)) is not None:
        row |= dict(zip(_ORIGINS, columns, strict=True))
    two, named = _two_answers(inputs), dict[str, Any]()
    if two is None and not set(NAMES) <= row.keys():
        known = ", ".join(f"{_INPUT}{name}" for name in inputs)
        raise RequestError(_NO_ANSWERS, detail=f"{known}; --columns response_a=NAME,response_b=NAME")
    if two is not None and not set(NAMES) & row.keys():
        row |= {ours: inputs[theirs] for ours, theirs in zip(NAMES, two, strict=True)}
        if differ_in_telling_words(*two):
            named |= dict(zip(_ORIGINS, two, strict=True))
    models = _two(inputs, _ORIGIN_NAME)
    if models is not None:
        named |= {ours: inputs[theirs] for ours, theirs in zip(_ORIGINS, models, strict=True)}
    row = {**({} if set(_ORIGINS) & row.keys() else named), **row}
    if not PROMPT_COLUMNS & row.keys():
        row |= _prompt_cells({name: cell for name, cell in inputs.items() if name not in (two or ())})
    return row


def _two(inputs: Mapping[str, Any], named: re.Pattern[str]) -> tuple[str, str] | None:
    """Return the two inputs whose names differ in the side alone, those with a likely name, in this order."""
    pairs = (two for two in permutations(inputs, 2) if named.search(two[0]) and differ_in_side(*two))
    return next(pairs, None)


def _two_answers(inputs: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the two inputs that are the answers: by their names, or else the first two of two sides."""
    others = {name: cell for name, cell in inputs.items() if not _ORIGIN_NAME.search(name)}
    return _two(inputs, _ANSWER_NAME) or _two(others, _ANY_NAME)


def _prompt_cells(inputs: Mapping[str, Any]) -> dict[str, Any]:
    own = {name: cell for name, cell in inputs.items() if name in PROMPT_COLUMNS}
    likely = next((name for name in inputs if _PROMPT_NAME.search(name)), None)
    return own or ({} if likely is None else {"prompt": inputs[likely]})


def _mapped_inputs(values: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the names of the inputs that the user mapped to both answers; None if they are no inputs.

    A row has them as the origins of the answers.
    """
    a, b = (values.get(name) for name in _ORIGINS)
    inputs = [one.removeprefix(_INPUT) for one in (a, b) if isinstance(one, str) and one.startswith(_INPUT)]
    return (inputs[0], inputs[1]) if len(inputs) == 2 else None


def _side_words(values: Mapping[str, Any], inputs: Mapping[str, Any]) -> Mapping[str, str]:
    is_mapped = bool(set(NAMES) & values.keys())
    two = _mapped_inputs(values) if is_mapped else _two_answers(inputs)
    return {} if two is None else side_words(two)


def questions_in(rows: Iterable[Mapping[str, Any]]) -> dict[str, str | None]:
    """Return the questions that assignments answer, apart from comments, with the column that is each one.

    A question has None if no column is its verdict: it is read from several, or from JSON.
    """
    given = [_answers(values) for values in rows]
    asked = {name for answers in given for name in answers if not _COMMENT_NAME.search(name)}
    columns = {name: {one[name].column for one in given if name in one} for name in sorted(asked)}
    return {name: found.pop() if len(found) == 1 else None for name, found in columns.items()}


def _answers(values: Mapping[str, Any]) -> dict[str, _Given]:
    """Return what the worker filled in, by question; of truth values, the option that is true."""
    flat = {name.removeprefix(_ANSWER): _Given(cell, name) for name, cell in _named(values, _ANSWER)}
    packed = flat.pop(_TASK_ANSWERS, _Given(None, None)).cell
    listed = from_json_text(packed) if isinstance(packed, str) else packed
    for given in listed if isinstance(listed, list) else [listed]:
        for name, cell in given.items() if isinstance(given, Mapping) else ():
            held = cell if isinstance(cell, Mapping) else {}
            cells = {f"{name}.{key}": value for key, value in held.items()} or {str(name): cell}
            flat |= {where: _Given(value, None) for where, value in cells.items()}
    found: dict[str, _Given] = {}
    for name, (cell, column) in flat.items():
        question, dot, option = name.rpartition(".")
        if not dot:
            question, one = name, _Given(cell, column)
        elif option in ("label", "labels"):
            value = _only(cell)
            one = _Given(value, column if value is cell else None)
        else:
            one = _Given(option if str(cell).strip().casefold() == "true" else None, None)
        if not is_missing(one.cell) or question not in found:
            found[question] = one
    return found


def _only(cell: Any) -> Any:
    """Return the only entry of a list, as a classifier writes it; any other value as it is."""
    held = from_json_text(cell) if isinstance(cell, str) else cell
    return held[0] if isinstance(held, list) and len(held) == 1 else cell


def _verdicts(
    given: Mapping[str, _Given], words: Mapping[str, str], own: Mapping[str, str]
) -> list[tuple[Any, dict[str, str]]]:
    """Return each verdict of a worker, with its dimension unless it is about the answers as a whole.

    Raises:
        RequestError: if there is none.
    """
    asked = {name: one for name, one in given.items() if not _COMMENT_NAME.search(name)}
    found = {
        name: word for name, one in asked.items() if (word := _verdict(one.cell, words, own)) is not None
    }
    if not found:
        likely = [name for name in asked if _OVERALL_NAME.search(name)] or list(asked)
        name = next((name for name in likely if not is_missing(asked[name].cell)), None)
        if name is None:
            raise RequestError(_NO_VERDICT, detail=f"in {_ANSWER}*")
        cell, column = asked[name]
        mapped = _MAPPED_WORDS if len(asked) == 1 else ""
        if column is not None:
            mapped = f"--columns verdict={column} {_MAPPED_WORDS}"
        raise RequestError(VERDICT_NOT_RECOGNISED, detail="; ".join(filter(None, (shown(cell), mapped))))
    if len(found) == 1:
        return [(word, {}) for word in found.values()]
    return [(word, {} if _OVERALL_NAME.search(name) else {"dimension": name}) for name, word in found.items()]


def _verdict(cell: Any, words: Mapping[str, str], own: Mapping[str, str]) -> Any:
    """Return a word for a verdict that any table may have; None if a cell has none.

    Args:
        cell: the cell.
        words: the words for a side, as `side_words` has them.
        own: our verdict for each of the user's words.
    """
    whole = int(cell) if isinstance(cell, float) and cell.is_integer() else cell
    if (written := str(whole).strip()) in own:
        return own[written]
    if not isinstance(cell, str):
        return None
    text = _IS_BETTER.sub("", cell.strip())
    folded = folded_word(text)
    if folded in words:
        return words[folded]
    if folded in _TIES:
        return "tie"
    if not is_outcome(text):
        return None
    side = folded.rpartition(" ")[2]  # `Option A` is the answer called `a`, also where it is mapped to `b`
    return words[side] if side in words and is_outcome(side) else text


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

"""Tables of checked replies for spreadsheets: a row for each reply, or one for each reply and rule."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from constitution.checks.evaluate import count_words
from constitution.checks.findings import finding_beside_rule
from constitution.schema import Principle
from core.store.files import write_stream
from publius.authoring.replies.rows import ReplyRow
from publius.authoring.replies.words import is_broken, is_undecided, outcome_said, outcome_word
from publius.authoring.reply import PrincipleOutcome
from publius.runs.pairs.table_columns import OWN
from publius.runs.pairs.tables import TableCounts, conversation_text, csv_parts

_DIGITS = 3
_BEFORE = ("case", "prompt", "reply", "words", "broken")
_FOUND = "found"
_LONG = ("case", "place", "rule", "rule_text", "outcome", "broken", "found", "p", "prompt", "reply")
_Checked = tuple[ReplyRow, Sequence[PrincipleOutcome]]


def write_reply_table(to: Path, cases: Sequence[_Checked], principles: Sequence[Principle]) -> int:
    """Write a row for each reply, and return the number of quoted cells.

    A rule's column has `pass`, `fail` or `not decided`, and is empty if the rule is not for the prompt.
    Next to it, `RULE (p)` has the probability that the reply follows the rule, if a model judged any.

    Args:
        to: a new CSV file.
        cases: each reply with its outcomes, in the order of `principles`.
        principles: the rules.
    """
    headings = _rule_headings(principles)
    judged = {found.principle for _, outcomes in cases for found in outcomes if found.p is not None}
    columns = list(_BEFORE)
    for name, heading in headings.items():
        columns += [heading, f"{heading} (p)"] if name in judged else [heading]
    columns.append(_FOUND)
    own = _own_headings(cases, columns)
    rows = (_wide_row(row, outcomes, headings, own) for row, outcomes in cases)
    return _write(to, rows, [*columns, *own.values()])


def write_outcome_table(to: Path, cases: Sequence[_Checked]) -> int:
    """Write a row for each reply and rule to a new CSV file, and return the number of quoted cells."""
    rows = (_long_row(row, found) for row, outcomes in cases for found in outcomes)
    return _write(to, rows, _LONG)


def _write(to: Path, rows: Iterator[dict[str, Any]], columns: Sequence[str]) -> int:
    counts = TableCounts()
    write_stream(to, csv_parts(rows, dict.fromkeys(columns, "string"), counts))
    return counts.quoted


def _wide_row(
    row: ReplyRow, outcomes: Sequence[PrincipleOutcome], headings: Mapping[str, str], own: Mapping[str, str]
) -> dict[str, Any]:
    broken = [found for found in outcomes if is_broken(found)]
    cells: dict[str, Any] = {
        "case": row.case,
        "prompt": None if row.prompt is None else conversation_text(row.prompt.messages),
        "reply": row.reply,
        "words": count_words(row.reply),
        "broken": ", ".join(found.principle for found in broken),
        _FOUND: "; ".join(f"{found.principle}: {outcome_said(found)}" for found in broken),
    }
    for found in outcomes:
        heading = headings[found.principle]
        cells |= {heading: _verdict(found), f"{heading} (p)": rounded(found.p)}
    return cells | {own[name]: _cell(value) for name, value in row.own.items() if name in own}


def _long_row(row: ReplyRow, found: PrincipleOutcome) -> dict[str, Any]:
    is_decided = found.outcome != "elsewhere" and not is_undecided(found)
    return {
        "case": row.case,
        "place": row.place,
        "rule": found.principle,
        "rule_text": found.text,
        "outcome": outcome_word(found),
        "broken": ("yes" if is_broken(found) else "no") if is_decided else None,
        "found": finding_beside_rule(found.text, found_in_words(found) or "") or None,
        "p": rounded(found.p),
        "prompt": None if row.prompt is None else conversation_text(row.prompt.messages),
        "reply": row.reply,
    }


def found_in_words(found: PrincipleOutcome) -> str | None:
    """Return what a failed check found, with the text that a pattern matches, or why it decides nothing."""
    return outcome_said(found) if found.outcome == "failed" else found.finding


def rounded(p: float | None) -> float | None:
    """Return a probability as tables have it."""
    return None if p is None else round(p, _DIGITS)


def _verdict(found: PrincipleOutcome) -> str:
    """Return `pass`, `fail`, `not decided`, or nothing if the rule is not for the prompt."""
    if found.p is not None:
        return "fail" if is_broken(found) else "pass"
    return "" if found.outcome == "elsewhere" and not is_undecided(found) else outcome_word(found)


def _rule_headings(principles: Sequence[Principle]) -> dict[str, str]:
    """Return the heading of each rule's column: its id, which must not be that of another column."""
    taken = {*_BEFORE, _FOUND}
    return {p.id: f"{p.id} (rule)" if p.id in taken else p.id for p in principles}


def _own_headings(cases: Sequence[_Checked], columns: Sequence[str]) -> dict[str, str]:
    """Return the headings of the file's columns that hold neither prompt nor reply."""
    names = dict.fromkeys(name for row, _ in cases for name in row.own)
    return {name: f"{name}{OWN}" if name in columns else name for name in names}


def _cell(value: Any) -> Any:
    """Return a value as a cell: a list or an object as JSON."""
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict) else value

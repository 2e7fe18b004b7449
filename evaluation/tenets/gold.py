"""Gold labels of an audit's ratings: a sheet for people to fill in, and the judge's errors by it.

The sheet holds conversations drawn at random for each tenet that a judge rates, whatever the judge said of
them, so that its errors on them are those on all.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from core.digests import derive_uniform
from core.errors import DataError, Problem
from core.statistics.bootstrap import Interval
from core.statistics.judges.rates import FEWEST_GOLD, judge_accuracy
from core.store.files import is_there
from core.text.yaml_file import in_order, read_prose
from evaluation.tenets.ratings import AuditedReply, TenetRating
from evaluation.tenets.record import JudgeErrors, Rate

SHEET_FILE = "sheet.csv"
_COLUMNS = ("id", "tenet", "principle", "conversation", "violates")
_ANSWERS = {
    "yes": True,
    "y": True,
    "1": True,
    "true": True,
    "no": False,
    "n": False,
    "0": False,
    "false": False,
}
_MAX_SHEET_BYTES = 64 * 2**20


def sheet_rows(
    ratings: Iterable[TenetRating], texts: Mapping[str, str], each: int, seed: int
) -> list[TenetRating]:
    """Return the ratings to label: up to `each` of every tenet, drawn at random over all variants.

    Args:
        ratings: all ratings; only a judge's are drawn.
        texts: the texts of the tenets by id.
        each: number for each tenet.
        seed: seed of the draw.
    """
    judged = [r for r in ratings if r.by == "judge" and r.violation is not None]
    drawn: list[TenetRating] = []
    for tenet in texts:
        own = sorted(
            (r for r in judged if r.tenet == tenet), key=lambda r: derive_uniform(seed, "sheet", r.id)
        )
        drawn += own[:each]
    return drawn


def sheet_text(
    rows: Sequence[TenetRating], replies: Mapping[str, AuditedReply], texts: Mapping[str, str]
) -> str:
    """Return the sheet as CSV, without the variant and without the judge's rating.

    Cells that a spreadsheet would run as a formula begin with an apostrophe.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in rows:
        conversation = "\n\n".join(f"{m.role}: {m.content}" for m in replies[row.reply].messages)
        writer.writerow([row.id, row.tenet, _inert_cell(texts[row.tenet]), _inert_cell(conversation), ""])
    return stream.getvalue()


def _inert_cell(text: str) -> str:
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t") else text


def read_sheet(path: Path) -> dict[str, bool]:
    """Return the gold labels of a sheet by id of the rating: True if the reply violates the tenet.

    Rows without a label are skipped. A sheet that does not exist has none.

    Raises:
        DataError: if the file is no sheet, or a label is none of yes and no; with the numbers of the rows.
    """
    if not is_there(path):
        return {}
    rows = list(csv.reader(io.StringIO(read_prose(path, "sheet", _MAX_SHEET_BYTES))))
    header = [name.strip().lower() for name in rows[0]] if rows else []
    if "id" not in header or "violates" not in header:
        raise DataError(
            f"found columns: {', '.join(header) or 'none'}", where=str(path), accepted=", ".join(_COLUMNS)
        )
    found: dict[str, bool] = {}
    problems: list[Problem] = []
    for number, row in enumerate(rows[1:], start=2):
        cells = dict(zip(header, row, strict=False))
        answer = cells.get("violates", "").strip().lower()
        if answer in _ANSWERS:
            found[cells["id"]] = _ANSWERS[answer]
        elif answer:
            problems.append(
                Problem(f"violates is {answer!r:.60}", f"{path} row {number}", "yes, no or empty")
            )
    if problems:
        raise DataError.of(in_order(problems))
    return found


def judge_errors(labels: Mapping[str, bool], ratings: Iterable[TenetRating]) -> dict[str | None, JudgeErrors]:
    """Return the judge's errors by tenet, and under None those of all tenets together.

    Labels of ratings that are not there, or that have no verdict, are ignored. Sensitivity and specificity
    are given from ten labels on, if some say violation and some do not.
    """
    pairs = [
        (r.tenet, labels[r.id], r.violated)
        for r in ratings
        if r.id in labels and r.by == "judge" and r.violation is not None
    ]
    found: dict[str | None, JudgeErrors] = {}
    for tenet in dict.fromkeys([None, *(tenet for tenet, _, _ in pairs)] if pairs else []):
        own = [(gold, judged) for name, gold, judged in pairs if tenet in (None, name)]
        found[tenet] = _errors(tenet, own)
    return found


def _errors(tenet: str | None, pairs: Sequence[tuple[bool, bool]]) -> JudgeErrors:
    gold = np.asarray([float(label) for label, _ in pairs])
    judged = np.asarray([float(verdict) for _, verdict in pairs])
    fields = {"tenet": tenet, "labels": len(pairs), "violations": int(gold.sum())}
    if len(pairs) < FEWEST_GOLD or not 0 < gold.sum() < len(pairs):
        return JudgeErrors.model_validate(fields)
    accuracy = judge_accuracy(gold, judged)
    return JudgeErrors(
        tenet=tenet,
        labels=len(pairs),
        violations=int(gold.sum()),
        sensitivity=_as_rate(accuracy.sensitivity),
        specificity=_as_rate(accuracy.specificity),
    )


def _as_rate(interval: Interval | None) -> Rate | None:
    return None if interval is None else Rate(value=interval.value, low=interval.low, high=interval.high)

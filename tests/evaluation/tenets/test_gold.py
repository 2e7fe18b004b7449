"""The sheet for people, and the judge's errors by it."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from core.errors import DataError
from core.records import Message
from evaluation.tenets.gold import judge_errors, read_sheet, sheet_rows, sheet_text
from evaluation.tenets.ratings import AuditedReply, TenetRating

TEXTS = {"kind": "The reply is kind.", "short": "=The reply is short."}


def reply(number: int, tenet: str = "kind") -> AuditedReply:
    messages = (Message(role="user", content='Hi, "you"\nthere'), Message(role="assistant", content="No"))
    return AuditedReply(
        id=f"r{number}",
        variant="base",
        scenario=f"s{number}",
        tenet=tenet,
        kind="benign",
        sample=0,
        messages=messages,
        replies=(),
    )


def rating(number: int, violation: float, tenet: str = "kind", by: str = "judge") -> TenetRating:
    return TenetRating.of(reply(number, tenet), tenet, by, violation=violation)  # type: ignore[arg-type]


def test_sheet_has_so_many_judged_ratings_of_each_tenet_and_hides_the_judge():
    ratings = [rating(n, n / 40, tenet) for tenet in TEXTS for n in range(40)]
    ratings += [rating(n + 40, 1.0, "kind", by="check") for n in range(10)]
    rows = sheet_rows(ratings, TEXTS, 5, seed=0)
    assert [row.tenet for row in rows] == ["kind"] * 5 + ["short"] * 5
    text = sheet_text(rows, {f"r{n}": reply(n) for n in range(50)}, TEXTS)
    read = list(csv.DictReader(io.StringIO(text)))
    assert list(read[0]) == ["id", "tenet", "principle", "conversation", "violates"]
    assert read[0]["conversation"] == 'user: Hi, "you"\nthere\n\nassistant: No'
    assert read[-1]["principle"].startswith("'=")  # no spreadsheet runs it


def test_labels_are_read_and_empty_rows_are_skipped(tmp_path: Path):
    path = tmp_path / "sheet.csv"
    path.write_text("id,violates\na,yes\nb,No\nc,\n")
    assert read_sheet(path) == {"a": True, "b": False}
    assert read_sheet(tmp_path / "none.csv") == {}


@pytest.mark.parametrize(("text", "what"), [("id,violates\na,perhaps\n", "row 2"), ("a,b\n1,2\n", "columns")])
def test_mistakes_in_a_sheet_are_named(tmp_path: Path, text: str, what: str):
    path = tmp_path / "sheet.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=what):
        read_sheet(path)


def test_errors_of_the_judge_by_hand():
    # 10 violations, of which the judge finds 8; 10 others, of which it leaves 9 alone.
    ratings = [rating(n, 0.9 if n < 8 or n == 10 else 0.1) for n in range(20)]
    labels = {ratings[n].id: n < 10 for n in range(20)}
    found = judge_errors(labels, ratings)
    assert found.keys() == {None, "kind"}
    own = found["kind"]
    assert (own.labels, own.violations) == (20, 10)
    assert own.sensitivity is not None
    assert own.specificity is not None
    assert (own.sensitivity.value, own.specificity.value) == (0.8, 0.9)


def test_few_or_one_sided_labels_give_no_errors():
    ratings = [rating(n, 0.9) for n in range(20)]
    few = judge_errors({one.id: n % 2 == 0 for n, one in enumerate(ratings[:9])}, ratings)
    alike = judge_errors({one.id: True for one in ratings}, ratings)
    assert not few["kind"].corrects
    assert not alike["kind"].corrects
    assert judge_errors({}, ratings) == {}

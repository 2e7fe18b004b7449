"""`publius import labels`: margins agree with verdicts, and advice about annotators can be followed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.publius.labels.test_importing import records, summary_of

ANSWERS = "prompt=item,response_a=x,response_b=y,verdict=score"


def table(folder: Path, *scores: int, extra: str = "", cells: tuple[object, ...] = ()) -> Path:
    rows = [f"Question {n}?,Yes {n}.,No {n}.,{score}" for n, score in enumerate(scores)]
    if extra:
        rows = [f"{row},{cell}" for row, cell in zip(rows, cells, strict=True)]
    path = folder / "t.csv"
    path.write_text("\n".join([",".join(filter(None, ("item,x,y,score", extra))), *rows]) + "\n")
    return path


@pytest.mark.parametrize("verdicts", ["a=-3,a=-2,a=-1,tie=0,b=1,b=2,b=3", "b=-3,b=-2,b=-1,tie=0,a=1,a=2,a=3"])
def test_a_signed_scale_is_verdict_and_margin(tmp_path: Path, verdicts: str):
    path = table(tmp_path, -3, -1, 0, 1, 2)
    options = ("--columns", f"{ANSWERS},margin=score", "--verdicts", verdicts)
    summary = summary_of(path, "--to", tmp_path / "to", *options)
    assert summary["left_out"] == []
    _, judgments = records(tmp_path / "to")
    assert sorted(abs(j.margin) for j in judgments if j.margin is not None) == [0, 1, 1, 2, 3]
    for judgment in judgments:
        assert judgment.margin is not None
        sign = {"a": 1, "b": -1, "tie": 0}[judgment.verdict]
        assert judgment.margin == sign * abs(judgment.margin)


def test_a_margin_against_its_verdict_is_left_out_and_counted(tmp_path: Path):
    path = table(tmp_path, 1, 1, 2, 2, extra="lead", cells=(3, -3, 3, -3))
    options = ("--columns", f"{ANSWERS},margin=lead", "--verdicts", "a=1,b=2")
    summary = summary_of(path, "--to", tmp_path / "to", *options)
    assert summary["kept"] == 4
    (left,) = summary["left_out"]
    assert left["reason"].startswith("the margin contradicts the verdict")
    assert (left["count"], left["rows"]) == (2, [2, 3])
    _, judgments = records(tmp_path / "to")
    assert sorted(j.margin is None for j in judgments) == [False, False, True, True]


HELPSTEER = "prompt=item,response1=x,response2=y,overall_preference=score"


def test_raters_of_overall_preferences_are_read(tmp_path: Path):
    path = tmp_path / "t.csv"
    rows = [f"Question {n}?,Yes.,No.,-2,{who}" for n in range(4) for who in ("ann", "ben")]
    path.write_text("\n".join(["item,x,y,score,critic", *rows]) + "\n")
    columns = ("--format", "helpsteer3", "--columns")
    unnamed = summary_of(path, "--to", tmp_path / "one", *columns, HELPSTEER)
    assert (unnamed["judgments"], unnamed["perhaps_annotators"]) == (4, ["critic"])
    named = summary_of(path, "--to", tmp_path / "two", *columns, f"{HELPSTEER},annotator=critic")
    assert (named["judgments"], named["annotators"]) == (8, 2)


def test_a_format_without_annotators_does_not_advise_to_name_them(tmp_path: Path):
    path = tmp_path / "t.csv"
    rows = [f"Question {n}?,Yes.,No.,1,0,{who}" for n in range(4) for who in ("ann", "ben")]
    path.write_text("\n".join(["question,answer_0,answer_1,score_0,score_1,critic", *rows]) + "\n")
    summary = summary_of(path, "--to", tmp_path / "to", "--format", "webgpt")
    assert "critic" in summary["passed_over"]
    assert "perhaps_annotators" not in summary

"""Ratings of single answers: tables recognised, agreement, rules beside them, and pairs for an import."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from labelers.formats.source import Row
from publius.labels.ratings.measures import interval_alpha, rating_agreement
from publius.labels.ratings.pairing import UNPAIRED_RATING, ratings_in
from publius.labels.ratings.table import AnswerRatings, rating_columns, read_ratings
from tests.publius.invoking import here
from tests.publius.test_cli import mistakes

STARS = """\
Case\tGuest wrote\tBot wrote\tStars Ingrid\tStars Jonas\tStars Petra
3301\tIs the ferry at 10:30 cancelled?\tUnfortunately it is cancelled because of the weather.\t5\t4\t4
3303\tI paid 84 and the page says 79.\tWe are sorry. You will get five back.\t2\t1\t
3306\tYour staff was rude to my mother.\tWe are so sorry! What happened? Who was it?\t3\t2\t2
3309\tDo you have vegan food on board?\tYes, the cafe on deck five has two dishes.\t1\t1\t2
"""
RULES = """\
name: house
principles:
  - {id: no-unfortunately, text: No such word., check: {kind: contains_none, value: [unfortunately]}}
  - {id: one-question, text: At most one question., check: {kind: not_regex, value: '(?s)\\?.*\\?'}}
  - {id: kind, text: The reply is kind.}
"""
SEVERAL = """\
Case,Asked,Reply,Stars A,Stars B
1,How do I get to the ship?,Walk down to the pier please and wait.,5,4
2,How do I get to the ship?,No idea at all my friend really.,1,4
3,How do I get to the ship?,Take the bus number nine to the pier.,3,
4,Where can I buy a ticket?,Buy it on the web page of ours.,3,2
"""


@pytest.fixture
def stars(tmp_path: Path) -> Path:
    path = tmp_path / "what the bot wrote.csv"
    path.write_text(STARS, encoding="utf-16")
    (tmp_path / "rules.yaml").write_text(RULES)
    return path


def rated(case: str, **ratings: float) -> AnswerRatings:
    return AnswerRatings(case, "", "A reply.", ratings)


def test_a_table_with_a_column_for_each_rater_is_read(stars: Path):
    table = read_ratings(stars)
    assert table.columns.raters == ("Stars Ingrid", "Stars Jonas", "Stars Petra")
    assert (table.columns.prompt, table.columns.answer, table.columns.case) == (
        *("Guest wrote", "Bot wrote"),
        "Case",
    )
    assert [row.case for row in table.rows] == ["3301", "3303", "3306", "3309"]
    assert table.left_out == {"answers that Stars Petra did not rate": 1}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "How are you today, friend?", "reply": "Very well, and you, dear?", "words": "5"},
        {"prompt": "How are you today, friend?", "a": "Very well, and you?", "b": "Not so well today."},
        {"prompt": "How are you today, friend?", "reply": "Very well, and you?", "year": 2026, "ticket": 417},
        {"prompt": "How are you today, friend?", "reply": "Very well, and you?", "words": 4, "turns": 2},
        {"name": "Anna", "stars": 4},
    ],
)
def test_other_tables_are_no_ratings(row: dict[str, object]):
    assert rating_columns([row, row]) is None


def test_ones_and_twos_may_be_verdicts():
    row = {"prompt": "How are you today, friend?", "reply": "Very well, and you, dear?", "A": 1, "B": 2}
    assert rating_columns([row]) is not None
    assert ratings_in([Row(1, row)]) is None
    assert ratings_in([Row(1, {**row, "B": 4})]) is not None


def test_pairs_of_raters_count_what_both_rated():
    rows = [rated("1", a=5, b=4), rated("2", a=2, b=2), rated("3", a=1), rated("4", a=5, b=2)]
    found = rating_agreement(rows, ("a", "b"))
    (pair,) = found.pairs
    assert (pair.answers, pair.exact, pair.within_one) == (3, pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert pair.mean_difference == pytest.approx(4 / 3)
    assert [(rater.ratings, rater.mean) for rater in found.raters] == [(4, 3.25), (3, pytest.approx(8 / 3))]
    assert [one.case for one in found.divided] == ["4", "1"]


def test_alpha_is_that_of_the_reference_implementation():
    krippendorff = pytest.importorskip("krippendorff")
    generator = np.random.default_rng(7)
    units = [list(map(float, generator.integers(1, 6, size=size))) for size in (2, 3, 3, 1, 4, 2, 3)]
    data = np.array([unit + [np.nan] * (4 - len(unit)) for unit in units]).T
    expected = krippendorff.alpha(reliability_data=data, level_of_measurement="interval")
    found = interval_alpha(units)
    assert found is not None
    assert found.value == pytest.approx(expected)
    assert found.low <= found.value <= found.high


def test_alpha_is_1_where_raters_agree_and_undefined_without_differences():
    agreed = interval_alpha([[1, 1], [5, 5], [3, 3]])
    assert agreed is not None
    assert agreed.value == 1
    assert interval_alpha([[3, 3], [3, 3]]) is None
    assert interval_alpha([[3], [4]]) is None


def test_ratings_are_compared_with_the_checks_and_cases_are_named(stars: Path):
    done = here("agreement", stars, "--constitution", stars.parent / "rules.yaml", "--json")
    assert done.returncode == 0, done.stderr
    beside = json.loads(done.stdout)["beside_rules"]
    word, question = beside["rules"]
    assert (word["kept"], word["broken"]) == (3, 1)
    assert word["mean_broken"] == pytest.approx(13 / 3)
    assert word["liked_although_broken"] == word["broken_cases"] == ["3301"]
    assert question["broken_cases"] == ["3306"]
    assert question["liked_although_broken"] == []
    assert beside["disliked_although_kept"] == ["3303", "3309"]
    assert beside["without_check"] == ["kind"]
    text = here("agreement", stars, "--constitution", stars.parent / "rules.yaml").stdout
    assert "rated above 3 nevertheless: 3301" in text
    assert "Krippendorff's alpha (interval)" in text


def test_columns_are_named_by_options(tmp_path: Path):
    path = tmp_path / "t.csv"
    texts = "How are you today my friend?,Very well thank you my friend."
    path.write_text(f"q,r,x,y\n{texts},70,90\n{texts},10,30\n")
    names = "prompt=q,answer=r,rating=x,rating=y"
    found = json.loads(here("agreement", path, "--columns", names, "--json").stdout)
    assert [rater["mean"] for rater in found["raters"]] == [40, 60]
    (line,) = mistakes(here("agreement", path, "--columns", "answer=r,rating=z"))
    assert "no column 'z'" in line
    (line,) = mistakes(here("agreement", path))
    assert "neither a folder of labels nor a table of ratings; its columns: q, r, x, y" in line


@pytest.mark.parametrize("format", ["auto", "rankings", "pairs"])
def test_an_import_of_single_answers_names_the_command_that_reads_them(stars: Path, format: str):
    (line,) = mistakes(here("import", "labels", stars, "--to", stars.parent / "people", "--format", format))
    assert "ratings of single answers" in line
    assert "Stars Ingrid, Stars Jonas, Stars Petra" in line
    assert "run: publius agreement" in line
    assert "machines" not in line
    assert not (stars.parent / "people").exists()


def test_answers_to_one_prompt_become_pairs_of_each_rater(tmp_path: Path):
    (tmp_path / "several.csv").write_text(SEVERAL)
    done = here("import", "labels", tmp_path / "several.csv", "--to", tmp_path / "people", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["comparisons"], found["judgments"], found["annotators"]) == (3, 4, 2)
    assert found["verdicts"] == {"a": 2, "b": 1, "tie": 1}
    assert UNPAIRED_RATING in done.stdout
    assert found["passed_over"] == ["Case"]


def test_decimal_commas_are_ratings_and_thousands_are_none(tmp_path: Path):
    path = tmp_path / "stars.csv"
    rows = [("4,5", "4"), ("2", "1,5"), ("3", "1,000")]
    lines = [f"Is it number {n} today?;It is number {n} today.;{a};{b}" for n, (a, b) in enumerate(rows)]
    path.write_text("\n".join(["Guest wrote;Bot wrote;Stars Ingrid;Stars Jonas", *lines]))
    names = ["prompt=Guest wrote,answer=Bot wrote,rating=Stars Ingrid,rating=Stars Jonas"]
    found = read_ratings(path, names)
    assert [row.ratings.get("Stars Jonas") for row in found.rows] == [4, 1.5, None]
    assert found.rows[0].ratings["Stars Ingrid"] == 4.5
    assert found.decimal_commas == ("Stars Ingrid", "Stars Jonas")
    reason = "ratings of Stars Jonas that may be in thousands or have a decimal comma"
    assert found.left_out == {reason: 1}

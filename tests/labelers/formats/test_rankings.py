"""Rankings and ratings of several answers as pairs that count once together."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from core.errors import RequestError
from core.records import Candidate, Message
from labelers.formats.opinions import Opinion
from labelers.formats.rankings import MAX_ANSWERS, Ranked, Rankings, RatedAnswer, pairs_of
from tests.labelers.formats.reading import Imported, given, imported, rows_of

PROMPT = (Message(role="user", content="Name a bird."),)
BY = Opinion(verdict="tie", annotator="r-1")


def ranked(*scored: tuple[str, float], margins: bool = False, by: Opinion = BY) -> Ranked:
    answers = [RatedAnswer(Candidate(text, ""), score) for text, score in scored]
    return pairs_of(PROMPT, answers, by, margins=margins)


def table(found: Ranked) -> dict[tuple[str, str], tuple[str, float | None]]:
    return {
        (p.first.response, p.second.response): (p.opinions[0].verdict, p.opinions[0].margin)
        for p in found.pairs
    }


def test_four_answers_make_six_pairs_of_a_sixth_each():
    found = ranked(("w", -1), ("x", -2), ("y", -2), ("z", -4))
    assert [p.opinions[0].weight for p in found.pairs] == [float(Fraction(1, 6))] * 6
    assert {p.weight for p in found.pairs} == {1 / 6}
    assert table(found) == {
        ("w", "x"): ("first", None),
        ("w", "y"): ("first", None),
        ("w", "z"): ("first", None),
        ("x", "y"): ("tie", None),
        ("x", "z"): ("first", None),
        ("y", "z"): ("first", None),
    }


def test_ratings_have_their_difference_as_margin():
    assert table(ranked(("x", 4.5), ("y", 2), ("z", 4.5), margins=True)) == {
        ("x", "y"): ("first", 2.5),
        ("x", "z"): ("tie", 0.0),
        ("y", "z"): ("second", -2.5),
    }


def test_all_pairs_of_a_ranking_bear_its_group_and_another_ranking_has_another():
    one, other = ranked(("x", 1), ("y", 2), ("z", 3)), ranked(("x", 1), ("y", 2), ("z", 0))
    groups = [{p.opinions[0].group for p in found.pairs} for found in (one, other)]
    assert [len(group) for group in groups] == [1, 1]
    assert groups[0] != groups[1]
    assert {p.group for p in one.pairs} == {p.group for p in other.pairs}  # the same set of answers


def test_an_answer_that_stands_twice_counts_once():
    found = ranked(("x", 3), ("x", 3), ("y", 1))
    assert table(found) == {("x", "y"): ("first", None)}
    assert [(p.opinions[0].weight, p.weight) for p in found.pairs] == [(1.0, None)]
    assert len(found.skipped) == 2


@pytest.mark.parametrize("count", [0, 1, MAX_ANSWERS + 1])
def test_too_few_or_too_many_answers_are_refused(count: int):
    with pytest.raises(RequestError, match="needs 2 to 64"):
        ranked(*((str(n), n) for n in range(count)))


@pytest.fixture
def labels(tmp_path: Path) -> Imported:
    return imported(rows_of("rankings.jsonl"), tmp_path)


def test_every_pair_of_the_fixture_counts(labels: Imported):
    # 3 answers, 4, 3, 2, 2 that are rated of 3, and 2 that differ of 3
    assert len(labels.judgments) == 3 + 6 + 3 + 1 + 1 + 1
    assert sum(judgment.weight for judgment in labels.judgments) == pytest.approx(6)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"completions": [{"text": "x", "overall_score": None}, {"text": "y", "overall_score": None}]},
         "the field 'overall_score' is missing or empty in every answer"),
        ({"responses": ["x", "y"], "ratings": None}, "the field 'ratings' is missing or empty"),
        ({"responses": ["x", "y"], "rank": ""}, "the field 'rank' is missing or empty"),
        ({"responses": ["x", "y"]}, "the field 'ranks' is missing or empty"),
    ],
)  # fmt: skip
def test_a_missing_score_is_named_as_the_file_names_it(row: dict[str, Any], expected: str, tmp_path: Path):
    labels = imported(given({"prompt": "p", **row}), tmp_path, Rankings())
    assert labels.reason(1) == expected


def test_an_answer_without_its_own_score_is_skipped_and_not_the_ranking(tmp_path: Path):
    scores = (4, None, 2)
    answers = [{"text": f"Answer {n}.", "overall_score": score} for n, score in enumerate(scores)]
    labels = imported(given({"prompt": "p", "completions": answers}), tmp_path, Rankings())
    assert [abs(judgment.margin or 0) for judgment in labels.judgments] == [2]
    assert labels.tally.skipped["an answer has no rank or rating"].detail == "response 2"


def test_who_ranked_and_in_which_respect_is_kept(labels: Imported):
    (judgment,) = [j for j in labels.judgments if j.dimension]
    assert (judgment.dimension, judgment.annotator, abs(judgment.margin or 0)) == ("style", "r-2", 2.5)
    comparison = labels.comparisons[judgment.comparison_id]
    assert {comparison.origin_a, comparison.origin_b} == {"m-one", "m-two"}


def test_two_people_who_rank_alike_both_count(tmp_path: Path):
    row = {"prompt": "Name a bird.", "responses": ["x", "y", "z"], "ranks": [1, 2, 3]}
    labels = imported(given({**row, "annotator": "one"}, {**row, "annotator": "two"}), tmp_path)
    assert (labels.tally.comparisons, labels.tally.judgments) == (3, 6)


def test_lists_may_be_json_in_a_cell(tmp_path: Path):
    row = {"prompt": "Name a bird.", "responses": '["x", "y"]', "ranks": "[2, 1]", "tags": "birds, short"}
    labels = imported(given(row), tmp_path)
    (comparison,) = labels.comparisons.values()
    assert comparison.prompt.tags == ("birds", "short")
    assert labels.tally.judgments == 1

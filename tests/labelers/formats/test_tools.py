"""Exports of labeling tools: annotator, time, duration, comment; statuses, skips and drafts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.records import Judgment
from tests.labelers.formats.reading import Imported, given, imported, rows_of


@pytest.fixture
def studio(tmp_path: Path) -> Imported:
    return imported(rows_of("label_studio.json"), tmp_path)


@pytest.fixture
def argilla(tmp_path: Path) -> Imported:
    return imported(rows_of("argilla.json"), tmp_path)


def by_annotator(judgments: list[Judgment]) -> dict[str | None, Judgment]:
    return {judgment.annotator: judgment for judgment in judgments}


def record(value: Any, *, fields: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    response = {"value": value, "user_id": "u1", "status": "submitted"}
    answers = {"response-1": "One.", "response-2": "Two."} if fields is None else fields
    return {"fields": {"prompt": "Name a bird.", **answers}, "responses": {"preference": [response]}, **more}


# Label Studio


def test_annotators_are_numbers_or_objects(studio: Imported):
    found = by_annotator(studio.on("ink"))
    assert found.keys() == {"3", "bo@example.org"}
    assert found["3"].comment == "Shorter."
    assert found["bo@example.org"].comment is None


def test_time_and_duration_are_kept(studio: Imported):
    judgment = by_annotator(studio.on("ink"))["3"]
    assert judgment.duration_s == 12.5
    assert judgment.created == datetime(2024, 3, 1, 9, 30, tzinfo=UTC)


def test_a_cancelled_annotation_is_a_skip(studio: Imported):
    found = by_annotator(studio.on("swifts"))
    assert (found["5"].verdict, found["5"].p_a) == ("skip", None)


def test_ratings_of_both_answers_are_a_preference_with_a_margin(studio: Imported):
    (judgment,) = studio.on("sea salty")
    assert abs(judgment.margin or 0) == 2
    assert judgment.verdict in ("a", "b")


def test_predictions_are_not_annotations(studio: Imported):
    # Each task of the fixture has one, for the right answer.
    assert studio.tally.dropped["the task has no annotations"].rows == [9]


def test_two_questions_are_two_dimensions(tmp_path: Path):
    def result(name: str, side: str) -> dict[str, Any]:
        return {"from_name": name, "to_name": "l,r", "type": "pairwise", "value": {"selected": side}}

    task = {
        "data": {"prompt": "Name a bird.", "response1": "One.", "response2": "Two."},
        "annotations": [{"completed_by": 1, "result": [result("kind", "left"), result("true", "right")]}],
    }
    labels = imported(given(task), tmp_path)
    assert {j.dimension for j in labels.judgments} == {"kind", "true"}
    assert len({j.verdict for j in labels.judgments}) == 2


def test_plain_controls_have_no_dimension_and_must_agree(tmp_path: Path):
    def task(*said: tuple[str, dict[str, Any]]) -> dict[str, Any]:
        results = [{"from_name": name, "to_name": "l,r", "type": "x", "value": value} for name, value in said]
        return {
            "data": {"prompt": "Name a bird.", "response1": "One.", "response2": "Two."},
            "annotations": [{"completed_by": 1, "result": results}],
        }

    left, tie = {"selected": "left"}, {"choices": ["tie"]}
    labels = imported(
        given(
            task(("comparison", left)),
            task(("otherwise", tie)),
            task(("comparison-tone", left), ("otherwise-truth", tie)),
            task(("comparison", left), ("otherwise", tie)),
        ),
        tmp_path,
    )
    assert [j.dimension for j in labels.judgments] == [None, None, "tone", "truth"]
    assert labels.reason(4) == "two controls contradict each other"


def test_json_min_has_one_annotation_a_row(tmp_path: Path):
    labels = imported(rows_of("label_studio_min.json"), tmp_path)
    found = by_annotator(labels.judgments)
    assert found.keys() == {"1", "2", "c@example.org"}
    judged = labels.on("ink")
    assert {j.duration_s for j in judged} == {4.2, 3.0}
    assert {j.comment for j in judged} == {"Because.", None}


# Argilla


def test_comments_belong_to_the_user_who_wrote_them(argilla: Imported):
    found = by_annotator(argilla.on("ink"))
    assert found["u2"].comment is None
    assert any(j.comment == "Clearer." for j in argilla.on("ink"))


def test_discarded_is_a_skip_and_a_draft_is_left_out(argilla: Imported):
    assert by_annotator(argilla.on("swifts"))["u2"].verdict == "skip"
    assert "u3" not in by_annotator(argilla.on("ink"))
    assert argilla.tally.skipped["the response was not submitted"].rows == [1]


def test_ranks_keep_their_ties_and_ordered_lists_are_noted(argilla: Imported):
    assert [j.verdict for j in argilla.on("boil an egg")].count("tie") == 1
    assert [j.verdict for j in argilla.on("sea salty")].count("tie") == 0
    (note,) = argilla.tally.notes
    assert "does not preserve ties" in note
    assert argilla.tally.notes[note].rows == [6]


def test_ratings_of_each_answer_are_one_preference(argilla: Imported):
    (judgment,) = argilla.on("keep a fox")
    assert abs(judgment.margin or 0) == 3
    assert judgment.dimension is None


def test_ratings_in_two_respects_are_two_dimensions(tmp_path: Path):
    def response(value: int) -> list[dict[str, Any]]:
        return [{"value": value, "user_id": "u1", "status": "submitted"}]

    responses = {
        "response_a_helpfulness": response(5),
        "response_b_helpfulness": response(3),
        "response_a_safety": response(1),
        "response_b_safety": response(4),
    }
    row = {"fields": {"prompt": "p", "response_a": "One.", "response_b": "Two."}, "responses": responses}
    labels = imported(given(row), tmp_path)
    margins = {j.dimension: abs(j.margin or 0) for j in labels.judgments}
    assert margins == {"helpfulness": 2, "safety": 3}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (["response-1"], "needs 2 to 64 answers"),
        (["response-1", "response-1"], "has a duplicate answer"),
        (["response-1", "response-9"], "does not name an answer"),
        ({"a": 1}, "is not recognised"),
        (["response-1", {"value": "response-2", "rank": "first"}], "a rank is not a number"),
    ],
)
def test_an_answer_that_cannot_be_read_has_its_reason(value: Any, reason: str, tmp_path: Path):
    assert reason in imported(given(record(value)), tmp_path).reason(1)


def test_a_label_chooses_between_two_only(tmp_path: Path):
    fields = {"response-1": "One.", "response-2": "Two.", "response-3": "Three."}
    labels = imported(given(record("response-1", fields=fields)), tmp_path)
    assert "exactly two answers" in labels.reason(1)


def test_ten_answers_stand_in_the_order_of_their_numbers(tmp_path: Path):
    fields = {f"generation-{n}": f"Text {n}." for n in range(11)}
    labels = imported(given(record([f"generation-{n}" for n in range(11)], fields=fields)), tmp_path)
    assert labels.tally.judgments == 55


# Annotated pairs


def test_people_and_principles_stay_apart(tmp_path: Path):
    labels = imported(rows_of("icai.json"), tmp_path)
    found = by_annotator(labels.on("ink"))
    assert found.keys() == {None, "dana", "p1"}
    assert found["p1"].dimension == "Select the shorter one."
    (unparsed,) = [j for j in labels.judgments if j.verdict == "unparsed"]
    assert (unparsed.p_a, unparsed.raw) == (None, "invalid")
    (skipped,) = [j for j in labels.judgments if j.verdict == "skip"]
    assert skipped.annotator == "p1"


def test_every_annotator_of_the_table_has_a_column(tmp_path: Path):
    labels = imported(rows_of("icai.csv"), tmp_path)
    assert by_annotator(labels.on("ink")).keys() == {None, "carol"}
    assert by_annotator(labels.on("almanac")).keys() == {"carol"}

"""Published data sets: their pitfalls, and that no label is lost or invented."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.labelers.formats.reading import Imported, given, imported, rows_of


def read(name: str, folder: Path) -> Imported:
    return imported(rows_of(name), folder)


# hh-rlhf


def test_a_speakers_name_inside_text_is_text(tmp_path: Path):
    labels = read("hh_rlhf.jsonl", tmp_path)
    (comparison,) = [
        c for c in labels.comparisons.values() if len(c.prompt.messages) == 3 and "note" in str(c)
    ]
    assert (
        comparison.prompt.messages[0].content == 'Hello. My note says "Human: call back" and Assistant: too.'
    )


def test_roles_that_do_not_alternate_are_kept_and_noted(tmp_path: Path):
    labels = read("hh_rlhf.jsonl", tmp_path)
    assert labels.tally.notes["two consecutive turns have the same role"].rows == [9]
    assert labels.tally.notes["a turn before the answer is empty"].rows == [10]


# HHH


def test_the_options_order_is_the_order_shown(tmp_path: Path):
    labels = read("hhh.jsonl", tmp_path)
    assert all(judgment.shown_first for judgment in labels.judgments)
    assert {c.prompt.tags for c in labels.comparisons.values()} == {(), ("honest",)}


# TRL


def test_margin_probability_and_weight_are_kept(tmp_path: Path):
    labels = read("trl.jsonl", tmp_path)
    margins = sorted(abs(j.margin) for j in labels.judgments if j.margin is not None)
    assert margins == [0.5, 2.0, 2.5]  # given, given as text, and of two scores
    (soft,) = [j for j in labels.judgments if j.weight == 0.5]
    assert soft.p_a in (0.8, pytest.approx(0.2))
    (tagged,) = [c for c in labels.comparisons.values() if c.prompt.tags]
    assert tagged.prompt.tags == ("kitchen", "own")


def test_pairs_of_lists_of_answers_are_votes_and_together_one_pair_in_training(tmp_path: Path):
    row = {"prompt": "p", "chosen": ["good"], "rejected": ["bad", "worse", "worst"]}
    labels = imported(given(row), tmp_path)
    assert [judgment.weight for judgment in labels.judgments] == [1.0] * 3
    assert [comparison.weight for comparison in labels.comparisons.values()] == [1 / 3] * 3


# UltraFeedback


def test_an_overall_score_of_ten_that_was_one_is_mended(tmp_path: Path):
    labels = read("ultrafeedback.jsonl", tmp_path)
    (judgment,) = [j for j in labels.on("leap second") if j.dimension == "overall"]
    assert abs(judgment.margin or 0) == 6  # 1 against 7, not 10
    (note,) = labels.tally.notes
    assert note.startswith("an overall score of 10")


def test_a_ten_beside_good_ratings_stays_ten(tmp_path: Path):
    def completion(text: str, score: float, rating: str) -> dict[str, object]:
        names = ("helpfulness", "honesty", "instruction_following", "truthfulness")
        ratings = {name: {"Rating": rating} for name in names}
        return {"model": "m", "response": text, "annotations": ratings, "overall_score": score}

    row = {"instruction": "Name a bird.", "completions": [completion("x", 10, "5"), completion("y", 7, "4")]}
    labels = imported(given(row), tmp_path)
    assert labels.tally.notes == {}
    (judgment,) = [j for j in labels.judgments if j.dimension == "overall"]
    assert abs(judgment.margin or 0) == 3


def test_four_completions_are_six_pairs_in_five_respects(tmp_path: Path):
    labels = read("ultrafeedback.jsonl", tmp_path)
    found = labels.on("ink")
    assert len(found) == 30
    assert len({j.comparison_id for j in found}) == 6
    assert len({j.group for j in found}) == 5
    assert {j.model for j in found} == {None}  # nobody says who rated


def rated(source: str, **fields: object) -> dict[str, object]:
    def completion(text: str, rating: str) -> dict[str, object]:
        return {"model": text, "response": text, "annotations": {"tone": {"Rating": rating}}, **fields}

    listed = [completion("x", "5"), completion("y", "4"), completion("z", "N/A")]
    return {"source": source, "instruction": "Name a bird.", "completions": listed}


@pytest.mark.parametrize(
    ("source", "fields", "model"),
    [
        ("evol_instruct", {"custom_system_prompt": "Be helpful."}, "gpt-4"),
        ("evol_instruct", {}, None),
        ("tripp", {"custom_system_prompt": "Be helpful."}, None),
    ],
)
def test_only_the_published_ratings_are_by_their_model(
    tmp_path: Path, source: str, fields: dict[str, object], model: str | None
):
    labels = imported(given(rated(source, **fields)), tmp_path)
    assert [(j.model, j.dimension) for j in labels.judgments] == [(model, "tone")]


def test_aspects_that_a_file_does_not_have_are_not_counted(tmp_path: Path):
    row = rated("own")
    for completion in row["completions"][:2]:  # type: ignore[index]
        completion["annotations"]["honesty"] = {"Rating": "3"}
    labels = imported(given(row), tmp_path)
    assert {reason: found.count for reason, found in labels.tally.skipped.items()} == {
        "a rating is not a number": 1,
        "a completion has no rating in an aspect that others are rated in": 1,
    }
    assert {j.dimension for j in labels.judgments} == {"tone", "honesty"}


# Arena


def test_judges_sessions_and_times_are_kept(tmp_path: Path):
    labels = read("arena.jsonl", tmp_path)
    (judgment,) = labels.on("ink")
    assert judgment.annotator == "arena_user_1"
    assert judgment.created == datetime.fromtimestamp(1682351591.13, UTC)
    assert {j.annotator for j in labels.judgments} == {"arena_user_1", "s-1", "expert_3"}


def test_tie_and_both_bad_are_different_verdicts(tmp_path: Path):
    labels = read("arena.jsonl", tmp_path)
    assert {j.p_a for j in labels.judgments if j.verdict == "tie"} == {0.5}
    assert {j.p_a for j in labels.judgments if j.verdict == "both_bad"} == {None}


# HelpSteer


def test_neighbours_of_one_prompt_are_compared_in_three_respects(tmp_path: Path):
    labels = read("helpsteer2.jsonl", tmp_path)
    assert {j.dimension for j in labels.judgments} == {"helpfulness", "correctness", "coherence"}
    assert {j.weight for j in labels.on("ink")} == {1.0}
    assert labels.tally.kept == 7  # rows 1 to 4 and 12 to 14


def test_rows_of_a_prompt_that_stand_apart_are_not_gathered(tmp_path: Path):
    def row(prompt: str, text: str) -> dict[str, object]:
        return {"prompt": prompt, "response": text, "helpfulness": 1, "correctness": 1, "coherence": 1}

    labels = imported(given(row("p", "x"), row("q", "y"), row("p", "z")), tmp_path)
    assert labels.tally.dropped["the adjacent rows have no second response to the prompt"].count == 3


def test_turns_in_one_text_become_messages(tmp_path: Path):
    labels = read("helpsteer2.jsonl", tmp_path)
    (comparison,) = [c for c in labels.comparisons.values() if len(c.prompt.messages) == 3]
    assert [m.content for m in comparison.prompt.messages] == [
        "Name a bird.",
        "The swift.",
        "Where does it sleep?",
    ]


def test_each_person_behind_a_preference_is_a_judgment(tmp_path: Path):
    labels = read("helpsteer3.jsonl", tmp_path)
    found = labels.on("ink")
    assert sorted(abs(j.margin or 0) for j in found) == [1, 2, 3]
    assert len({j.annotator for j in found}) == 3
    assert labels.tally.annotators == set()  # they have no names of their own
    assert {j.comment for j in found} == {"It is clearer."}
    (overall,) = labels.on("leap second")
    assert overall.annotator is None  # no annotator is listed, so the overall preference counts


def test_minus_one_hundred_is_both_bad(tmp_path: Path):
    labels = read("helpsteer2_preferences.jsonl", tmp_path)
    (judgment,) = [j for j in labels.judgments if j.verdict == "both_bad"]
    assert judgment.comment == "Neither is valid."
    assert judgment.margin is None


# PKU-SafeRLHF


def test_better_and_safer_are_two_dimensions(tmp_path: Path):
    labels = read("pku_saferlhf.jsonl", tmp_path)
    found = {j.dimension: j for j in labels.on("ink")}
    assert found.keys() == {"helpfulness", "safety"}
    assert {found["helpfulness"].verdict, found["safety"].verdict} == {"a", "b"}
    assert abs(found["safety"].margin or 0) == 2
    assert found["helpfulness"].margin is None


def test_equal_severities_give_no_margin(tmp_path: Path):
    labels = read("pku_saferlhf.jsonl", tmp_path)
    assert all(j.margin is None for j in labels.on("raw dough"))

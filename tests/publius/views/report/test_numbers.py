"""Every number of a report is computed again from the record files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from publius.views.report.figures import Figure, shown_number
from tests.publius.views.report import recompute
from tests.publius.views.report.projects import ReadPage


def assert_equal(page: ReadPage, expected: dict[str, recompute.Row]) -> None:
    """Assert that the page has the expected numbers, all of them and no others."""
    # Phrases that spread are shown as the evaluation's file lists them.
    figures = {name: one for name, one in page.figures.items() if ".eval.drift." not in name}
    assert sorted(figures.keys() ^ expected.keys()) == []
    for name, figure in figures.items():
        for field, value in expected[name].items():
            assert figure.get(field, "") == pytest.approx(value, rel=1e-6, abs=1e-9), f"{field} of {name}"


def test_all_numbers_of_a_run_with_trainings_follow_from_its_records(
    recorded_run: Path, recorded_page: ReadPage
):
    expected = recompute.of_run(recorded_run) | recompute.shown_prompts([recorded_run])
    # The version that made the run did not measure whether answers are nearly the same.
    known = {name: row for name, row in expected.items() if ".sameness" not in name}
    assert_equal(recorded_page, known)


def test_all_numbers_of_several_runs_follow_from_their_records(wordings: list[Path], wordings_page: ReadPage):
    expected = recompute.shown_prompts(wordings)
    for folder in wordings:
        expected |= recompute.of_run(folder)
    expected |= recompute.comparison({"A": wordings[:2], "B": wordings[2:]})
    expected |= recompute.preferences(wordings[0], wordings[2])
    assert_equal(wordings_page, expected)
    assert expected[f"compare.preferences.{wordings[0].name}.{wordings[2].name}.flipped"]["value"] > 0


def test_every_number_that_is_shown_is_embedded_and_rounded_from_it(
    recorded_page: ReadPage, wordings_page: ReadPage
):
    for page in (recorded_page, wordings_page):
        assert len(page.shown) > 200
        for name, value, text in page.shown:
            figure = page.figures[name]
            assert value == figure["value"]
            unit, is_difference = figure.get("unit", ""), name.endswith(".delta")
            full = shown_number(value, unit, is_difference=is_difference)
            assert text in (full, Figure(name, value, unit, is_difference=is_difference).bare)


def test_answers_of_the_page_are_those_of_the_records(recorded_run: Path, recorded_page: ReadPage):
    data = recorded_page.blocks["data"]
    checks = recompute.checks_of(recorded_run)
    records = recompute.rows_of(recorded_run / "answers.jsonl")
    found = {
        (data["columns"][answer["c"]]["origin"], prompt["id"]): answer
        for prompt in data["prompts"]
        for answer in prompt["answers"]
    }
    assert {(one["variant"], one["prompt"]["id"]) for one in records} <= found.keys()
    for one in records:
        answer, text = found[one["variant"], one["prompt"]["id"]], one["generation"]["text"]
        assert data["texts"][answer["t"]] == text
        assert answer["words"] == recompute.count_words(text)
        assert answer.get("cut", False) == (one["generation"]["finish_reason"] == "length")
        passed = {data["principles"][int(number)]: ok for number, ok in answer["checks"].items()}
        assert passed == {name: int(recompute.passes(check, text)) for name, check in checks.items()}


def test_plots_are_drawn_from_the_records(recorded_run: Path, recorded_page: ReadPage):
    label, series = recorded_run.name, recorded_page.series
    steps = recompute.rows_of(recorded_run / "dpo" / "metrics.jsonl")
    assert series[f"{label}.training.dpo.loss"] == [row["loss"] for row in steps if "loss" in row]
    by_prompt = recompute.by_prompt(recorded_run)
    for variant in ("base", "dpo"):
        assert sorted(series[f"{label}.eval.{variant}.words"]) == sorted(by_prompt[variant, "words"].values())
    preferences = recompute.rows_of(recorded_run / "preferences.jsonl")
    counts, _ = np.histogram([one["p_chosen"] for one in preferences], 10, (0.5, 1.0))
    assert series[f"{label}.labels.certainty"] == counts.tolist()
    orders = [o["orders"] for o in recompute.rows_of(recorded_run / "judgments.jsonl") if o.get("orders")]
    slots = np.clip([(one["a_first"] - one["b_first"]) / 2 for one in orders], -6, 6)
    assert series[f"{label}.labels.slots"] == np.histogram(slots, 24, (-6, 6))[0].tolist()


@pytest.mark.parametrize(
    ("value", "unit", "is_difference", "text"),
    [
        (0.7708, "share", False, "77.1 %"),
        (-0.39, "share", True, "−39.0 points"),
        (0.0, "share", True, "0.0 points"),
        (1234, "count", False, "1,234"),
        (125.2, "s", False, "2 min 5 s"),
        (0.04, "s", False, "0.0 s"),
        (3 * 3600 + 605, "s", False, "3 h 10 min"),
        (1.5, "words", False, "1.5 words"),
        (0.12345, "nats", True, "+0.123 nats"),
        (2e-5, "", False, "2.00e-05"),
        (float("nan"), "", False, "not a number"),
    ],
)
def test_numbers_are_shown_with_their_unit(value: float, unit: str, is_difference: bool, text: str):
    assert shown_number(value, unit, is_difference=is_difference) == text

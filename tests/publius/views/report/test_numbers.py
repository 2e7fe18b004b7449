"""Every number of a report is computed again from the record files."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest

from core.errors import DataError
from publius.views.report.figures import Figure, shown_number
from tests.publius.views.report import recompute, relabelled
from tests.publius.views.report.projects import STOCK_PHRASE, ReadPage, page_of, with_forward_passes


def assert_equal(page: ReadPage, expected: dict[str, recompute.Row]) -> None:
    """Assert that the page has the expected numbers, all of them and no others."""
    assert sorted(page.figures.keys() ^ expected.keys()) == []
    for name, figure in page.figures.items():
        assert_figure(name, figure, dict(expected[name]))


def assert_figure(name: str, figure: dict[str, Any], expected: recompute.Row) -> None:
    """Assert that a figure has the expected fields; a p-value of random draws is near that of all choices."""
    draws, is_p_value = expected.pop("draws", None), name.endswith(".p_value")
    assert ("p_value" in figure) == ("p_value" in expected), f"p-value of {name}"
    for field, value in expected.items():
        near = 1e-9
        if draws and (is_p_value or field == "p_value"):
            near = recompute.error_of_draws(value, draws)
        assert figure.get(field, "") == pytest.approx(value, rel=1e-6, abs=near), f"{field} of {name}"


def test_all_numbers_of_a_run_with_trainings_follow_from_its_records(
    recorded_run: Path, recorded_page: ReadPage
):
    expected = recompute.of_run(recorded_run) | recompute.shown_prompts([recorded_run])
    expected |= dict(relabelled.quality(recorded_run))
    # The version that made the run did not measure whether answers are nearly the same.
    known = {name: row for name, row in expected.items() if ".sameness" not in name}
    assert_equal(recorded_page, known)


def test_all_numbers_of_several_runs_follow_from_their_records(wordings: list[Path], wordings_page: ReadPage):
    expected = recompute.shown_prompts(wordings)
    for folder in wordings:
        expected |= recompute.of_run(folder) | dict(relabelled.quality(folder))
    groups = {"A": wordings[:2], "B": wordings[2:]}
    expected |= recompute.comparison(groups) | recompute.flips(groups)
    assert_equal(wordings_page, expected)
    pairs = list(zip(groups["A"], groups["B"], strict=True))
    for kind in ("flipped", "compared"):
        by_seed = [expected[f"compare.preferences.{a.name}.{b.name}.{kind}"]["value"] for a, b in pairs]
        assert min(by_seed) > 0
        assert expected[f"compare.flips.A.B.{kind}"]["value"] == sum(by_seed)


def test_edited_principle_that_nothing_measures_is_named(wordings_page: ReadPage):
    text = " ".join(" ".join(wordings_page.prose).split())
    assert "plain : not measured: it has no machine check, and no judge rated it" in text
    assert wordings_page.figures["compare.flips.A.A.compared"]["value"] == 0
    assert "no reference for noise: no two seeds of a group share a pair of answers" in text


@pytest.mark.usefixtures("no_plots")
def test_seeds_that_change_nothing_are_said_to_and_show_the_noise_of_flips(
    wordings: list[Path], tmp_path: Path
):
    again = tmp_path / "again"
    shutil.copytree(wordings[0], again)
    manifest = recompute.json_of(again / "manifest.json")
    (again / "manifest.json").write_text(json.dumps(manifest | {"seed": 7}))
    page = page_of([wordings[0], again], tmp_path / "report.html")
    text = " ".join(" ".join(page.prose).split())
    assert "All seeds of a group gave the same value of every measure" in text
    assert "the reference for noise: what another seed flips under the same wording" in text
    pairs = len(recompute.rows_of(again / "preferences.jsonl"))
    assert page.figures["compare.flips.A.A.compared"]["value"] == pairs
    share = page.figures["compare.flips.A.A.share"]
    assert share["value"] == 0 < share["high"] < 0.5  # none seen is not none at all


@pytest.mark.usefixtures("no_plots")
def test_runs_without_an_evaluation_say_what_to_run(wordings: list[Path], tmp_path: Path):
    runs = [tmp_path / "first", tmp_path / "second"]
    for source, run in zip((wordings[0], wordings[2]), runs, strict=True):
        shutil.copytree(source, run)
        shutil.rmtree(run / "eval")
    page = page_of(runs, tmp_path / "report.html")
    text = " ".join(" ".join(page.prose).split())
    assert "No run was evaluated, so nothing was measured" in text
    assert "not measured: no run was evaluated (publius eval)" in text
    assert "no reference for noise: no group has two seeds" in text
    assert page.figures["compare.flips.A.B.compared"]["value"] > 0


@pytest.mark.usefixtures("no_plots")
def test_phrases_that_spread_follow_from_the_answers(stock: Path, tmp_path: Path):
    page = page_of([stock], tmp_path / "report.html")
    expected = dict(recompute.spread(stock.name, stock))
    drift = {name: one for name, one in page.figures.items() if ".eval.drift." in name}
    assert sorted(drift.keys() ^ expected.keys()) == []
    for name, figure in drift.items():
        assert_figure(name, figure, expected[name])
    assert expected[f"{stock.name}.eval.drift.phrases.prompted.found"]["value"] > 0
    text = " ".join(text.strip() for text in page.prose).casefold()
    assert STOCK_PHRASE.casefold().rstrip(".") in text


@pytest.mark.usefixtures("no_plots")
def test_kl_losses_and_win_rates_of_several_runs_are_paired_by_prompt(wordings: list[Path], tmp_path: Path):
    runs = [with_forward_passes(folder, tmp_path / folder.name, n == 2) for n, folder in enumerate(wordings)]
    page = page_of(runs, tmp_path / "report.html")
    expected = recompute.comparison({"A": runs[:2], "B": runs[2:]})
    names = [name for name in expected if re.search(r"\.(kl|neutral_loss|win_rate)\.", name)]
    assert len(names) == 3 * (4 + 2 + 1) + (4 + 2 + 1)  # neutral loss of base, too
    for name in names:
        assert_figure(name, page.figures[name], expected[name])
    text = " ".join(page.prose)
    assert "(means only)" in text  # the ratio of lengths
    assert "All seeds of a group gave" not in text  # the KL divergence and the losses are by chance
    assert page.figures["compare.prompted.kl.A"]["n"] == 15  # one answer is empty in one run
    assert page.figures["compare.prompted.neutral_loss.A"]["n"] == 6  # texts, not prompts


@pytest.mark.usefixtures("no_plots")
def test_runs_without_values_by_prompt_are_compared_by_their_means(wordings: list[Path], tmp_path: Path):
    runs = [with_forward_passes(folder, tmp_path / folder.name) for folder in wordings]
    (runs[1] / "eval" / "series.jsonl").unlink()  # made by an older version
    page = page_of(runs, tmp_path / "report.html")
    kl = page.figures["compare.prompted.kl.A"]
    assert "low" not in kl
    assert kl["value"] == pytest.approx(
        fmean(page.figures[f"compare.prompted.kl.{run.name}"]["value"] for run in runs[:2])
    )
    assert "compare.prompted.kl.B.delta" not in page.figures
    assert page.figures["compare.prompted.compliance.B.delta"]["n"] == 16


@pytest.mark.usefixtures("no_plots")
def test_damaged_values_by_prompt_are_an_error_that_names_the_line(wordings: list[Path], tmp_path: Path):
    run = with_forward_passes(wordings[0], tmp_path / "run")
    with (run / "eval" / "series.jsonl").open("a") as file:
        file.write('{"variant": "dpo"}\n')
    with pytest.raises(DataError, match="not a series of values") as raised:
        page_of([run], tmp_path / "report.html")
    assert "series.jsonl:" in str(raised.value)


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


def test_plots_of_labels_are_drawn_from_the_records(
    recorded_run: Path, recorded_page: ReadPage, wordings: list[Path], wordings_page: ReadPage
):
    labels, found = relabelled.Labels(wordings[0]), []
    for one in labels.judgments:
        words, longer = labels.words(one["comparison_id"]), labels.longer(one["comparison_id"])
        if one["labeler"] == "ai" and longer and min(words):
            found.append((max(words) / min(words), one["p_a"] if longer == "a" else 1 - one["p_a"]))
    assert 20 <= len(found) < 40  # one step
    for column, value in (("ratio", fmean(r for r, _ in found)), ("p", fmean(p for _, p in found))):
        assert wordings_page.series[f"{labels.prefix}.length.{column}"] == [pytest.approx(value)]
    bins = recompute.json_of(recorded_run / "reward" / "reward_metrics.json")["calibration"]["after"]["bins"]
    name = f"{recorded_run.name}.training.reward.calibration.after"
    for column in ("predicted", "label", "noise", "n"):
        assert recorded_page.series[f"{name}.{column}"] == [one[column] for one in bins]


def test_examples_of_decided_preferences_are_those_of_the_records(
    wordings: list[Path], wordings_page: ReadPage
):
    data, labels = wordings_page.blocks["data"], relabelled.Labels(wordings[0])
    weights = {"plain": 1.0, "kind": 1.0, "short": 0.1, "once": 0.05}
    by_id = {one["comparison_id"]: one for one in labels.preferences}
    shown = [one for one in data["decisions"] if one["run"] == wordings[0].name]
    assert {data["principles"][one["principle"]] for one in shown} == {"plain", "kind"}
    for one in shown:
        preference = by_id[one["id"]]
        pushes = relabelled.pushes(labels, preference, weights)
        assert {data["principles"][n]: push for n, push in one["pushes"]} == pytest.approx(pushes)
        assert sum(pushes.values()) == pytest.approx(one["p"] - 0.5)
        assert data["texts"][one["chosen"]] == preference["chosen"][0]["content"]


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
        (1.203, "ratio", False, "1.203 times"),
        (0.12345, "nats", True, "+0.123 nats"),
        (2e-5, "", False, "2.00e-05"),
        (float("nan"), "", False, "not a number"),
    ],
)
def test_numbers_are_shown_with_their_unit(value: float, unit: str, is_difference: bool, text: str):
    assert shown_number(value, unit, is_difference=is_difference) == text

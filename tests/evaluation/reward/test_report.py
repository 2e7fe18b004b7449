"""The whole evaluation of a reward model: slices, sections, warnings, and honest words in the report."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import math

import pytest

from core.errors import DataError
from core.records import Metric
from evaluation.reward.evaluation import (
    RewardEvaluation,
    accuracy_in_words,
    evaluate_reward_model,
    reward_warnings,
    temperature_doubt,
)
from evaluation.reward.metrics import ScoredPair
from evaluation.reward.report import in_code, render_reward_report, reward_metrics_content
from evaluation.reward.slices import SECTIONS, certainty_of, reward_bench, slice_certainties, slice_groups
from tests.evaluation.reward.scored_pairs import pair_of, pairs_of, random_pairs, swapped
from tests.evaluation.reward.test_length_probe import counting_words, sparing_words


def shown(pairs: list[ScoredPair]) -> str:
    return render_reward_report(evaluate_reward_model(pairs, seed=0), "reward/")


def grouped(count: int, right: int, p: float = 1.0, **groups: str) -> list[ScoredPair]:
    """Pairs of which the first `right` are scored rightly."""
    return [pair_of(1.0 if n < right else -1.0, p, id=f"{groups} {n}", groups=groups) for n in range(count)]


def metric(value: float, low: float, high: float) -> Metric:
    return Metric(name="reward.accuracy", value=value, low=low, high=high, n=100, unit="share")


def section(report: str, title: str) -> str:
    return report.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


# Evaluation


def test_evaluation_counts_ties_equal_scores_and_pairs_without_weight():
    pairs = [
        *pairs_of([1.0, 0.0, 2.0, -1.0], [0.9, 0.8, 0.5, 0.7]),
        dataclasses.replace(pair_of(-9.0), weight=0.0),
    ]
    evaluation = evaluate_reward_model(pairs, seed=0)
    assert (evaluation.n, evaluation.ties, evaluation.equal_scores, evaluation.without_weight) == (4, 1, 1, 1)
    assert (evaluation.accuracy.value, evaluation.accuracy.n) == (0.5, 3)


def test_figures_agree_with_each_other():
    evaluation = evaluate_reward_model(random_pairs(300, scale=2.0), seed=0)
    before = evaluation.calibration.before
    assert evaluation.nll.value == pytest.approx(before.nll)
    assert evaluation.excess_nll.value == pytest.approx(before.excess_nll)
    assert evaluation.brier.value == pytest.approx(before.brier)
    by_certainty = sum(one.nll * one.n for one in evaluation.certainties) / evaluation.n
    assert by_certainty == pytest.approx(before.nll)


def test_swapping_the_answers_changes_no_figure():
    pairs = random_pairs(80, noise=1.0)
    one, two = (evaluate_reward_model(given, 0) for given in (pairs, [swapped(p) for p in pairs]))
    assert one.accuracy == two.accuracy
    assert one.nll.value == pytest.approx(two.nll.value)
    assert one.calibration.temperature == pytest.approx(two.calibration.temperature, rel=1e-4)
    assert one.length.longer_rule == two.length.longer_rule


def test_same_pairs_and_seed_give_the_same_evaluation():
    pairs = random_pairs(60)
    assert evaluate_reward_model(pairs, 3) == evaluate_reward_model(iter(pairs), 3)


def test_no_pairs_and_no_weight_are_refused():
    for pairs in ([], [dataclasses.replace(pair_of(1.0), weight=0.0)]):
        with pytest.raises(DataError, match="found no pairs"):
            evaluate_reward_model(pairs, 0)


def test_reward_that_is_not_finite_is_refused_even_without_weight():
    with pytest.raises(DataError, match="pair p7"):
        evaluate_reward_model([pair_of(1.0), pair_of(math.nan, id="p7", weight=0.0)], 0)


# Slices


def test_each_value_of_each_group_has_its_own_figures():
    pairs = [*grouped(4, 3, source="ai"), *grouped(2, 0, source="human", kind="x"), pair_of(1.0)]
    groups = slice_groups(pairs)
    assert list(groups) == ["kind", "source"]
    assert [(one.value, one.n, one.accuracy.value) for one in groups["source"]] == [
        ("ai", 4, 0.75),
        ("human", 2, 0.0),
    ]
    assert groups["source"][1].nll == pytest.approx(math.log(1 + math.e))


@pytest.mark.parametrize(
    ("p", "band"),
    [
        (0.5, "tie"),
        (0.51, "0.5-0.6"),
        (0.6, "0.6-0.8"),
        (0.2, "0.8-0.95"),
        (0.95, ">=0.95"),
        (0.05, ">=0.95"),
        (1 - 0.6, "0.6-0.8"),
        (0.0, ">=0.95"),
    ],
)
def test_certainty_is_that_of_the_better_answer(p: float, band: str):
    assert certainty_of(p) == band
    assert certainty_of(1 - p) == band


def test_bands_without_pairs_have_no_slice_and_ties_no_accuracy():
    slices = slice_certainties(pairs_of([1.0, 1.0, -1.0], [0.5, 0.99, 0.01]))
    assert [(one.value, one.n) for one in slices] == [("tie", 1), (">=0.95", 2)]
    assert slices[0].accuracy is None
    assert slices[1].accuracy.value == 1


# RewardBench


def test_sections_have_the_example_counts_of_rewardbench():
    # `rewardbench/constants.py` of commit 6552e93 (2024-09-10) and later.
    assert SECTIONS == {
        "Chat": {
            "alpacaeval-easy": 100,
            "alpacaeval-length": 95,
            "alpacaeval-hard": 95,
            "mt-bench-easy": 28,
            "mt-bench-med": 40,
        },
        "Chat Hard": {
            "mt-bench-hard": 37,
            "llmbar-natural": 100,
            "llmbar-adver-neighbor": 134,
            "llmbar-adver-GPTInst": 92,
            "llmbar-adver-GPTOut": 47,
            "llmbar-adver-manual": 46,
        },
        "Safety": {
            "refusals-dangerous": 100,
            "refusals-offensive": 100,
            "xstest-should-refuse": 154,
            "xstest-should-respond": 250,
            "donotanswer": 136,
        },
        "Reasoning": {
            "math-prm": 984,
            "hep-cpp": 164,
            "hep-go": 164,
            "hep-java": 164,
            "hep-js": 164,
            "hep-python": 164,
            "hep-rust": 164,
        },
    }


def test_safety_score_of_a_model_that_refuses_too_much_is_that_of_rewardbench():
    # The accuracies of XSTest are those in RewardBench's README; its own score of these is 0.664.
    right = {
        "refusals-dangerous": 0.9,
        "refusals-offensive": 0.95,
        "xstest-should-refuse": 1.0,
        "xstest-should-respond": 0.284,
        "donotanswer": 0.6,
    }
    pairs = [pair for name, share in right.items() for pair in grouped(500, round(500 * share), subset=name)]
    (safety,) = reward_bench(pairs).sections
    assert safety.accuracy.value == pytest.approx(491.6 / 740)
    assert safety.accuracy.value == pytest.approx(0.664, abs=5e-4)


def test_section_is_the_mean_of_its_subsets_by_example_count():
    pairs = [
        *grouped(4, 1, subset="math-prm"),
        *grouped(10, 10, subset="hep-go"),
        *grouped(2, 1, subset="own"),
    ]
    bench = reward_bench(pairs)
    (reasoning,) = bench.sections
    assert reasoning.name == "Reasoning"
    assert reasoning.accuracy.value == pytest.approx((984 * 0.25 + 164 * 1.0) / (984 + 164))
    assert reasoning.accuracy.n == 14
    assert [one.value for one in reasoning.subsets] == ["math-prm", "hep-go"]
    assert "hep-cpp" in reasoning.missing
    assert [(one.value, one.accuracy.value) for one in bench.others] == [("own", 0.5)]


def test_few_pairs_that_stand_for_many_examples_have_a_wide_interval():
    few = reward_bench([*grouped(4, 2, subset="math-prm"), *grouped(200, 100, subset="hep-go")]).sections[0]
    many = reward_bench(
        [*grouped(400, 200, subset="math-prm"), *grouped(200, 100, subset="hep-go")]
    ).sections[0]
    assert few.accuracy.value == many.accuracy.value == 0.5
    assert few.accuracy.high - few.accuracy.low > 5 * (many.accuracy.high - many.accuracy.low)


def test_full_benchmark_lacks_nothing():
    pairs = [p for counts in SECTIONS.values() for subset in counts for p in grouped(2, 1, subset=subset)]
    bench = reward_bench(pairs)
    assert [(one.name, one.missing, one.accuracy.value) for one in bench.sections] == [
        (name, (), pytest.approx(0.5)) for name in SECTIONS
    ]


def test_ties_alone_make_no_section():
    bench = reward_bench(grouped(3, 3, p=0.5, subset="math-prm"))
    assert bench.sections == ()


def test_pairs_without_a_subset_have_no_benchmark():
    assert reward_bench(grouped(3, 3, source="ai")) is None


# Warnings


@functools.cache
def good() -> RewardEvaluation:
    """An evaluation that nothing speaks against."""
    return evaluate_reward_model(random_pairs(1000), 0)


def evaluated(**fields: object) -> RewardEvaluation:
    """The same, but for what is given."""
    return dataclasses.replace(good(), **fields)


def test_good_scores_have_no_warning():
    assert reward_warnings(evaluated()) == []


def test_few_pairs_are_warned_of():
    assert "only 49 pairs" in reward_warnings(evaluated(n=49))[0]
    assert reward_warnings(evaluated(n=50)) == []
    assert "only 1 pair:" in reward_warnings(evaluate_reward_model([pair_of(1.0)], 0))[0]


def test_interval_that_includes_one_half_is_near_chance():
    assert accuracy_in_words(metric(0.58, 0.48, 0.67)) == "58 % (48 to 67 %): no better than chance"
    assert accuracy_in_words(metric(0.58, 0.51, 0.64)) == "58 % (51 to 64 %)"
    assert accuracy_in_words(metric(0.40, 0.31, 0.49)) == "40 % (31 to 49 %): worse than chance"


def test_few_pairs_are_not_called_near_chance_but_too_few():
    right = [pair_of(1.0, id=f"pair {number}") for number in range(2)]
    warnings = reward_warnings(evaluate_reward_model(right, 0))
    assert "accuracy 100 % (34 to 100 %): too few pairs to distinguish it from chance" in warnings
    assert ": no better than chance" not in shown(right)
    assert accuracy_in_words(metric(0.52, 0.38, 0.66).model_copy(update={"n": 49})).endswith("from chance")
    at_fifty = metric(0.52, 0.38, 0.66).model_copy(update={"n": 50})
    assert accuracy_in_words(at_fifty).endswith("no better than chance")


def test_end_of_an_interval_just_beside_one_half_is_not_rounded_to_it():
    assert accuracy_in_words(metric(0.58, 0.503, 0.64)) == "58 % (50.3 to 64 %)"
    assert accuracy_in_words(metric(0.5, 0.4, 0.6)) == "50 % (40 to 60 %): no better than chance"


def test_accuracy_that_is_no_better_than_chance_is_warned_of():
    near = reward_warnings(evaluated(accuracy=metric(0.52, 0.45, 0.59)))
    assert near == ["accuracy 52 % (45 to 59 %): no better than chance"]
    (worse,) = reward_warnings(evaluated(accuracy=metric(0.4, 0.31, 0.49)))
    assert worse.endswith("worse than chance")


def test_ties_alone_are_warned_of():
    evaluation = evaluate_reward_model(pairs_of([1.0, -1.0], [0.5, 0.5]), 0)
    assert any("every label is a tie" in warning for warning in reward_warnings(evaluation))


def test_scores_that_count_words_are_warned_of():
    warnings = reward_warnings(evaluate_reward_model(counting_words(200), 0))
    assert "longer answers score higher (correlation 1.00)" in warnings
    assert any("accuracy 100 % where the longer answer is better, 0 %" in warning for warning in warnings)


def test_scores_that_spare_words_are_warned_of():
    warnings = reward_warnings(evaluate_reward_model(sparing_words(200), 0))
    assert "shorter answers score higher (correlation -1.00)" in warnings
    assert any(
        warning.startswith("length bias, it prefers shorter answers: accuracy 0 % where the longer")
        for warning in warnings
    )


def test_liking_for_short_answers_is_warned_of_too():
    length = dataclasses.replace(evaluated().length, spearman=-0.62)
    assert reward_warnings(evaluated(length=length)) == ["shorter answers score higher (correlation -0.62)"]


def test_calibration_that_no_temperature_mends_is_warned_of():
    calibration = evaluated().calibration
    after = dataclasses.replace(calibration.after, ece=0.14, ece_by_chance=0.02)
    (warning,) = reward_warnings(evaluated(calibration=dataclasses.replace(calibration, after=after)))
    assert "poorly calibrated" in warning
    assert "off by 0.14 on average (expected from chance alone: 0.02)" in warning


# Report


def test_report_says_how_good_how_calibrated_and_whether_length_led():
    report = shown([*random_pairs(400, scale=4.0), *grouped(40, 30, p=0.8, source="ai")])
    short = section(report, "Summary")
    assert "**The better answer scores higher in " in short
    assert "| accuracy, % |" in short
    assert "does worse than that" in short  # four times too sure
    calibration = section(report, "Calibration")
    assert "| expected calibration error | 0." in calibration
    assert "cross-fitted" in calibration
    assert calibration.count("\n| ") == 6 + 1 + 14  # 440 pairs have 14 bins
    assert "| differences within pairs (Pearson) |" in section(report, "Length bias")
    assert "| 0.8-0.95 | 40 | 75.0 [59.8, 85.8] |" in section(report, "By certainty of the label")
    assert "| `ai` | 40 | 75.0 [59.8, 85.8] |" in section(report, "By `source`")
    assert "RewardBench" not in report


def test_report_names_what_must_be_warned_of():
    short = section(shown(counting_words(60)), "Summary")
    assert "in 50 % (38 to 62 %): no better than chance.**" in short
    assert "- Warning: longer answers score higher (correlation 1.00)." in short
    assert "No warnings" not in short


def test_report_of_good_scores_says_so():
    short = section(shown(random_pairs(1000)), "Summary")
    assert "No warnings: the scores" in short
    assert "does worse" not in short


@pytest.mark.parametrize(
    "pairs",
    [
        [pair_of(1.0)],
        [pair_of(0.0)],
        pairs_of([1.0, -1.0], [0.5, 0.5]),
        pairs_of([0.0] * 5, [0.9] * 5),
        pairs_of([700.0, -700.0], [1.0, 1.0]),
    ],
)
def test_odd_pairs_make_a_report_and_a_file_too(pairs: list[ScoredPair]):
    report = shown(pairs)
    assert "None" not in report
    assert "nan" not in report
    json.dumps(reward_metrics_content(evaluate_reward_model(pairs, 0)), allow_nan=False)


def test_temperature_at_the_end_of_its_range_is_explained():
    assert "the scores are unrelated or opposed to these labels" in shown(pairs_of([1.0, -1.0], [0.5, 0.5]))
    assert "the most confident scores always fit best" in shown(pairs_of([1.0, 2.0], [1.0, 1.0]))
    assert "limit of the search range" not in shown(random_pairs(100))


@pytest.mark.parametrize(
    ("temperature", "pairs", "doubt"),
    [
        (1.7, 50, ""),
        (1.7, 49, "49 pairs are too few to fit a temperature (at least 50 are needed)"),
        (100.0, 1, "1 pair is too few to fit a temperature (at least 50 are needed)"),
        (100.0, 500, "the fit ends at 100, a limit of the search range from 0.01 to 100"),
        (0.01, 500, "the fit ends at 0.01, a limit of the search range from 0.01 to 100"),
    ],
)
def test_temperature_of_few_pairs_or_at_an_end_of_its_range_is_not_to_be_used(
    temperature: float, pairs: int, doubt: str
):
    assert temperature_doubt(temperature, pairs) == doubt


def test_report_says_of_a_temperature_that_it_is_not_to_be_used():
    told = "Do not use it; training keeps the temperature at 1: "
    assert f"{told}9 pairs are too few" in shown(random_pairs(9))
    assert f"{told}the fit ends at 0.01" in shown(grouped(60, 60))
    assert told not in shown(random_pairs(100))


def test_report_has_the_sections_of_the_benchmark_and_says_what_lacks():
    report = shown([*grouped(60, 50, subset="math-prm"), *grouped(4, 2, subset="my|own")])
    bench = section(report, "RewardBench")
    assert "| Reasoning | 83.3 [72.0, 90.7] | 60 | 1 of 7 |" in bench
    assert "- Not comparable with published figures: Reasoning lacks hep-cpp," in bench
    assert "| Reasoning | `math-prm` | 60 |" in bench
    assert "| - | `my\\|own` | 4 |" in bench
    assert "By `subset`" not in report


def test_subsets_of_another_benchmark_are_a_group_like_any_other():
    report = shown(grouped(60, 50, subset="mine"))
    assert "RewardBench" not in report
    assert "| `mine` | 60 |" in section(report, "By `subset`")


def test_group_with_many_values_shows_the_largest():
    pairs = [p for n in range(40) for p in grouped(1 + (n == 39), 1, topic=f"t{n}")]
    topics = section(shown(pairs), "By `topic`")
    assert topics.count("\n| `t") == 1 + 30  # the heading too
    assert "| `t39` | 2 |" in topics
    assert "10 more, with fewer pairs, are in `reward_metrics.json`." in topics


def test_names_cannot_break_out_of_their_cell():
    assert in_code("a | b\n`<script>`\x1b[1m") == "`a \\| b '<script>'\ufffd[1m`"
    assert in_code("") == "` `"
    assert in_code("x" * 79 + "|" + "y" * 99) == f"`{'x' * 79}...`"


def test_every_table_has_as_many_cells_in_each_row():
    pairs = [*random_pairs(300), *grouped(20, 10, subset="hep-go", source="a|b"), *grouped(5, 2, p=0.5)]
    rows = [line.replace("\\|", "") for line in shown(pairs).splitlines()]
    for above, line in itertools.pairwise(rows):
        if above.startswith("|") and line.startswith("|"):
            assert above.count("|") == line.count("|"), line
    assert any(line.startswith("|") for line in rows)


def test_metrics_file_holds_every_figure_and_the_warnings():
    evaluation = evaluate_reward_model([*random_pairs(40), *grouped(3, 1, subset="hep-go")], 0)
    content = json.loads(json.dumps(reward_metrics_content(evaluation), allow_nan=False))
    assert content["schema_version"] == 1
    assert content["accuracy"]["low"] == evaluation.accuracy.low
    assert content["calibration"]["temperature"] == evaluation.calibration.temperature
    assert content["reward_bench"]["sections"][0]["name"] == "Reasoning"
    assert content["groups"]["subset"][0]["n"] == 3
    assert content["warnings"] == reward_warnings(evaluation)
    assert content.keys() == {
        "schema_version",
        "warnings",
        *(field.name for field in dataclasses.fields(evaluation)),
    }

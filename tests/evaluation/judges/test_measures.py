"""Metrics of a labeler on gold pairs, by worked numbers."""

from __future__ import annotations

import math

import pytest

from core.records import Metric
from evaluation.judges.judged import JudgedPair, judged_pair, log_odds_of, outcomes
from evaluation.judges.measures import gold_metrics, order_metrics
from tests.evaluation.judges.pairs import CONSTITUTION, gold_pair, judged, judgment


def metrics(pairs: list[JudgedPair]) -> dict[str, Metric]:
    return {metric.name: metric for metric in gold_metrics(pairs, seed=0)}


def test_accuracy_and_nll_of_known_log_odds():
    pairs = [judged(gold_pair(n), 1.0 if n % 4 else -1.0) for n in range(40)]
    found = metrics(pairs)
    assert found["accuracy"].value == 0.75
    # 3 of 4 have the loss log(1 + e^-1), the fourth log(1 + e).
    expected = 0.75 * math.log1p(math.exp(-1)) + 0.25 * math.log1p(math.e)
    assert found["nll"].value == pytest.approx(expected)
    low, high = found["accuracy"].low, found["accuracy"].high
    assert low is not None
    assert high is not None
    assert low < 0.75 < high


def test_ties_count_one_half():
    assert metrics([judged(gold_pair(n), 0.0) for n in range(4)])["accuracy"].value == 0.5


def test_liking_for_a_place_shows_in_the_orders_and_not_in_the_label():
    # With a liking of 3 nats, the first place wins in both orders: every swap changes the preferred answer.
    pairs = [judged(gold_pair(n), 0.5, slot=3.0) for n in range(20)]
    found = metrics(pairs)
    assert found["accuracy"].value == 1.0
    assert found["first slot"].value == 1.0
    assert found["swap inconsistency"].value == 1.0
    assert found["accuracy.one order"].value == 0.5
    assert found["slot log-odds"].value == pytest.approx(3.0)


def test_swap_inconsistency_is_zero_without_a_liking():
    found = {m.name: m for m in order_metrics([judgment(gold_pair(n), 0.5) for n in range(5)]) if m}
    assert found["swap inconsistency"].value == 0.0
    assert found["first slot"].value == 0.5


def test_matched_length_excludes_pairs_of_other_lengths():
    alike = [judged(gold_pair(n, "a" * 100, "b" * 110), -1.0) for n in range(3)]
    unlike = [judged(gold_pair(n + 10, "a" * 300, "b" * 10), 1.0) for n in range(9)]
    found = metrics(alike + unlike)
    assert found["accuracy.matched length"].value == 0.0
    assert found["accuracy.matched length"].n == 3
    assert found["baseline.longest"].value == pytest.approx(9 / 12)
    assert found["lead.longest"].value == pytest.approx(0.0)


def test_pairs_of_one_prompt_widen_the_interval():
    apart = metrics([judged(gold_pair(n), 1.0 if n % 20 < 12 else -1.0) for n in range(60)])
    together = metrics([judged(gold_pair(n, prompt=n // 20), 1.0 if n < 40 else -1.0) for n in range(60)])
    widths = [(m["accuracy"].high or 0) - (m["accuracy"].low or 0) for m in (apart, together)]
    assert widths[1] > 1.5 * widths[0]


def test_unparsed_judgments_are_no_label_and_are_counted():
    pair = gold_pair(0)
    unparsed = judgment(pair, 1.0).model_copy(update={"verdict": "unparsed", "p_a": None})
    found = judged_pair(pair, [unparsed], CONSTITUTION)
    assert found.log_odds is None
    assert gold_metrics([found], seed=0) == ()
    assert outcomes([found]) == {"verdict unparsed": 1, "no label: no judgment could be parsed": 1}


def test_certain_errors_have_a_finite_loss():
    assert log_odds_of(0.0) == pytest.approx(-log_odds_of(1.0))
    assert math.isfinite(log_odds_of(0.0))


def test_label_is_that_of_a_run():
    pair = gold_pair(0)
    two = [judgment(pair, 2.0), judgment(pair, -1.0).model_copy(update={"id": "x"})]
    sigmoid = [1 / (1 + math.exp(-x)) for x in (2.0, -1.0)]
    found = judged_pair(pair, two, CONSTITUTION).margin
    assert found == pytest.approx(math.log(sum(sigmoid) / (2 - sum(sigmoid))))


def test_calibrated_labels_are_within_the_noise_and_overconfident_ones_are_not():
    # One in four of labels with log-odds log 3 is wrong: calibrated. With ten times the log-odds it is not.
    pairs = [gold_pair(n) for n in range(200)]
    fair = metrics([judged(p, (1 if n % 4 else -1) * math.log(3)) for n, p in enumerate(pairs)])
    sure = metrics([judged(p, (10 if n % 4 else -10) * math.log(3)) for n, p in enumerate(pairs)])
    assert fair["ece"].value < fair["ece noise"].value
    assert sure["ece"].value > sure["ece noise"].value
    assert sure["ece corrected"].value < sure["ece corrected noise"].value
    assert sure["nll"].value > math.log(2) > sure["nll corrected"].value
    assert sure["temperature"].value == pytest.approx(10, rel=0.1)


def test_correction_takes_a_liking_for_length_away():
    # The labeler prefers the longer answer by 2 nats, and knows the better one by 1 nat.
    pairs = [gold_pair(n, "a" * (300 if n % 2 else 100), "b" * (100 if n % 2 else 300)) for n in range(200)]
    found = metrics([judged(p, 1.0 + (2.0 if n % 2 else -2.0)) for n, p in enumerate(pairs)])
    assert found["accuracy"].value == 0.5
    assert found["accuracy.corrected"].value > 0.95


def test_mode_without_places_has_no_metrics_of_them():
    pairs = [judged(gold_pair(n), 0.5, slot=3.0) for n in range(4)]
    found = {metric.name for metric in gold_metrics(pairs, seed=0, slots=False)}
    assert not found & {"first slot", "swap inconsistency", "slot log-odds", "accuracy.one order"}
    assert "accuracy" in found


def test_problems_of_judgments_are_counted():
    pair = gold_pair(0)
    refused = judgment(pair, 1.0).model_copy(
        update={"verdict": "unparsed", "p_a": None, "problem": "refused"}
    )
    assert outcomes([judged_pair(pair, [refused], CONSTITUTION)])["problem refused"] == 1

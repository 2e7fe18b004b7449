"""Several seeds as one evaluation: means, intervals over prompts, and values of each seed."""

from __future__ import annotations

import numpy as np
import pytest

from core.records import Metric
from core.statistics.intervals import share_interval
from evaluation.derived.seeds import mean_by_prompt, metrics_over_seeds
from evaluation.measures import Series
from evaluation.metrics import metrics_of
from evaluation.presentation import EvaluationMetrics

PROMPTS = [f"prompt{n}" for n in range(8)]
BASE = [0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0]
SEEDS = ([1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0], [1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0])


def series(variant: str, values: list[float]) -> Series:
    return Series(variant, "compliance", "share", dict(zip(PROMPTS, values, strict=True)))


def runs() -> list[list[Series]]:
    return [[series("base", BASE), series("dpo", own)] for own in SEEDS]


def test_mean_of_the_prompts_that_all_runs_have():
    assert mean_by_prompt([{"a": 1.0, "b": 0.0}, {"b": 1.0, "c": 1.0}]) == {"b": 0.5}


def test_interval_is_over_prompts_not_over_prompts_times_seeds():
    found = metrics_over_seeds(runs(), [[], []])
    metrics = {metric.name: metric for metric in found.metrics}
    means = np.mean(SEEDS, axis=0)
    expected = share_interval(means)
    value = metrics["dpo.compliance"]
    assert (value.value, value.low, value.high, value.n) == (
        pytest.approx(0.6875),
        expected.low,
        expected.high,
        8,
    )
    delta = metrics["dpo.compliance.delta"]
    assert delta.value == pytest.approx(0.6875 - 0.375)
    assert delta.changed == 4
    assert found.by_seed["dpo.compliance"] == (0.75, 0.625)
    assert found.by_seed["base.compliance"] == (0.375, 0.375)
    assert "dpo.compliance.delta" not in found.by_seed


def test_copies_of_one_seed_change_nothing():
    one = metrics_over_seeds(runs()[:1], [[]])
    four = metrics_over_seeds(runs()[:1] * 4, [[]] * 4)
    assert [m.model_dump() for m in one.metrics] == [m.model_dump() for m in four.metrics]


def test_measures_without_values_by_prompt_are_means_without_an_interval():
    recorded = [
        [Metric(name="dpo.kl", value=value, n=n, low=0.0, high=9.0, unit="nats")]
        for value, n in ((0.2, 8), (0.4, 7))
    ]
    found = metrics_over_seeds(runs(), recorded)
    (kl,) = [metric for metric in found.metrics if metric.name == "dpo.kl"]
    assert (kl.value, kl.n, kl.low, kl.high) == (pytest.approx(0.3), 7, None, None)
    assert found.by_seed["dpo.kl"] == (0.2, 0.4)


def test_what_only_some_seeds_have_is_named():
    first, second = runs()
    recorded = [Metric(name="dpo.compliance", value=0.75, n=8), Metric(name="base.kl", value=0.0, n=8)]
    found = metrics_over_seeds([first, second[:1]], [recorded, recorded[1:]])
    assert found.lacking == ("dpo.compliance",)
    assert found.without == {"dpo.compliance": (1,)}
    assert {metric.name for metric in found.metrics} == {"base.compliance", "base.kl"}
    assert found.as_json()["left_out"] == ["dpo.compliance"]


def one_run() -> tuple[list[Series], list[Metric]]:
    """Return a run in which 7 prompts change three measures by prompt, and one that has no such values."""
    own = [Series(v, m, "ratio", dict.fromkeys(PROMPTS[:7], value)) for v, m, value in MEASURED]
    further = [Metric(name=f"{v}.distinct", value=0.5, low=0.4, high=0.6, n=7) for v in ("base", "dpo")]
    delta = Metric(name="dpo.distinct.delta", value=0.0, low=-0.1, high=0.1, n=7, p_value=0.9)
    return own, [*metrics_of(own, PROMPTS, 0)[0], *further, delta]


MEASURED = [(v, m, value) for m in ("words", "kl", "sameness") for v, value in (("base", 0.0), ("dpo", 1.0))]


def outcomes(metrics: list[Metric]) -> dict[tuple[str, str], object]:
    found = EvaluationMetrics.of(metrics)
    return {key: found.outcome(*key) for key in found.values}


def test_identical_seeds_have_the_verdicts_of_one():
    own, recorded = one_run()
    one, pooled = outcomes(recorded), metrics_over_seeds([own, own], [recorded, recorded])
    # Of three tests with p = 1/64 each is beyond noise (0.047), of four none is (0.0625).
    assert one["dpo", "words"] == "noise"
    assert outcomes(metrics_of(own, PROMPTS, 0)[0])["dpo", "words"] == "other"
    assert outcomes(list(pooled.metrics)) == one
    assert "dpo.distinct.delta" not in pooled.by_seed


def test_difference_without_values_by_prompt_has_the_largest_p_value_of_the_seeds():
    own, recorded = one_run()
    other = [*recorded[:-1], recorded[-1].model_copy(update={"p_value": 0.2, "value": 0.2})]
    found = {m.name: m for m in metrics_over_seeds([own, own], [recorded, other]).metrics}
    delta = found["dpo.distinct.delta"]
    assert (delta.p_value, delta.value, delta.low) == (0.9, pytest.approx(0.1), None)

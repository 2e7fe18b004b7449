"""Outcomes of gates, and how many prompts an inconclusive one lacks."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import ConfigError
from core.records import Metric
from core.statistics.intervals import share_interval
from evaluation.gates.config import Gate
from evaluation.gates.decide import GateResult, candidate_of, decide_gates


def metric(name: str, value: float, low: float | None, high: float | None, unit: str = "share") -> Metric:
    return Metric(name=name, value=value, low=low, high=high, n=40, unit=unit)


METRICS = (
    metric("base.compliance", 0.3, 0.2, 0.45),
    metric("sft.compliance", 0.7, 0.55, 0.8),
    metric("dpo.compliance", 0.8, 0.65, 0.9),
    metric("dpo.compliance.delta", 0.5, 0.3, 0.7),
    metric("dpo.compliance.low", 0.9, 0.8, 1.0),
    metric("dpo.neutral_loss.delta", 0.02, 0.01, 0.03, "nats"),
    metric("dpo.kl", 0.5, None, None, "nats"),
)


def outcome(name: str, gate: object) -> GateResult:
    return decide_gates({name: Gate.model_validate(gate)}, METRICS)[0]


@pytest.mark.parametrize(
    ("name", "gate", "expected"),
    [
        ("sft.compliance", ">= 0.5", "pass"),
        ("sft.compliance", ">= 0.55", "pass"),
        ("sft.compliance", ">= 0.81", "fail"),
        ("sft.compliance", ">= 0.75", "inconclusive"),
        ("sft.compliance", "<= 0.8", "pass"),
        ("sft.compliance", "<= 0.54", "fail"),
        ("sft.compliance", {"at_least": 0.5, "at_most": 0.9}, "pass"),
        ("sft.compliance", {"at_least": 0.9, "at_most": 0.95}, "fail"),
        ("sft.compliance", {"at_least": 0.6, "at_most": 0.95}, "inconclusive"),
        ("sft.compliance.low", ">= 0.5", "pass"),
        ("sft.compliance.low", ">= 0.6", "fail"),
        ("sft.compliance.high", "<= 0.8", "pass"),
        ("dpo.compliance.delta.low", ">= 0.1", "pass"),
        ("dpo.kl", "<= 0.4", "fail"),
        ("dpo.kl", "<= 0.5", "pass"),
    ],
)
def test_outcome(name: str, gate: object, expected: str):
    assert outcome(name, gate).outcome == expected


def test_name_without_a_variant_is_the_last_trained_model():
    assert outcome("compliance", ">= 0.6").gate == "dpo.compliance"
    assert candidate_of(METRICS) == "dpo"
    assert candidate_of((*METRICS, metric("steered.words", 1, 1, 1))) == "steered"
    assert candidate_of(METRICS[:1]) is None


def test_metric_whose_name_ends_like_a_bound_comes_first():
    assert outcome("dpo.compliance.low", ">= 0.8").value == 0.9
    assert outcome("dpo.compliance.low.low", ">= 0.8").value == 0.8


def test_number_of_further_prompts_follows_from_the_half_width():
    # Half-width 0.10 above the value, distance 0.05: four times the 40 prompts.
    found = outcome("sft.compliance", ">= 0.75")
    assert found.more_prompts == 120
    assert found.line() == (
        "sft.compliance 70.0 [55.0, 80.0] %, limit >= 75 %: the interval contains the limit; about 120 more "
        "prompts would decide"
    )
    assert outcome("sft.compliance", ">= 0.7").more_prompts is None  # exactly at the limit


def test_as_many_prompts_do_decide_if_nothing_else_changes():
    few = np.array([1.0] * 28 + [0.0] * 12)
    value, low, high = share_interval(few)
    named = metric("sft.compliance", value, low, high)
    (found,) = decide_gates({"sft.compliance": Gate(at_least=0.6)}, [named])
    assert found.more_prompts is not None
    times = (40 + found.more_prompts) / 40
    many = share_interval(np.array([1.0] * round(28 * times) + [0.0] * round(12 * times)))
    assert many.low == pytest.approx(0.6, abs=0.02)


def test_texts_that_ship_do_not_become_more():
    limit = Gate.model_validate({"neutral_loss.delta": "<= 0.02"}["neutral_loss.delta"])
    found = decide_gates({"neutral_loss.delta": limit}, METRICS)[0]
    assert (found.outcome, found.more_prompts) == ("pass", None) or found.more_prompts is None


def test_inconclusive_gate_blocks_only_if_asked():
    assert not outcome("sft.compliance", ">= 0.75").blocks
    assert outcome("sft.compliance", {"at_least": 0.75, "on_inconclusive": "fail"}).blocks
    assert not outcome("sft.compliance", {"at_least": 0.9, "level": "warn"}).blocks
    assert outcome("sft.compliance", ">= 0.9").blocks


@pytest.mark.parametrize(
    ("rise", "expected"),
    [((0.02, 0.04), ("pass", False)), ((0.05, 0.2), ("inconclusive", False)), ((0.2, 0.5), ("fail", False)),
     ((0.31, 0.5), ("fail", True))],
)  # fmt: skip
def test_default_gates_warn_and_fail_only_far_beyond_their_limit(
    rise: tuple[float, float], expected: tuple[str, bool]
):
    loss = metric("sft.neutral_loss.delta", sum(rise) / 2, *rise, "nats")
    (found,) = decide_gates({}, [loss])
    assert found.is_default
    assert (found.outcome, found.blocks) == expected


def test_default_gates_are_replaced_and_switched_off():
    loss = metric("sft.neutral_loss.delta", 0.4, 0.35, 0.5, "nats")
    (mine,) = decide_gates({"sft.neutral_loss.delta": Gate(at_most=1.0)}, [loss])
    assert (mine.outcome, mine.is_default) == ("pass", False)
    assert decide_gates({"neutral_loss.delta": Gate(off=True)}, [loss]) == ()
    assert decide_gates({"sameness.delta": Gate(off=True)}, [loss])[0].is_default  # not measured, so ignored


def test_unknown_metrics_are_refused_together_with_the_nearest_names():
    gates = {"sft.complience": Gate(at_least=0.5), "dpo.zzz": Gate(at_least=0.5)}
    with pytest.raises(ConfigError) as caught:
        decide_gates(gates, METRICS)
    near, far = caught.value.problems
    assert str(near) == (
        "gates.sft.complience: the evaluation has no metric 'sft.complience'; did you mean sft.compliance?; "
        f"{near.accepted and f'accepted: {near.accepted}'}"
    )
    assert far.accepted is not None
    assert "dpo.kl" in far.accepted


def test_outcome_can_be_read_again():
    found = outcome("sft.compliance", ">= 0.75")
    assert GateResult.of_json(found.as_json()) == found

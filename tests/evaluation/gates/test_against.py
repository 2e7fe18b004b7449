"""Gates on differences from another variant than base."""

from __future__ import annotations

import pytest
import yaml

from core.errors import ConfigError
from core.statistics.bootstrap import value_matrix
from core.statistics.intervals import share_difference_interval
from evaluation.gates.config import Gate, flattened
from evaluation.gates.decide import GateResult, decide_gates
from evaluation.measures import Series
from evaluation.metrics import metrics_of

PROMPTS = [f"p{number:02}" for number in range(12)]
VALUES = {
    "base": [0.0] * 9 + [1.0] * 3,
    "prompted": [0.0] * 6 + [1.0] * 6,
    "sft": [1.0] * 3 + [0.0] * 1 + [1.0] * 8,
}
SERIES = [
    Series(name, "compliance", "share", dict(zip(PROMPTS, row, strict=True))) for name, row in VALUES.items()
] + [Series("sft", "win_rate", "share", dict.fromkeys(PROMPTS, 0.7))]
METRICS, _ = metrics_of(SERIES, PROMPTS, 0)


def decided(gates: dict[str, object]) -> tuple[GateResult, ...]:
    parsed = {name: Gate.model_validate(gate) for name, gate in gates.items()}
    return decide_gates(parsed, METRICS, SERIES)


def test_difference_is_paired_with_the_named_variant():
    (found,) = decided({"compliance.delta": {"at_least": 0.05, "against": "prompted"}})
    # sft is better than prompted on five prompts of twelve, and never worse: 11/12 - 6/12.
    change = value_matrix([[s - p for s, p in zip(VALUES["sft"], VALUES["prompted"], strict=True)]])[0]
    assert change.sum() == 5
    assert (found.value, found.low, found.high) == pytest.approx(share_difference_interval(change))
    assert found.value == pytest.approx(5 / 12)
    assert (found.gate, found.n) == ("sft.compliance.delta against prompted", 12)
    assert found.outcome == "pass"
    assert found.line().startswith("sft.compliance.delta against prompted 41.7 [")


def test_gates_against_base_and_against_prompted_stand_side_by_side():
    gates: dict[str, object] = {
        "sft.compliance.delta": ">= 0.5",
        "compliance.delta against prompted": ">= 0.5",
        "compliance.delta.low against prompted": ">= 0.1",
    }
    plain, prompted, low = decided(gates)
    assert plain.value == pytest.approx(8 / 12)
    assert (prompted.value, prompted.outcome) == (pytest.approx(5 / 12), "inconclusive")
    assert (low.gate, low.low) == ("sft.compliance.delta.low against prompted", None)
    assert low.value == prompted.low
    assert prompted.more_prompts is not None


def test_base_is_the_default_and_can_be_named():
    named = {"at_least": 0.5, "against": "base"}
    assert decided({"compliance.delta": named}) == decided({"compliance.delta": ">= 0.5"})
    (found,) = decided({"compliance.delta against base": ">= 0.5"})
    (plain,) = decided({"compliance.delta": ">= 0.5"})
    assert (found.value, found.low, found.high) == (plain.value, plain.low, plain.high)


def test_prompts_are_those_with_a_value_for_every_variant():
    eight = dict(list(SERIES[2].values.items())[:8])
    fewer = [*SERIES[:2], Series("sft", "compliance", "share", eight)]
    gate = {"compliance.delta against prompted": Gate(at_least=0.0)}
    (found,) = decide_gates(gate, metrics_of(fewer, PROMPTS, 0)[0], fewer)
    assert found.n == 8


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "compliance.delta against dpo",
            "no variant 'dpo' with values by prompt; accepted: base",
        ),
        ("win_rate.delta against prompted", "no difference 'win_rate.delta' from prompted by prompt"),
        ("compliance against prompted", "accepted: compliance.delta, each also with .low or .high"),
        (
            "prompted.compliance.delta against prompted",
            "no difference 'prompted.compliance.delta'",
        ),
    ],
)
def test_difference_that_does_not_exist_is_an_error(name: str, message: str):
    with pytest.raises(ConfigError) as caught:
        decided({name: ">= 0"})
    assert message in str(caught.value)


def test_two_variants_in_one_gate_are_an_error():
    with pytest.raises(ConfigError, match="the name has prompted, and against is sft"):
        decided({"compliance.delta against prompted": {"at_least": 0, "against": "sft"}})


def test_switched_off_gate_and_default_gates_are_left_alone():
    series = [Series(n, "sameness", "share", dict.fromkeys(PROMPTS, 0.0)) for n in VALUES]
    metrics, _ = metrics_of(series, PROMPTS, 0)
    gate = Gate(at_most=0.5, against="prompted")
    mine, default = decide_gates({"sameness.delta": gate}, metrics, series)
    assert (mine.gate, default.gate) == ("sft.sameness.delta against prompted", "sft.sameness.delta")
    assert default.is_default
    off = Gate(off=True, against="prompted")
    assert [one.is_default for one in decide_gates({"sameness.delta": off}, metrics, series)] == [True]


def test_gates_of_a_run_file_have_the_name_with_spaces():
    text = "{sft: {compliance.delta against prompted: '>= 0'}, words.delta: {at_most: 3, against: prompted}}"
    found = flattened(yaml.safe_load(text))
    assert found == {
        "sft.compliance.delta against prompted": ">= 0",
        "words.delta": {"at_most": 3, "against": "prompted"},
    }
    with pytest.raises(ValueError, match="prompted"):
        Gate.model_validate({"at_most": 3, "against": "promted"})

"""Gates on variants that an evaluation does not have."""

from __future__ import annotations

import pytest

from core.errors import ConfigError
from evaluation.gates.config import Gate
from evaluation.gates.decide import decide_gates
from evaluation.gates.variants import gates_without_variant
from evaluation.measures import Series
from evaluation.metrics import metrics_of

PROMPTS = [f"p{number}" for number in range(8)]
SERIES = [Series(name, "compliance", "share", dict.fromkeys(PROMPTS, 0.5)) for name in ("base", "prompted")]

NO_SFT = "no variant 'sft' with values by prompt; accepted: base, prompted"


@pytest.mark.parametrize(
    ("name", "gate", "lacking"),
    [
        ("sft.words", Gate(at_most=9), "sft will"),
        ("sft.words.delta", Gate(at_most=9, against="dpo"), "sft and dpo will"),
        ("words.delta against dpo", Gate(at_most=9), "dpo will"),
        ("prompted.words.delta", Gate(at_most=9, against="base"), ""),
        ("words", Gate(at_most=9), ""),
        ("sft.words", Gate(off=True), ""),
    ],
)
def test_gates_without_a_variant_are_named(name: str, gate: Gate, lacking: str):
    lines = list(gates_without_variant({name: gate}, ("base", "prompted")))
    assert len(lines) == bool(lacking)
    assert all(lacking in line and "evaluated: base, prompted" in line for line in lines)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("compliance.delta against prompted", "accepted: base.compliance.delta"),
        (
            "sft.compliance.delta against prompted",
            NO_SFT,
        ),
        ("sft.compliance.delta", "the evaluation has no variant 'sft', so no metric"),
        ("compliance.delta against sft", NO_SFT),
    ],
)
def test_errors_list_what_there_is(name: str, expected: str):
    metrics, _ = metrics_of(SERIES, PROMPTS, 0)
    with pytest.raises(ConfigError) as found:
        decide_gates({name: Gate(at_least=0.1)}, metrics, SERIES)
    assert expected in str(found.value)
    assert "accepted: ," not in str(found.value)

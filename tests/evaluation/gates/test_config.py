"""Gates as they are written in a run file."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from evaluation.gates.config import DEFAULT_GATES, Gate, flattened


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (">= 0.8", (0.8, None)),
        ("<=5 %", (None, 0.05)),
        ("  >= -.5 ", (-0.5, None)),
        ("<= 1e-2", (None, 0.01)),
    ],
)
def test_short_form(text: str, expected: tuple[float | None, float | None]):
    gate = Gate.model_validate(text)
    assert (gate.at_least, gate.at_most) == expected
    assert (gate.level, gate.on_inconclusive) == ("error", "pass")


@pytest.mark.parametrize("text", ["0.8", "> 0.8", "== 1", ">= much", "", ">= 1 <= 2"])
def test_text_that_is_not_a_limit_is_refused_with_what_is_accepted(text: str):
    with pytest.raises(ValidationError, match=r"not a limit; accepted: '>= 0\.8'"):
        Gate.model_validate(text)


def test_gate_has_a_limit_and_a_range_has_an_order():
    with pytest.raises(ValidationError, match="no limit"):
        Gate.model_validate({"level": "warn"})
    with pytest.raises(ValidationError, match="above at_most"):
        Gate.model_validate({"at_least": 2, "at_most": 1})
    assert Gate.model_validate({"at_least": 1, "at_most": 2}).at_most == 2


@pytest.mark.parametrize("value", [False, None, "off"])
def test_default_gates_can_be_switched_off(value: object):
    assert Gate.model_validate(value).off


def test_nested_names_are_joined():
    nested = {"sft": {"words": "<= 99", "compliance": {"at_least": 0.5}}, "win_rate.low": ">= 0.5"}
    assert flattened(nested) == {
        "sft.words": "<= 99",
        "sft.compliance": {"at_least": 0.5},
        "win_rate.low": ">= 0.5",
    }
    assert flattened(None) == {}


def test_default_gates_warn():
    assert {gate.level for gate in DEFAULT_GATES.values()} == {"warn"}

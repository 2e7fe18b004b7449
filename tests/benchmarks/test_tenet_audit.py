"""The planted models of the benchmark of audits: each edit breaks its tenet and no more than it must."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from constitution.checks.evaluate import evaluate

SCRIPT: dict[str, Any] = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "tenet_audit.py"))
REPLIES = (
    "Use cold water and soap. Rub it gently and rinse it. Let it dry in the air.",
    "I would ask the host first. Then bring a dessert.",
)


@pytest.mark.parametrize("reply", REPLIES)
@pytest.mark.parametrize("tenet", SCRIPT["TENETS"])
def test_each_edit_breaks_its_tenet_alone(tenet: str, reply: str):
    broken = SCRIPT["TENETS"][tenet][1](reply)
    failed = {name for name, (check, _) in SCRIPT["TENETS"].items() if not evaluate(check, broken).passed}
    assert all(evaluate(check, reply).passed for check, _ in SCRIPT["TENETS"].values())
    assert failed == {tenet}


def test_the_tenets_say_what_their_checks_ask():
    with_checks, without = (SCRIPT["constitution_of"](checked=checked) for checked in (True, False))
    assert [p.text for p in with_checks.principles] == [p.text for p in without.principles]
    assert all(p.check is None for p in without.principles)
    assert len(with_checks.principles) == 10

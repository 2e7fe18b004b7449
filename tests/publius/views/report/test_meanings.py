"""Names of training metrics are explained wherever their values are shown."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from publius.views.report.reading.meanings import metric_meaning

ROOT = Path(__file__).parents[4]
LOGS = sorted((ROOT / "tests/publius/recorded/project/runs").glob("*/*/metrics.jsonl"))


@pytest.mark.parametrize("log", LOGS, ids=lambda path: path.parent.name)
def test_every_recorded_metric_has_a_meaning(log: Path):
    names = {name for line in log.read_text().splitlines() for name in json.loads(line)} - {"step"}
    assert {name for name in names if not metric_meaning(name)} == set()


def test_every_metric_of_the_training_code_has_a_meaning():
    written = "".join(path.read_text() for path in sorted((ROOT / "training").rglob("*.py")))
    names = set(
        re.findall(r'"((?:objective|policy|critic|val|loss|completions|logps|edits)/[a-z_0-9]+)"', written)
    )
    assert len(names) > 20
    assert {name for name in names if not metric_meaning(name)} == {"val/ratio_squared"}  # it is not logged


def test_names_with_a_reward_in_them_and_held_out_ones():
    assert metric_meaning("rewards/my.py:score/std") == "standard deviation of the reward my.py:score"
    assert metric_meaning("eval_loss").endswith("on held-out examples")
    assert metric_meaning("something/else") == ""

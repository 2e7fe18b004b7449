"""Learning rates: above 0 at every optimizer step, and transformers' after the warm-up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.training.jobs import BY_EXAMPLES, train
from training.config import Schedule
from training.steps.schedule import learning_rate_factor


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
@pytest.mark.parametrize(("total", "warm"), [(200, 20), (10, 3), (7, 0)])
def test_after_the_warm_up_the_rates_are_those_of_transformers(schedule: Schedule, total: int, warm: int):
    import torch
    from transformers import get_scheduler

    optimizer: Any = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    named = "constant_with_warmup" if schedule == "constant" else schedule
    theirs: Any = get_scheduler(named, optimizer, num_warmup_steps=warm, num_training_steps=total)
    for step in range(total):
        ours = learning_rate_factor(step, total, warm, schedule)
        assert ours > 0
        if step >= warm:
            assert ours == pytest.approx(theirs.get_last_lr()[0], abs=1e-12)
        else:  # theirs is step / warm, 0 at the first step
            assert ours == pytest.approx((step + 1) / (warm + 1))
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize("method", BY_EXAMPLES)
def test_no_optimizer_step_has_learning_rate_0(method: Any, tiny_folder: Path, tmp_path: Path):
    train(method, tmp_path, str(tiny_folder), count=8)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    rates = [row["learning_rate"] for row in rows if "learning_rate" in row]
    assert len(rates) == 4  # two epochs of two steps
    assert rates[0] == pytest.approx(1e-3 / 2)  # the first of one step of warm-up
    assert min(rates) > 0

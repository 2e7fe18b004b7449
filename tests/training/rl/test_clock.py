"""The clock of a training step: phases within phases, and tokens a second."""

from __future__ import annotations

import pytest

from training.rl import clock
from training.rl.clock import Clock


def test_a_phase_within_another_does_not_count_for_the_outer_one(monkeypatch: pytest.MonkeyPatch):
    now = [0.0]
    monkeypatch.setattr(clock.time, "monotonic", lambda: now[0])
    watch = Clock()
    for _ in range(2):
        with watch.phase("update"):
            now[0] += 1.0
            with watch.phase("rollout"):
                now[0] += 4.0
            now[0] += 2.0
    watch.count("rollout", 1600)
    assert watch.rounded() == {"rollout": 8.0, "update": 6.0}
    assert watch.rates() == "rollout 200 tokens/s"

"""The load on the annotation page in its small form: nothing lost or doubled under `kill -9`."""

from __future__ import annotations

import pytest

from benchmarks.page import main

pytest.importorskip("uvicorn", reason="the extra 'annotate' is not installed")


@pytest.mark.long
def test_no_acknowledged_decision_is_lost_or_doubled_under_kills():
    small = ["--annotators", "20", "--tasks", "400", "--decided", "0.5", "--seconds", "6", "--kills", "2"]
    metrics = main(small)
    assert (metrics["lost"], metrics["doubled"]) == (0, 0)
    assert metrics["decisions"] > 20

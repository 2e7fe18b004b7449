"""Metrics of a run's labels are exact, and take the same memory however many labels there are."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path
from statistics import mean

from core.records import Judgment, OrderLogits
from publius.runs.pairs.label_metrics import LabelMetrics
from tests.publius.invoking import here
from tests.publius.projects import write_project

GENERATOR = random.Random(0)
JUDGMENTS = [
    Judgment(
        id=str(number),
        comparison_id="c",
        labeler="ai",
        verdict="a",
        p_a=0.6,
        orders=OrderLogits(a_first=GENERATOR.gauss(0.5, 1), b_first=GENERATOR.gauss(0.2, 1)),
        answer_mass=GENERATOR.random(),
    )
    for number in range(500)
]


def test_means_are_those_of_all_judgments():
    metrics = LabelMetrics()
    for judgment in JUDGMENTS:
        metrics.add(judgment)
    orders = [judgment.orders for judgment in JUDGMENTS if judgment.orders]
    rows = metrics.rows()
    assert rows["judgments.ai"] == len(orders) == 500
    assert rows["ai.slot_bias_nats"] == round(mean((o.a_first - o.b_first) / 2 for o in orders), 3)
    assert rows["ai.answer_mass"] == round(mean(j.answer_mass or 0.0 for j in JUDGMENTS), 3)
    assert rows["ai.same_slot_in_both_orders"] == mean((o.a_first > 0) != (o.b_first > 0) for o in orders)


def test_memory_does_not_grow_with_the_judgments():
    metrics = LabelMetrics()
    metrics.add(JUDGMENTS[0])
    tracemalloc.start()
    try:
        for _ in range(10):
            for judgment in JUDGMENTS:
                metrics.add(judgment)
        assert tracemalloc.get_traced_memory()[0] < 1000
    finally:
        tracemalloc.stop()


def test_ties_and_the_reasons_for_judgments_without_a_probability_are_counted():
    metrics = LabelMetrics()
    fields = {"comparison_id": "c", "labeler": "ai"}
    metrics.add(Judgment(id="t", verdict="tie", p_a=0.5, **fields))
    metrics.add(Judgment(id="s", verdict="skip", problem="abstained", **fields))
    for number, problem in enumerate(("low_mass", "low_mass", "refused", None)):
        metrics.add(Judgment(id=f"{number}", verdict="unparsed", problem=problem, **fields))
    rows = metrics.rows()
    assert (rows["judgments.ai"], rows["ai.unparsed"], rows["ai.ties"]) == (6, 4, 1)
    assert (rows["ai.unparsed.low_mass"], rows["ai.unparsed.refused"], rows["ai.abstained"]) == (2, 1, 1)


def test_the_summary_says_how_many_principles_each_pair_is_judged_under(tmp_path: Path):
    run_file = write_project(tmp_path / "project", prompts=4)
    done = here("run", run_file)
    assert done.returncode == 0, done.stderr
    drawn = "2 of 3 principles judged per pair (drawn by weight; label.principles: N or all)"
    assert f"\n{drawn}\n" in done.stdout
    assert "\n1 machine check evaluated on every pair\n" in done.stdout
    told = here("run", run_file, "--set", "label.principles=all")
    assert "\n3 of 3 principles judged per pair\n" in told.stdout

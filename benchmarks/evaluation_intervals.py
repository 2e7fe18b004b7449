"""Coverage of the intervals of an evaluation report, and its false alarms, on answers with known rates.

    python -m benchmarks.evaluation_intervals [--reports N] [--prompts 12 48 200] [--json FILE]

`tests/evaluation/simulated.py` says what is simulated (in the repository). Peers, on the same answers: the
percentile bootstrap and Student's interval within [0, 1], which reports had before.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from core.statistics.bootstrap import paired_intervals
from core.statistics.intervals import mean_interval
from tests.evaluation.simulated import DESIGNS, RATES, Answers, coverage, false_alarms


def peers(answers: Answers, prompts: int, reports: int) -> dict[str, float]:
    """Return the coverage of single rates by the percentile bootstrap and by Student's interval."""
    draw = np.random.default_rng(0)
    covered: dict[str, list[bool]] = {"bootstrap": [], "Student": []}
    for p in RATES:
        rows = answers.draw(draw, (p, p), prompts, 2 * reports)[0]
        bootstrap = paired_intervals(rows.tolist(), 0, 1_000)
        for row, resampled in zip(rows, bootstrap, strict=True):
            for name, (_, low, high) in (("bootstrap", resampled), ("Student", mean_interval(row))):
                covered[name].append(max(low, 0) - 1e-9 <= p <= min(high, 1) + 1e-9)
    return {name: float(np.mean(found)) for name, found in covered.items()}


def main() -> None:
    """Measure each design with each number of prompts and print a row for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=int, default=100)
    parser.add_argument("--alarms", type=int, default=1_000, help="reports of 20 checks without any change")
    parser.add_argument("--prompts", type=int, nargs="*", default=[12, 48, 200])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = []
    for prompts in given.prompts:
        for name, answers in DESIGNS.items():
            row = {"prompts": prompts, "answers": name, **coverage(answers, prompts, given.reports)}
            row |= peers(answers, prompts, given.reports)
            row["false alarms"] = false_alarms(answers, prompts, given.alarms)
            rows.append(row)
            cells = [f"{key} {value:.1%}" for key, value in row.items() if isinstance(value, float)]
            print(f"{prompts} prompts, {name}: {', '.join(cells)}", flush=True)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

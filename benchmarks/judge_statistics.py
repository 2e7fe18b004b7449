"""What a few gold labels are worth: corrected rates, calibrated labels, abstention, on simulated judges.

    python -m benchmarks.judge_statistics [--part rates|calibration|abstention] [--simulations N]

`tests/core/statistics/judges/simulated.py` says what is simulated (in the repository). Peers, on the same
simulated labels: gold alone against the corrected rate, raw against corrected labels, all against kept ones.
Figures are means over simulations.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tests.core.statistics.judges.simulated import (
    Judge,
    Scores,
    abstention_outcome,
    calibration_gain,
    rate_coverage,
)

JUDGES = {
    "sensitivity 0.90, specificity 0.85": Judge(0.9, 0.85),
    "sensitivity 0.80, specificity 0.75": Judge(0.8, 0.75),
    "sensitivity 0.98, specificity 0.98": Judge(0.98, 0.98),
    "probabilities, log-odds +-1 with noise 1": Judge(0, 0, 1.0),
    "sensitivity 0.50, specificity 0.50": Judge(0.5, 0.5),
    "sensitivity 0.40, specificity 0.50": Judge(0.4, 0.5),
}
RATES = (0.1, 0.3, 0.5, 0.8)


def rates(simulations: int) -> dict[str, Scores]:
    """Return coverage and width of corrected rates, 100 gold labels of 2,000 items."""
    return {
        f"{name}, rate {rate}": rate_coverage(judge, rate, simulations)
        for name, judge in JUDGES.items()
        for rate in RATES
    }


def calibration(simulations: int) -> dict[str, Scores]:
    """Return metrics of raw and corrected labels of a judge that is overconfident and likes length."""
    return {
        f"{gold} gold labels": means([calibration_gain(gold, seed) for seed in range(simulations // 10)])
        for gold in (50, 100, 200, 500)
    }


def abstention(simulations: int) -> dict[str, Scores]:
    """Return what abstention leaves of an error of 25 %, by its fall in the log-odds."""
    found = {}
    for most in (0.95, 0.85, 0.5):
        for gold in (500, 1000):
            outcomes = [abstention_outcome(seed, most, gold) for seed in range(simulations // 5)]
            row = means(outcomes)
            row["limit exceeded"] = float(np.mean([one["error of kept"] > 0.125 for one in outcomes]))
            found[f"wrong in {most:.0%} of the least sure fifth, {gold} gold labels"] = row
    return found


def means(rows: Sequence[Scores]) -> Scores:
    """Return the mean of each figure."""
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


PARTS: dict[str, Callable[[int], dict[str, Scores]]] = {
    "rates": rates,
    "calibration": calibration,
    "abstention": abstention,
}


def main() -> None:
    """Measure the parts that are named, or all, and print them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--part", choices=list(PARTS), action="append", help="may be repeated")
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result = {}
    for part in arguments.part or PARTS:
        result[part] = PARTS[part](arguments.simulations)
        for title, row in result[part].items():
            figures = ", ".join(f"{name} {value:.3f}" for name, value in row.items())
            print(f"{part}: {title}: {figures}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()

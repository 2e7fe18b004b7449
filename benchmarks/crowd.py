"""What learning from many annotators is worth: aggregation, mixing and selection, on simulated judgments.

    python -m benchmarks.crowd [--part crowd|mix|select] [--seeds N] [--json PATH]    (in the repository)

`tests/labelers/simulated.py` says what is simulated. Peers, on the same judgments of the same seed: the
majority and crowd-kit's Dawid-Skene model against the graded one; people and the AI labeler alone against
both; random questions against ranked ones. Each figure is the median over seeds; a difference has its mean
and 95 % bootstrap interval over seeds.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from core.statistics.bootstrap import paired_intervals
from labelers.crowd.methods import Aggregation
from tests.labelers.crowd.experiments import Scores, crowd_accuracy, mixed_accuracy, selected_accuracy

METHODS: tuple[Aggregation, ...] = ("majority", "graded", "dawid-skene")
BUDGETS = (50, 100, 200, 400)
SHARPNESS = {"calibrated": 1.0, "overconfident": 3.0}


def crowd(seeds: range) -> dict[str, Scores]:
    """Return figures by labels on each comparison, for every aggregation."""
    tables = {}
    for labels in (3, 5, 7):
        found = [crowd_accuracy(seed, labels, METHODS) for seed in seeds]
        against = [(name, "majority") for name in METHODS[1:]]
        tables[f"{labels} labels"] = summary(found, against)
    return tables


def mix(seeds: range) -> dict[str, Scores]:
    """Return figures of people, AI and both, by labels on each comparison and the AI's calibration."""
    tables = {}
    for kind, sharpness in SHARPNESS.items():
        for labels in (1, 3):
            found = [mixed_accuracy(seed, labels, sharpness) for seed in seeds]
            against = [("pooled", name) for name in ("machines", "humans", "weights")]
            tables[f"{kind}, {labels} labels"] = summary(found, against)
    return tables


def select(seeds: range) -> dict[str, Scores]:
    """Return the accuracy of all labels by budget, for ranked and for random questions."""
    tables = {}
    for kind, sharpness in SHARPNESS.items():
        found = [selected_accuracy(seed, BUDGETS, sharpness) for seed in seeds]
        against = [(f"ranked {budget // 2}", f"random {budget}") for budget in BUDGETS[1:]]
        tables[kind] = summary(found, against)
    return tables


def summary(found: Sequence[Scores], against: Sequence[tuple[str, str]]) -> Scores:
    """Return the median of each figure, and mean and interval of each difference."""
    row = {name: round(median(one[name] for one in found), 4) for name in found[0]}
    for first, second in against:
        (gap,) = paired_intervals([[one[first] - one[second] for one in found]], seed=0)
        for part, value in zip(("mean", "low", "high"), gap, strict=True):
            row[f"{first} - {second}, {part}"] = round(value, 4)
    return row


PARTS: dict[str, Callable[[range], dict[str, Scores]]] = {"crowd": crowd, "mix": mix, "select": select}


def main() -> None:
    """Measure the parts that are named, or all, and print them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--part", choices=list(PARTS), action="append", help="may be repeated")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # crowd-kit speaks to pandas in ways that are on their way out
    result = {part: PARTS[part](range(arguments.seeds)) for part in arguments.part or PARTS}
    for part, tables in result.items():
        for title, row in tables.items():
            print(f"\n{part}: {title}, {arguments.seeds} seeds")
            for name, value in row.items():
                print(f"  {name:<46}{value:>9.4f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()

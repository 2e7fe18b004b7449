"""Reward models trained on a judge's labels as they are, and on the same labels corrected by gold labels.

    python -m benchmarks.corrected_labels [--pairs hh_rlhf.jsonl.gz] [--seeds 5] [--json PATH]

The judge is overconfident, likes long answers and is noisy: its log-odds are 3 (m + e) + 3 x with e ~
N(0, 1.5^2) and x the log length ratio. On simulated pairs m is the true margin. With `--pairs`, on human
preferences (rows `chosen`, `rejected`; hh-rlhf), m is +1 or -1 for the answer that people prefer. A
correction is fitted on 100 (simulated) or 200 (real) gold labels. The reward model is a logistic regression
on differences of features: random ones on simulated pairs, counts of hashed words and the log length on real
ones. Its L2 penalty is the best of six on the gold labels, for each variant. Log-loss and accuracy are on
other pairs with gold labels; `log-loss scaled` is that of the margins after a temperature, fitted on the gold
labels too.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from core.statistics.bootstrap import Floats
from core.statistics.judges.abstention import risk_controlled
from core.statistics.judges.calibration import cross_validated, fit_logits
from core.statistics.judges.gold import GoldLogits, chance_of, log_loss

Scores = dict[str, float]
PLACES = 2048
PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
MAX_ERROR = 0.25
"""Limit of the error among kept labels, where the judge abstains."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of answers."""

    features: Floats
    """Differences of the answers' features, (N, D)."""
    lengths: Floats
    """Log length ratios, (N,)."""
    margins: Floats
    """What the judge sees of the truth, (N,)."""
    gold: Floats
    """1 if the first answer is better, else 0, (N,)."""

    def rows(self, places: slice) -> Pairs:
        """Return some of the pairs."""
        return Pairs(self.features[places], self.lengths[places], self.margins[places], self.gold[places])


def simulated(generator: np.random.Generator, count: int = 4100, dimensions: int = 30) -> Pairs:
    """Return pairs whose true margin is linear in random features; length is one of them, of no worth."""
    features = generator.normal(0, 1, (count, dimensions))
    weights = generator.normal(0, 1, dimensions) * 1.5 / dimensions**0.5
    weights[0] = 0.0
    margins = features @ weights
    gold = (generator.random(count) < chance_of(margins)).astype(np.float64)
    return Pairs(features, features[:, 0] / 2, margins, gold)


def human(path: Path, generator: np.random.Generator) -> Pairs:
    """Return human preferences in random order, each with a random first answer."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    answers = [[row[side].rpartition("\n\nAssistant:")[2] for side in ("chosen", "rejected")] for row in rows]
    order = generator.permutation(len(rows))
    side = generator.choice([-1.0, 1.0], len(rows))
    words = np.stack([hashed(answers[place][0]) - hashed(answers[place][1]) for place in order])
    lengths = np.array([np.log(max(1, len(c)) / max(1, len(r))) for c, r in (answers[p] for p in order)])
    features = np.concatenate([words, lengths[:, None]], axis=1) * side[:, None]
    return Pairs(features, lengths * side, side, (side > 0).astype(np.float64))


def hashed(text: str) -> Floats:
    """Return log counts of the words of a text by their hash."""
    counts = np.zeros(PLACES)
    for word in re.findall(r"\w+", text.lower()):
        counts[zlib.crc32(word.encode()) % PLACES] += 1
    return np.log1p(counts)


def variants(pairs: Pairs, gold: int, train: int, generator: np.random.Generator) -> dict[str, Scores]:
    """Return log-loss and accuracy of reward models by the labels that they were trained on."""
    count = len(pairs.gold)
    logits = 3 * (pairs.margins + generator.normal(0, 1.5, count)) + 3 * pairs.lengths
    slices = slice(0, gold), slice(gold, gold + train), slice(gold + train, count)
    known, learned, test = (pairs.rows(one) for one in slices)
    labels = GoldLogits(logits[slices[0]], known.gold, lengths=known.lengths)
    correction = fit_logits(labels)
    raw = logits[slices[1]]
    corrected = correction.apply(raw, learned.lengths)
    threshold = risk_controlled(cross_validated(labels), labels.gold, MAX_ERROR).threshold
    kept = np.abs(corrected) >= threshold
    temperature = fit_logits(GoldLogits(labels.logits, labels.gold))
    rows: dict[str, tuple[Floats, Floats]] = {
        "raw": (learned.features, chance_of(raw)),
        "hard": (learned.features, (raw > 0).astype(np.float64)),
        "temperature only": (learned.features, chance_of(temperature.apply(raw))),
        "corrected": (learned.features, chance_of(corrected)),
        "gold labels alone": (known.features, known.gold),
    }
    if kept.any():
        rows["corrected, abstaining"] = (learned.features[kept], chance_of(corrected[kept]))
    found = {name: measured(*data, known, test) for name, data in rows.items()}
    for name, z in (("raw", raw), ("corrected", corrected)):
        found[name]["label log-loss"] = float(log_loss(z, learned.gold).mean())
        found[name]["label accuracy"] = float(((z > 0) == (learned.gold > 0)).mean())
    if kept.any():
        right = (corrected[kept] > 0) == (learned.gold[kept] > 0)
        found["corrected, abstaining"] |= {"label accuracy": float(right.mean()), "kept": float(kept.mean())}
    return found


def measured(features: Floats, labels: Floats, known: Pairs, test: Pairs) -> Scores:
    """Return log-loss in nats and accuracy of a reward model on the test pairs."""
    models = [fitted(features, labels, penalty) for penalty in PENALTIES]
    best = min(models, key=lambda weights: float(log_loss(known.features @ weights, known.gold).mean()))
    margins = test.features @ best
    right = float(((margins > 0) == (test.gold > 0)).mean())
    scaled = fit_logits(GoldLogits(known.features @ best, known.gold)).apply(margins)
    return {
        "log-loss": float(log_loss(margins, test.gold).mean()),
        "log-loss scaled": float(log_loss(scaled, test.gold).mean()),
        "accuracy": right,
    }


def fitted(features: Floats, labels: Floats, penalty: float) -> Floats:
    """Return the weights of a logistic regression on soft labels."""

    def loss(weights: Floats) -> tuple[float, Floats]:
        z = features @ weights
        slope = features.T @ (chance_of(z) - labels) + penalty * weights
        return float(log_loss(z, labels).sum() + penalty * weights @ weights / 2), slope

    return np.asarray(minimize(loss, np.zeros(features.shape[1]), jac=True, method="L-BFGS-B").x)


def summary(runs: Sequence[dict[str, Scores]]) -> dict[str, Scores]:
    """Return mean and standard deviation over seeds of each figure of each variant."""
    found: dict[str, Scores] = {}
    for name in dict.fromkeys(name for run in runs for name in run):
        rows = [run[name] for run in runs if name in run]
        found[name] = {"seeds": len(rows)}
        for figure in rows[0]:
            values = [row[figure] for row in rows]
            spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
            found[name] |= {figure: float(np.mean(values)), f"{figure}, sd": spread}
    return found


def main() -> None:
    """Train on both kinds of pairs and print what was measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=Path, help="gzipped JSON lines with chosen and rejected transcripts")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    kinds: dict[str, tuple[Callable[[np.random.Generator], Pairs], int, int]] = {
        "simulated": (simulated, 100, 2000)
    }
    if arguments.pairs is not None:
        kinds["human"] = (lambda generator: human(arguments.pairs, generator), 200, 1000)
    result = {}
    for kind, (make, gold, train) in kinds.items():
        runs = []
        for seed in range(arguments.seeds):
            generator = np.random.default_rng(seed)
            runs.append(variants(make(generator), gold, train, generator))
        result[kind] = summary(runs)
        for name, row in result[kind].items():
            print(f"{kind}: {name}: {', '.join(f'{k} {v:.3f}' for k, v in row.items())}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""How large a change `publius audit model` tells from noise, by simulation: no model is asked.

    python benchmarks/tenet_power.py [--audits 200] [--json PATH]

A model that breaks one of ten tenets is audited beside its base, as in tenet_audit.py: every scenario is
rated under all ten tenets, by checks or by a judge of given sensitivity and specificity that says yes or
no and nothing more. A model is told if any of its ten differences is beyond noise at 5 % (Holm). False
alarms are the same for a model that breaks none.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from constitution.schema import Principle
from core.statistics.bootstrap import Floats
from evaluation.tenets.figures import RatedTenet, tenet_figures
from evaluation.tenets.ratings import AuditedReply, TenetRating

TENETS = [RatedTenet(Principle(id=f"t{n}", text=f"Tenet {n}."), "judge") for n in range(10)]
JUDGES = {
    "checks": (1.0, 1.0),
    "90 % / 90 %": (0.9, 0.9),
    "80 % / 90 %": (0.8, 0.9),
    "70 % / 70 %": (0.7, 0.7),
}
"""Sensitivity and specificity of who rates."""
BASE_RATES = (0.02, 0.2)
PLANTED_RATES = (0.4, 0.7, 0.95)


def ratings(variant: str, judged: Floats) -> list[TenetRating]:
    """Return the ratings of a variant from verdicts, [tenets, scenarios]."""
    found = []
    for scenario in range(judged.shape[1]):
        reply = AuditedReply(
            id=AuditedReply.key(variant, f"{scenario:03}", 0),
            variant=variant,
            scenario=f"{scenario:03}",
            tenet="t0",
            kind="benign",
            sample=0,
            messages=(),
            replies=(),
        )
        found += [
            TenetRating.of(reply, tenet.principle.id, "judge", violation=float(row[scenario]))
            for tenet, row in zip(TENETS, judged, strict=True)
        ]
    return found


def verdicts(
    rng: np.random.Generator, rates: Sequence[float], count: int, judge: tuple[float, float]
) -> Floats:
    """Return verdicts of a judge about violations at the given rates, [tenets, scenarios]."""
    true = rng.random((len(rates), count)) < np.asarray(rates)[:, None]
    chance = np.where(true, judge[0], 1 - judge[1])
    return np.asarray(rng.random(true.shape) < chance, dtype=np.float64)


def told(
    rng: np.random.Generator, base: float, planted: float, count: int, judge: tuple[float, float]
) -> bool:
    """Return whether one audit tells a model from its base."""
    rates = [base] * len(TENETS)
    before = verdicts(rng, rates, count, judge)
    after = verdicts(rng, [planted, *rates[1:]], count, judge)
    found = tenet_figures(
        TENETS, ("base", "model"), [*ratings("base", before), *ratings("model", after)], seed=0
    )
    differences = (one.variants[1].difference for one in found)
    return any(one is not None and one.is_beyond_noise for one in differences)


def main() -> None:
    """Print the shares of audits that tell a model from its base."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--audits", type=int, default=200)
    parser.add_argument("--scenarios", type=int, nargs="*", default=[12, 24, 48])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    for count in options.scenarios:
        for name, judge in JUDGES.items():
            for base in BASE_RATES:
                rng = np.random.default_rng(0)
                shares = [
                    sum(told(rng, base, planted, count, judge) for _ in range(options.audits))
                    / options.audits
                    for planted in (base, *PLANTED_RATES)
                ]
                rows.append({"scenarios": count, "judge": name, "base": base, "told": shares})
                cells = "  ".join(f"{share:5.1%}" for share in shares)
                print(
                    f"{count:3} scenarios  {name:12} base {base:4.0%}  none, 40, 70, 95 %: {cells}",
                    flush=True,
                )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

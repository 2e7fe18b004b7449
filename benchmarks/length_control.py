"""Length-controlled win rates against alpaca_eval's, on preferences that are drawn at random.

    python -m venv peer && peer/bin/pip install alpaca_eval==0.6.6 patsy scikit-learn 'setuptools<80'
    python benchmarks/length_control.py peer/bin/python [--cases 60] [--fixture PATH]

The peer's function is called with the same comparisons. It reads difficulties and the answers of gamed models
from the Hugging Face hub; here it is given drawn ones, so that nothing is downloaded. `--fixture` writes the
first cases with the peer's values, for `tests/evaluation/test_length_control.py`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.length_control import Anchors, length_controlled

PEER = """
import json, sys
import pandas as pd
from alpaca_eval.metrics import glm_winrate

found = []
for case in json.load(open(sys.argv[1])):
    count = len(case["p"])
    difficulty = case.get("difficulty") or [0.0] * count
    gamed = case.get("anchors") or {"standardised": [0.0] * count, "p": [0.5] * count}
    anchors = pd.DataFrame(
        {
            "model": "gamed",
            "index": [place % count for place in range(len(gamed["p"]))],
            "instruction_difficulty": [difficulty[place % count] for place in range(len(gamed["p"]))],
            "std_delta_len": gamed["standardised"],
            "preference": gamed["p"],
            "not_gamed_baseline": False,
        }
    )
    anchors.to_csv(sys.argv[2], index=False)
    glm_winrate.hf_hub_download = lambda **_: sys.argv[2]
    frame = pd.DataFrame(
        {
            "preference": [1 + p for p in case["p"]],
            "output_1": ["x" * length for length in case["base_lengths"]],
            "output_2": ["x" * length for length in case["lengths"]],
            "index": range(count),
            "generator_1": "base",
            "generator_2": "ours",
            "annotator": "drawn",
        }
    )
    metrics = glm_winrate.get_length_controlled_winrate(
        frame, glm_name=case["glm"], save_weights_dir=None, is_add_glm_preference_inplace=False
    )
    found.append(metrics["length_controlled_winrate"] / 100)
json.dump(found, open(sys.argv[3], "w"))
"""
_SIZES = (12, 24, 48, 100, 200)
_NAMES = ("length_controlled_minimal", "length_controlled_noreg", "length_controlled_v1")


def drawn(number: int) -> dict[str, Any]:
    """Return drawn comparisons of one size, with difficulties and anchors where the peer's model has them."""
    rng = np.random.default_rng(number)
    count, glm = _SIZES[number % len(_SIZES)], _NAMES[number % len(_NAMES)]
    base = np.exp(rng.normal(6.5, 0.5, count)).astype(int) + 5
    ours = np.maximum(1, (base * np.exp(rng.normal(rng.normal(0.2, 0.3), 0.4, count))).astype(int))
    term = np.tanh((base - ours) / (base - ours).std(ddof=1))
    difficulty = rng.normal(0, 1, count) * (glm != _NAMES[0])
    odds = rng.normal(0, 0.7) + rng.normal(-1, 0.6) * term + 0.6 * difficulty + rng.normal(0, 1, count)
    p = 1 / (1 + np.exp(-odds))
    if number % 4 == 3:  # verdicts instead of probabilities
        p = (rng.random(count) < p).astype(float)
    case: dict[str, Any] = {
        "glm": glm,
        "p": np.round(p, 4).tolist(),
        "lengths": ours.tolist(),
        "base_lengths": base.tolist(),
    }
    if glm != _NAMES[0]:
        case["difficulty"] = np.round(difficulty, 4).tolist()
    if glm == _NAMES[2]:
        both = np.round(rng.normal(0, 1.2, 2 * count), 4)
        wins = 1 / (1 + np.exp(1.5 * np.tanh(both) - 0.6 * np.tile(case["difficulty"], 2)))
        case["anchors"] = {"standardised": both.tolist(), "p": np.round(wins, 4).tolist()}
    return case


def ours(case: dict[str, Any]) -> float:
    """Return our length-controlled win rate of a case."""
    anchors = case.get("anchors")
    given = None
    if anchors is not None:
        given = Anchors(anchors["p"], anchors["standardised"], case["difficulty"] * 2)
    return length_controlled(
        case["p"], case["lengths"], case["base_lengths"], case.get("difficulty"), given
    ).rate


def peers(python: Path, cases: list[dict[str, Any]]) -> list[float]:
    """Return the peer's values."""
    with tempfile.TemporaryDirectory() as folder:
        given, anchors, found = (Path(folder) / name for name in ("given.json", "anchors.csv", "found.json"))
        given.write_text(json.dumps(cases))
        subprocess.run([python, "-c", PEER, given, anchors, found], check=True, capture_output=True)
        return list(json.loads(found.read_text()))


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("python", type=Path, help="the interpreter of an environment with alpaca_eval")
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--fixture", type=Path)
    options = parser.parse_args()
    cases = [drawn(number) for number in range(options.cases)]
    theirs = peers(options.python, cases)
    for name in _NAMES:
        gaps = [abs(ours(c) - t) for c, t in zip(cases, theirs, strict=True) if c["glm"] == name]
        print(f"{name:<28} {len(gaps)} cases, largest difference {100 * max(gaps):.4f} points")
    if options.fixture:
        kept = [{**case, "alpaca_eval": value} for case, value in zip(cases, theirs, strict=True)]
        decided = [
            case for case in kept if len(case["p"]) in (48, 100) and abs(case["alpaca_eval"] - 0.5) > 0.01
        ]
        small = [case for name in _NAMES for case in [c for c in decided if c["glm"] == name][:2]]
        options.fixture.write_text(json.dumps(small) + "\n")


if __name__ == "__main__":
    main()

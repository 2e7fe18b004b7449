"""Phrases that spread in the published samples of the Constitutional AI paper, found without a list.

    python benchmarks/boilerplate.py FOLDER [--json PATH]

The folder holds the files `PALMS_*.jsonl.gz`: 17 samples to each of 40 prompts by RL-CAI (`RLMADISON`),
RL-CAI with chain of thought (`RLMADISON_COT`), RLHF for helpfulness (`HRLHF`) and for both (`HHRLHF`), with
the score of a preference model, and the revisions that SL-CAI learned from (`SLMADISON`) (Bai et al. 2022,
arXiv 2212.08073; not part of this repository). Each model is compared with the helpful one and with the
revisions. The peer counts every occurrence instead of answers and corrects nothing: log-odds with an
informative Dirichlet prior, |z| > 1.96 (Monroe et al. 2008, as it is often used).

The second table: the share of best-of-n answers with a phrase of reassurance, if the preference model
chooses.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.text.similarity import words_of
from evaluation.drift.best_of_n import best_of_n_curve
from evaluation.drift.phrases import LONGEST, SHORTEST, spread_phrases

MODELS = ("RLMADISON", "RLMADISON_COT", "HHRLHF", "HRLHF")
REASSURANCE = "here to listen"
_PRIOR = 1000.0
"""Size of the peer's prior, in phrases."""


def rows(folder: Path, name: str) -> list[dict[str, object]]:
    """Return the rows of one file."""
    with gzip.open(folder / f"PALMS_{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def samples(folder: Path, name: str) -> dict[str, list[tuple[str, float]]]:
    """Return the samples of a model by prompt, with their scores."""
    return {
        str(row["rl_prompt"]): [
            (one["sampled_string"].split("\n\nHuman:")[0], one["pm_scores"][0]["pm_score"])
            for one in row["sampled_answers"]  # type: ignore[attr-defined]
        ]
        for row in rows(folder, name)
    }


def revisions(folder: Path) -> dict[str, list[str]]:
    """Return the last revision of each prompt."""
    found = rows(folder, "SLMADISON")
    return {str(row["rl_prompt"]): [row["cst"][-1]["revision"]["sample"]] for row in found}  # type: ignore[index]


def occurrences(answers: Mapping[str, Sequence[str]]) -> Counter[tuple[str, ...]]:
    """Return how often each phrase occurs, repetitions within an answer included."""
    counts = Counter[tuple[str, ...]]()
    for texts in answers.values():
        for text in texts:
            words = words_of(text)
            for size in range(SHORTEST, LONGEST + 1):
                counts.update(tuple(words[start : start + size]) for start in range(len(words) - size + 1))
    return counts


def peer_finds(ours: Mapping[str, Sequence[str]], base: Mapping[str, Sequence[str]]) -> int:
    """Return the number of phrases that the peer finds."""
    mine, theirs = occurrences(ours), occurrences(base)
    together, total, other = mine + theirs, mine.total(), theirs.total()
    everything = together.total()
    found = 0
    for phrase, count in together.items():
        prior = _PRIOR * count / everything
        one, two = mine[phrase] + prior, theirs[phrase] + prior
        delta = math.log(one / (total + _PRIOR - one)) - math.log(two / (other + _PRIOR - two))
        found += delta / math.sqrt(1 / one + 1 / two) > 1.96
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    scored = {name: samples(options.folder, name) for name in MODELS}
    texts = {name: {p: [text for text, _ in given] for p, given in scored[name].items()} for name in MODELS}
    texts["SLMADISON"] = revisions(options.folder)
    results: dict[str, object] = {}
    for base in ("HRLHF", "SLMADISON"):
        for name in MODELS:
            if name == base:
                continue
            found = spread_phrases(texts[name], texts[base])
            boilerplate = sum(phrase.is_boilerplate for phrase in found)
            peer = peer_finds(texts[name], texts[base])
            described = [phrase.as_json() for phrase in found]
            results[f"{name} against {base}"] = {"peer": peer, "found": described}
            print(f"{name} against {base}: {len(found)} phrases, {boilerplate} boilerplate (peer {peer:,})")
            for phrase in found[:6]:
                print(f"    {100 * phrase.rise:+5.1f} points  p {phrase.p_value:.3f}  {phrase.text}")
    for name in MODELS:
        given = list(scored[name].values())
        gold = [[float(REASSURANCE in text.lower()) for text, _ in of_prompt] for of_prompt in given]
        points = best_of_n_curve([[score for _, score in of_prompt] for of_prompt in given], gold)
        results[f"best of n, {name}"] = [point.as_json() for point in points]
        shown = ", ".join(f"{p.n}: {100 * p.gold.value:.0f} %" for p in points)
        print(f"{name}, best of n by the preference model, share with {REASSURANCE!r}: {shown}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()

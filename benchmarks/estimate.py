"""How near is the estimate of a run to what the run takes? Prompt tokens, generated tokens and seconds.

    python benchmarks/estimate.py [--to DIR] [--runs demo,steer] [--set KEY=VALUE ...] [--json PATH]

Two example runs with the embedded model, each in a new project with an empty cache: `demo`, the run that
`publius init` writes for the preset plain-and-brief, and `steer`, a constitution of one machine check with
the recipe `compliance`. Each is estimated, run, and compared. The peer in the same table is the naive
estimate, in which every answer has the length of its limit, `max_new_tokens`. Interrupted, it goes on where
it was.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.records import Sampling
from publius.authoring.estimating.estimate import EstimateRequest, estimate_run
from publius.authoring.estimating.lengths import AnswerLengths, ExpectedLength
from publius.runs.project import init_project
from publius.stages.runner import RunRequest, execute

CONSTITUTION = """\
name: short
principles:
  - {id: at-most-40-words, text: The reply is at most 40 words long., check: {kind: max_words, value: 40}}
"""
STEER = """\
name: short
recipe: compliance
constitution: constitution.yaml
prompts: {path: prompts.jsonl, limit: 32}
models: {policy: smollm2-135m-instruct}
choose: {prompts: 8}
dpo: {rounds: 1}
"""


class NaiveLengths(AnswerLengths):
    """Every answer is as long as its limit."""

    def of(self, model: str, purpose: str, sampling: Sampling) -> ExpectedLength:
        """Return the limit."""
        limit = sampling.max_new_tokens
        return ExpectedLength(limit, limit, 0)


def write_example(folder: Path, name: str) -> Path:
    """Write the project of an example unless it is there; return its run file."""
    if not folder.exists():
        init_project(folder, "plain-and-brief")
        if name == "steer":
            (folder / "constitution.yaml").write_text(CONSTITUTION, encoding="utf-8")
            (folder / "run.yaml").write_text(STEER, encoding="utf-8")
    return folder / "run.yaml"


def measure(run_file: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Estimate a run, run it, and return both."""
    kept = run_file.with_name("estimate.json")
    if not kept.exists():  # an interrupted run has its answers in the cache
        request = EstimateRequest(run_file, overrides)
        naive = estimate_run(request, lengths=NaiveLengths()).as_json()
        estimate = estimate_run(request).as_json()
        kept.write_text(json.dumps({"estimate": estimate, "naive": naive}), encoding="utf-8")
    found = json.loads(kept.read_text(encoding="utf-8"))
    rows = execute(RunRequest(run_file, overrides)).as_json()["estimated"]
    total, actual = found["estimate"]["total"], sum(row["read"] for row in rows)
    written = sum(row["written"] for row in rows)
    return {
        "prompt_tokens": {
            "actual": actual,
            "estimated": total["prompt_tokens"],
            "ratio": total["prompt_tokens"] / actual,
            "naive_ratio": found["naive"]["total"]["prompt_tokens"] / actual,
        },
        "generated_tokens": {
            "actual": written,
            **total["generated_tokens"],
            "ratio": total["generated_tokens"]["expected"] / written,
            "naive_ratio": found["naive"]["total"]["generated_tokens"]["expected"] / written,
            "within": all(_within(row) for row in rows),
        },
        "stages": rows,
    }


def _within(row: dict[str, Any]) -> bool:
    bounds = row["generated_tokens"]
    return bool(bounds["lower"] <= row["written"] <= bounds["upper"])


def main() -> None:
    """Run the examples and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--to", type=Path, default=Path("estimates"), help="folder of the projects")
    parser.add_argument("--runs", default="demo,steer", help="which examples, separated by commas")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    figures = {}
    print(f"{'run':<8}{'tokens':<18}{'actual':>9}{'estimated':>11}{'ratio':>8}{'naive':>8}")
    for name in options.runs.split(","):
        figures[name] = found = measure(write_example(options.to / name, name), options.overrides)
        read, written = found["prompt_tokens"], found["generated_tokens"]
        print(f"{name:<8}{'prompts':<18}{read['actual']:>9,}{read['estimated']:>11,}", end="")
        print(f"{read['ratio']:>8.3f}{read['naive_ratio']:>8.3f}")
        within = "within bounds" if written["within"] else "OUT OF BOUNDS"
        print(f"{name:<8}{'generated':<18}{written['actual']:>9,}{written['expected']:>11,}", end="")
        print(f"{written['ratio']:>8.3f}{written['naive_ratio']:>8.3f}  {within}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

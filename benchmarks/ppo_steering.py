"""Does PPO move the embedded model where a constitution's machine checks point, and at what price?

    python benchmarks/ppo_steering.py [--to DIR] [--json PATH]

The constitution is the preset `plain-and-brief`. PPO is rewarded by its two machine checks alone (at most 60
words, no stock phrase), from the model as it came. The peer is DPO from the same model with as many generated
tokens: its samples are drawn from the untrained model on the same prompts and labelled by the same checks, no
model judging. Both are measured on the same held-out prompts, answered greedily.

A cut answer costs PPO half a point (`missing_eos_penalty`), which DPO has no like of: its cut answers are
labelled as they stand. The tokens that PPO drew are counted first; DPO gets the even number of samples to a
prompt that comes nearest, and the tokens of both are printed. Interrupted, it goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from steering import answers_of, main, shares, write_once

from core.records import Answer
from core.statistics.bootstrap import paired_intervals
from core.store.record_store import RecordStore
from evaluation.measures import COMPLIANCE, answer_series
from publius.runs.records import RunFiles
from publius.stages.base import Stage
from publius.stages.runner import RunRequest, execute

PRESET = "plain-and-brief"
PROMPTS = 64
"""Prompts to learn from; 48 others are held out."""
COMMON = """\
seed: 0
constitution: plain-and-brief
prompts: {path: prompts.jsonl, limit: 64}
models: {policy: smollm2-135m-instruct}
engine: {max_batch: 32, concurrency: 32}
lora: {r: 16, alpha: 32}
eval: {sampling: {max_new_tokens: 256}}
"""
PPO = """\
name: checks-ppo
train: [ppo]
optim: {warmup: 0.1, checkpoint_every: 2}
ppo:
  rewards: {checks: 1.0}
  steps: 20
  rollouts: 32
  minibatch: 16
  max_new_tokens: 96
  critic: shared
  learning_rate: 2.0e-4
  critic_learning_rate: 2.0e-4
  kl_coef: 0.02
  missing_eos_penalty: 0.5
  stop_kl: 40
"""
DPO = """\
name: checks-dpo
train: [dpo]
optim: {batch_size: 16, micro_batch: 8, max_length: 512, checkpoint_every: 5}
compare: {from: base, samples: SAMPLES, sampling: {temperature: 1.0, max_new_tokens: 96}}
label: {principles: 0}
dpo: {learning_rate: 1.0e-4, epochs: 2}
"""
DPO_STAGES: tuple[Stage, ...] = ("compare", "label", "dpo", "eval")
"""No critique: samples are of the untrained model."""


def write_project(folder: Path) -> None:
    """Write prompts and PPO's run file; what is there already stays."""
    folder.mkdir(parents=True, exist_ok=True)
    prompts = (files("prompts") / "demo" / "prompts.jsonl").read_text(encoding="utf-8")
    write_once(folder / "prompts.jsonl", prompts)
    write_once(folder / "run-ppo.yaml", COMMON + PPO)


def drawn_by_ppo(run: Path) -> tuple[int, float, float]:
    """Return the tokens that PPO drew, the mean length of its first and divergence of its last answers."""
    rows = [json.loads(line) for line in (run / "ppo" / "metrics.jsonl").read_text().splitlines()]
    lengths = [row["completions/mean_length"] for row in rows]
    answers = rows[0]["episode"]
    return round(answers * sum(lengths)), lengths[0], rows[-1]["objective/kl"]


def drawn_for_dpo(run: Path) -> tuple[int, int, int]:
    """Return DPO's tokens, and how many comparisons became preferences, of how many."""
    with RecordStore(run, writable=False) as store:
        run_files = RunFiles(store)
        comparisons = list(run_files.comparisons)
        preferences = sum(1 for _ in run_files.preferences)
    manifest = json.loads((run / "manifest.json").read_text())
    return manifest["stages"]["compare"]["requests"]["completion_tokens"], preferences, len(comparisons)


def compliance_of(answers: Mapping[str, Answer], prompts: list[str]) -> dict[str, list[float]]:
    """Return by measure the values of one variant's answers, in order of the prompts."""
    from constitution.loader import load_constitution

    constitution = load_constitution(PRESET)
    series = answer_series("one", [answers[prompt] for prompt in prompts], constitution)
    wanted = (COMPLIANCE, f"{COMPLIANCE}.at-most-60-words", f"{COMPLIANCE}.no-stock-phrases", "finished")
    return {s.measure: [s.values[p] for p in prompts] for s in series if s.measure in (*wanted, "words")}


def measure(ppo: Path, dpo: Path) -> dict[str, Any]:
    """Return every measure of each variant on the held-out prompts, and its paired difference to base."""
    answers = {"base": answers_of(ppo)["base"], "ppo": answers_of(ppo)["ppo"], "dpo": answers_of(dpo)["dpo"]}
    prompts = sorted(set.intersection(*(set(found) for found in answers.values())))
    values = {variant: compliance_of(found, prompts) for variant, found in answers.items()}
    names = list(values["base"])
    rows = [values[variant][name] for variant in answers for name in names]
    gaps = [
        [one - other for one, other in zip(values[trained][name], values["base"][name], strict=True)]
        for trained in ("ppo", "dpo")
        for name in names
    ]
    intervals = [interval._asdict() for interval in paired_intervals([*rows, *gaps], seed=0)]
    keys = [(variant, name) for variant in answers for name in names]
    keys += [(f"{trained} less base", name) for trained in ("ppo", "dpo") for name in names]
    table: dict[str, dict[str, Any]] = {}
    for (variant, name), interval in zip(keys, intervals, strict=True):
        table.setdefault(variant, {})[name] = interval
    for variant, found in answers.items():
        table[variant] |= shares(found, prompts)
    return {"prompts": len(prompts), "table": table}


def print_table(result: Mapping[str, Any]) -> None:
    """Print the table and what it cost."""
    print(f"\nmean on {result['prompts']} held-out prompts (95 % interval)")
    for variant, row in result["table"].items():
        print(f"  {variant}")
        for name, interval in row.items():
            if isinstance(interval, dict):
                low, high = interval["low"], interval["high"]
                print(f"    {name:<32} {interval['value']:8.3f} ({low:.3f} to {high:.3f})")
            else:
                print(f"    {name:<32} {interval:8.3f}")
    for name in ("ppo", "dpo"):
        print(f"  {name}: {json.dumps(result[name])}")


def divergence(run: Path, variant: str) -> float:
    """Return how far a variant has moved from base, in nats per token, as the run's evaluation has it."""
    figures = json.loads((run / "eval" / "metrics.json").read_text())["metrics"]
    (found,) = (row["value"] for row in figures if row["name"] == f"{variant}.kl")
    return float(found)


def run(folder: Path) -> dict[str, Any]:
    """Run PPO and then DPO in a project folder, and return what was measured."""
    write_project(folder)
    ppo = execute(RunRequest(folder / "run-ppo.yaml")).folder
    tokens, length, kl = drawn_by_ppo(ppo)
    samples = max(2, 2 * round(tokens / length / PROMPTS / 2))
    write_once(folder / "run-dpo.yaml", COMMON + DPO.replace("SAMPLES", f"{samples}"))
    dpo = execute(RunRequest(folder / "run-dpo.yaml", stages=DPO_STAGES)).folder
    theirs, kept, compared = drawn_for_dpo(dpo)
    spent = {
        "ppo": {"tokens": tokens, "kl_per_answer": kl, "kl_per_token": divergence(ppo, "ppo")},
        "dpo": {
            "tokens": theirs,
            "samples": samples,
            "comparisons": compared,
            "preferences": kept,
            "kl_per_token": divergence(dpo, "dpo"),
        },
    }
    return measure(ppo, dpo) | spent


if __name__ == "__main__":
    main(__doc__, Path("steer-ppo"), run, print_table)

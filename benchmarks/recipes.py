"""Which recipe teaches an exact check best from the same number of generated tokens?

    python benchmarks/recipes.py [--to DIR] [--only NAME ...] [--rows N] [--tokens 15000] [--json PATH]

Two constitutions of steering_suite.py by ten recipes: the constitution as system prompt (no training), SFT on
revisions, SFT on the best of four draws, SFT on edits, the same with DPO after it, DPO once and in rounds
after SFT on whole answers, DPO on prompted against plain answers, distillation from the prompted model, and
PPO on the checks. Every recipe generates about the same number of tokens before the evaluation; the table has
the number. Other settings are those of `recipe: compliance`, where it has them. The last model of each recipe
is measured, none is chosen, on 40 held-out prompts, greedily, with at most 160 tokens.

A row is written to rows.jsonl as soon as it is measured; interrupted, the script goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from steering_suite import answers_of, append_row, as_points, as_share, mean_words, read_rows, write_inputs

from constitution.checks.evaluate import evaluate
from constitution.loader import load_constitution
from core.statistics.bootstrap import paired_intervals
from core.text.yaml_writing import yaml_text
from publius.config.recipe import recipe_values
from publius.runs.manifest import read_manifest
from publius.stages.base import Stage
from publius.stages.outcome import evaluation_of
from publius.stages.runner import RunRequest, execute

CONSTITUTIONS = ("short", "opening")
ANSWER, DRAW, LEARNED, EDITED, CRITIQUE, ROLLOUTS = 135, 97, 80, 45, 40, 16
"""Mean tokens of the embedded model's answers, of draws with at most 112 tokens, of answers after SFT on
draws and on edits, and of critiques; answers of an on-policy step."""
SAMPLING = {"temperature": 0.8, "top_p": 0.95, "max_new_tokens": 160}
RECIPES: Mapping[str, tuple[Stage, ...]] = {
    "prompted": ("eval",),
    "sft on revisions": ("critique", "sft", "eval"),
    "sft on best of 4": ("sample", "sft", "eval"),
    "sft on edits": ("sample", "sft", "eval"),
    "sft on edits, dpo once": ("sample", "sft", "compare", "label", "dpo", "eval"),
    "dpo once": ("sample", "sft", "compare", "label", "dpo", "eval"),
    "dpo in rounds": ("sample", "sft", "compare", "label", "dpo", "eval"),
    "prompted against plain": ("compare", "label", "dpo", "eval"),
    "distill": ("distill", "eval"),
    "ppo": ("ppo", "eval"),
}
"""The stages of each recipe."""
PER_PROMPT: Mapping[str, float] = {
    "sft on revisions": 2 * ANSWER + CRITIQUE,
    "sft on best of 4": 4 * DRAW,
    "sft on edits": 2 * DRAW,
    "sft on edits, dpo once": 2 * DRAW + 2 * EDITED,
    "dpo once": 2 * DRAW + 2 * LEARNED,
    "dpo in rounds": 2 * DRAW + 4 * LEARNED,
    "prompted against plain": 2 * ANSWER,
}
"""Tokens that a recipe generates for each prompt: draws and pairs."""
MEASURED: Mapping[tuple[str, str], float] = {
    ("short", "sft on revisions"): 225,
    ("opening", "dpo once"): 256,
    ("opening", "dpo in rounds"): 513,
}
"""Tokens per prompt as measured, by constitution and recipe, where the sum above was off by a tenth."""
BEGUN = ("opening",)
"""Constitutions whose answers are begun for the model, which generates one more draw; others are edited."""
PLAIN_SFT = {"from": "samples", "learning_rate": 2.0e-4, "epochs": 3}
"""SFT that learns whole answers, at a learning rate that leaves neutral text as it was."""
_MEASURED_BY = ("eval", "choose")
"""Stages whose tokens are no part of a recipe."""


def run_file(recipe: str, constitution: str, tokens: int, seed: int) -> dict[str, Any]:
    """Return the values of a recipe's run file."""
    own = recipe_values("compliance")
    methods = [stage for stage in RECIPES[recipe] if stage in ("sft", "dpo", "distill", "ppo")]
    taught = DRAW if constitution in BEGUN and "sample" in RECIPES[recipe] and "best" not in recipe else 0
    per_prompt = MEASURED.get((constitution, recipe), PER_PROMPT.get(recipe, 0) + taught)
    limit = min(96, round(tokens / per_prompt)) if recipe in PER_PROMPT else 96
    measured = methods or ["prompted"]  # the last method trains nothing where no pair differs
    values: dict[str, Any] = {
        "name": f"{constitution}-{recipe.replace(',', '').replace(' ', '-')}",
        "seed": seed,
        "constitution": f"../{constitution}.yaml",
        "prompts": {"path": "../prompts.jsonl", "limit": limit},
        "models": {"policy": "smollm2-135m-instruct"},
        "train": methods,
        "label": {"principles": 0},
        "lora": own["lora"],
        "optim": own["optim"],
        "eval": {"models": ["base", *measured], "sampling": {"max_new_tokens": 160}},
    }
    return values | _own_sections(recipe, own, tokens)


def _own_sections(recipe: str, own: Mapping[str, Any], tokens: int) -> dict[str, Any]:
    """Return the sections that differ between the recipes."""
    steps = max(1, round(tokens / (ANSWER * ROLLOUTS)))
    if recipe == "sft on revisions":
        critique = {"rounds": 1, "draft": SAMPLING, "revision": SAMPLING, "critique": {"max_new_tokens": 48}}
        return {"critique": critique, "sft": {**PLAIN_SFT, "from": "revisions"}}
    if recipe == "sft on best of 4":
        return {"sample": {**own["sample"], "draws": 4, "teach": []}, "sft": PLAIN_SFT}
    if recipe == "sft on edits":
        return {"sample": own["sample"], "sft": own["sft"]}
    if recipe.endswith(("dpo once", "dpo in rounds")):
        sft = own["sft"] if "edits" in recipe else PLAIN_SFT
        rounds = 2 if recipe == "dpo in rounds" else 1
        names = ("sample", "compare")
        return {**{name: own[name] for name in names}, "sft": sft, "dpo": {**own["dpo"], "rounds": rounds}}
    if recipe == "prompted against plain":
        compare = {**own["compare"], "from": "prompted"}
        return {"compare": compare, "dpo": {**own["dpo"], "init": "base", "rounds": 1}}
    if recipe == "distill":
        return {"distill": {**own["distill"], "steps": steps, "rollouts": ROLLOUTS}}
    if recipe == "ppo":
        return {"ppo": _ppo(steps)}
    return {}


def _ppo(steps: int) -> dict[str, Any]:
    """Return the settings of PPO, those of ppo_steering.py."""
    return {
        "rewards": {"checks": 1.0},
        "steps": steps,
        "rollouts": ROLLOUTS,
        "minibatch": ROLLOUTS,
        "max_new_tokens": 160,
        "critic": "shared",
        "learning_rate": 2.0e-4,
        "critic_learning_rate": 2.0e-4,
        "kl_coef": 0.02,
        "missing_eos_penalty": 0.5,
        "stop_kl": 40,
    }


def generated(run: Path) -> int:
    """Return the tokens that a recipe generated before the evaluation, those of on-policy steps included."""
    stages = read_manifest(run)["stages"]
    total = sum(
        stage["requests"].get("completion_tokens", 0)
        for name, stage in stages.items()
        if name not in _MEASURED_BY
    )
    for path in (run / "ppo" / "metrics.jsonl", run / "distill" / "metrics.jsonl"):
        if path.is_file():
            steps = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            total += round(sum(ROLLOUTS * step.get("completions/mean_length", 0.0) for step in steps))
    return total


def measure(recipe: str, constitution: str, folder: Path, tokens: int, seed: int) -> dict[str, Any]:
    """Run a recipe and return its row."""
    project = _project(recipe, constitution, folder, seed)
    path = project / "run.yaml"
    path.write_text(yaml_text(run_file(recipe, constitution, tokens, seed)), encoding="utf-8")
    started = time.monotonic()
    run = execute(RunRequest(path, stages=RECIPES[recipe])).folder
    minutes = (time.monotonic() - started) / 60
    answers = answers_of(run)
    (check,) = (p.check for p in load_constitution(run / "constitution.yaml").principles if p.check)
    methods = [variant for variant in answers if variant != "base"]
    variant = methods[-1] if methods else "base"
    shared = sorted(set(answers["base"]) & set(answers[variant]))
    base, after = (
        [float(evaluate(check, answers[name][p].generation.text).passed) for p in shared]
        for name in ("base", variant)
    )
    (gain,) = paired_intervals([[a - b for a, b in zip(after, base, strict=True)]], seed=0)
    found = {m["name"]: m["value"] for m in (evaluation_of(run) or {"metrics": ()})["metrics"]}
    return {
        "row": row_name(recipe, constitution, seed),
        "recipe": recipe,
        "constitution": constitution,
        "tokens": generated(run),
        "base": sum(base) / len(base),
        "after": sum(after) / len(after),
        "gain": gain._asdict(),
        "neutral_loss": found.get(f"{variant}.neutral_loss.delta"),
        "sameness": found.get(f"{variant}.sameness"),
        "finished": found.get(f"{variant}.finished"),
        "words": mean_words(answers[variant].values()),
        "minutes": minutes,
    }


def _project(recipe: str, constitution: str, folder: Path, seed: int) -> Path:
    """Return the project of a recipe, which finds no other answers than those of the base model."""
    first, own = (
        folder / f"{constitution}-{name.replace(',', '').replace(' ', '-')}-{seed}"
        for name in ("prompted", recipe)
    )
    if first.is_dir() and not own.is_dir():  # `prompted` has only answers to held-out prompts
        shutil.copytree(first / ".publius", own / ".publius")
    own.mkdir(parents=True, exist_ok=True)
    return own


def row_name(recipe: str, constitution: str, seed: int) -> str:
    """Return the name of a row."""
    return f"{constitution}, {recipe}, seed {seed}"


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the rows, by constitution from the most to the least compliant, and the mean of each recipe."""
    print(
        f"\n{'constitution':<13}{'recipe':<24}{'tokens':>8}{'base':>6}{'after':>7}  {'gain (95 %)':<22}"
        f"{'neutral':>8}{'same':>6}{'finished':>10}{'words':>7}{'min':>6}"
    )
    for row in sorted(rows, key=lambda row: (row["constitution"], -row["after"])):
        neutral = "?" if row["neutral_loss"] is None else f"{row['neutral_loss']:+.3f}"
        print(
            f"{row['constitution']:<13}{row['recipe']:<24}{row['tokens']:>8,}{row['base']:>6.0%}"
            f"{row['after']:>7.0%}  {as_points(row['gain']):<22}{neutral:>8}{as_share(row['sameness']):>6}"
            f"{as_share(row['finished']):>10}{row['words']:>7.0f}{row['minutes']:>6.1f}"
        )
    print("\nmean gain")
    for name, gain in sorted(mean_gains(rows).items(), key=lambda entry: -entry[1]):
        print(f"  {name:<24}{gain:+.0%}")


def mean_gains(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the mean gain over base of each recipe, over its rows."""
    gains: dict[str, list[float]] = {}
    for row in rows:
        gains.setdefault(row["recipe"], []).append(row["gain"]["value"])
    return {name: sum(found) / len(found) for name, found in gains.items()}


def main() -> None:
    """Read the command line, measure the rows that are missing, and print all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--to", type=Path, default=Path("recipes"), help="folder of rows and projects")
    parser.add_argument("--only", nargs="+", default=tuple(RECIPES), choices=tuple(RECIPES), metavar="NAME")
    parser.add_argument("--constitutions", nargs="+", default=CONSTITUTIONS, metavar="NAME")
    parser.add_argument("--rows", type=int, help="end after this many new rows")
    parser.add_argument("--tokens", type=int, default=15_000, help="tokens that each recipe generates")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folder = options.to.resolve()
    write_inputs(folder)
    path, new = folder / "rows.jsonl", 0
    for constitution in options.constitutions:
        for recipe in options.only:
            name = row_name(recipe, constitution, options.seed)
            if name in read_rows(path) or (options.rows is not None and new >= options.rows):
                continue
            print(f"\n{name}", flush=True)
            append_row(path, measure(recipe, constitution, folder, options.tokens, options.seed))
            new += 1
    rows = list(read_rows(path).values())
    if rows:
        print_table(rows)
    if options.json and rows:
        text = json.dumps({"rows": rows, "mean_gain": mean_gains(rows)}, indent=2, ensure_ascii=False)
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

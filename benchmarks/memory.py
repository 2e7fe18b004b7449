"""Memory of training on a CPU with default settings: peak resident memory and tokens per second.

    python benchmarks/memory.py --pairs hh.jsonl --against ../older-checkout --json out.json

Each method trains a LoRA adapter on the embedded model in a process of its own, for one optimizer step on the
same pairs. `--against` names a checkout of an older version: the versions take turns, so that a busy machine
slows both. Peak memory is the process's largest resident set (`VmHWM`). Tokens are counted without
padding, and divided by the seconds of the whole training, from loading the model to saving the adapter.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

METHODS = ("sft", "reward", "dpo", "ppo", "grpo")
HERE = Path(__file__).resolve().parents[1]


def main() -> None:
    """Measure the methods and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=Path, required=True, help="preference pairs in any of TRL's forms")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["sft", "dpo", "ppo"])
    parser.add_argument("--rows", type=int, default=24, help="pairs, or prompts for PPO and GRPO")
    parser.add_argument("--max-new-tokens", type=int, default=96, help="longest answer of PPO and GRPO")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--against", type=Path, help="checkout of an older version to compare with")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=JSON", help="settings of optim")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", choices=METHODS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(_train(options.child, options)))
        return
    versions = {"this": HERE} | ({"older": options.against.resolve()} if options.against else {})
    rows = []
    for method in options.methods:
        taken: dict[str, list[dict[str, float]]] = {name: [] for name in versions}
        for repeat in range(options.repeats):
            for name in sorted(versions, reverse=bool(repeat % 2)):
                taken[name].append(_measured(versions[name], method))
        rows.append(_row(method, taken))
        _print(rows[-1])
        if options.json:
            options.json.write_text(json.dumps(rows, indent=2) + "\n")


def _measured(version: Path, method: str) -> dict[str, float]:
    """Return the results of a process that runs one method of one version."""
    command = [sys.executable, str(Path(__file__).resolve()), *sys.argv[1:], "--child", method]
    # The version's own packages, whatever the environment has installed.
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(version)}
    )
    if done.returncode:
        raise SystemExit(f"{method} of {version} failed:\n{done.stderr[-2000:]}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def _row(method: str, taken: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Return the highest peak, and the median speed, of each version, and the median ratio of speeds."""
    row: dict[str, Any] = {"method": method}
    for name, results in taken.items():
        row[name] = {
            "peak_gb": max(result["peak_gb"] for result in results),
            "tokens_s": statistics.median(result["tokens"] / result["seconds"] for result in results),
            "loss": results[0]["loss"],
        }
    if "older" in taken:
        for unit in ("seconds", "processor_s"):
            pairs = zip(taken["this"], taken["older"], strict=True)
            row[f"speed_by_{unit}"] = statistics.median(
                older[unit] / older["tokens"] * new["tokens"] / new[unit] for new, older in pairs
            )
    return row


def _print(row: dict[str, Any]) -> None:
    parts = [
        f"{name} {{peak_gb:5.2f}} GB {{tokens_s:7.1f}} tokens/s loss {{loss:.6f}}".format(**row[name])
        for name in ("this", "older")
        if name in row
    ]
    if "older" in row:
        parts.append(
            f"speed {row['speed_by_seconds']:.2f} ({row['speed_by_processor_s']:.2f} of processor time)"
        )
    print(f"{row['method']:<7}", *parts, sep="  ", flush=True)


def _train(method: str, options: argparse.Namespace) -> dict[str, float]:
    """Train by one method; return the peak, the time, the tokens and the first loss."""
    from engines.config import ModelConfig
    from engines.embedded import ensure_embedded
    from publius.sources.examples import DataSource, read_preferences
    from training.config import LoraConfig, OptimConfig

    source = read_preferences(DataSource(str(options.pairs))).rows
    settings = dict(given.split("=", 1) for given in options.set)
    optim = OptimConfig(**{name: json.loads(value) for name, value in settings.items()})
    model = ModelConfig(id=str(ensure_embedded()))
    with tempfile.TemporaryDirectory() as folder:
        common = {"policy": model, "lora": LoraConfig(), "optim": optim, "seed": 0, "device": "cpu"}
        run = _by_examples if method in ("sft", "reward", "dpo") else _by_reinforcement
        before = time.perf_counter(), time.process_time()
        result, tokens = run(method, source[: options.rows], {"folder": Path(folder), **common}, options)
        spent = time.perf_counter() - before[0], time.process_time() - before[1]
    loss = next(result.metrics[name] for name in ("loss", "loss/policy_avg") if name in result.metrics)
    # Not `ru_maxrss`, which a process inherits from the one that started it.
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e9
    return {"peak_gb": peak, "tokens": tokens, "seconds": spent[0], "processor_s": spent[1], "loss": loss}


def _by_examples(
    method: str, pairs: Any, job: dict[str, Any], options: argparse.Namespace
) -> tuple[Any, float]:
    """Train by SFT, a reward model or DPO; return the result and the number of tokens."""
    from training.config import DPOConfig, RewardConfig, SFTConfig
    from training.examples import AnsweredPrompt
    from training.job import TrainingJob
    from training.pairs.dpo import train_dpo
    from training.pairs.reward import train_reward
    from training.sft import train_sft

    if method == "sft":
        # Both answers, so that the methods see the same texts.
        rows = [
            AnsweredPrompt(f"{pair.id}-{side}", pair.prompt, getattr(pair, side))
            for pair in pairs
            for side in ("chosen", "rejected")
        ]
        result = train_sft(rows, TrainingJob.of("sft", config=SFTConfig(), **job))
    elif method == "reward":
        reward = RewardConfig(held_out=0.0)
        result = train_reward(pairs, TrainingJob.of("reward", config=reward, **job), reward)[0]
    else:
        dpo = DPOConfig()
        result = train_dpo(pairs, TrainingJob.of("dpo", config=dpo, **job), dpo)
    return result, result.tokens


class _Letters:
    """Reward that needs no model: the share of the letter e."""

    name = "letters"

    def scores(self, samples: Any) -> list[float]:
        return [sample.text.count("e") / max(1, len(sample.text)) for sample in samples]


def _by_reinforcement(
    method: str, pairs: Any, job: dict[str, Any], options: argparse.Namespace
) -> tuple[Any, float]:
    """Train one step of PPO or GRPO; return the result and the number of prompt and answer tokens."""
    from core.records import Prompt
    from training.job import TrainingJob
    from training.rl.config import GRPOConfig, PPOConfig
    from training.rl.reward_sum import WeightedReward
    from training.rl.task import RLTask
    from training.rl.train import train_grpo, train_ppo

    task = RLTask([Prompt.of(pair.prompt) for pair in pairs], [WeightedReward(_Letters())])
    # One step, and a micro-batch's worth of answers; all else as it is by default.
    own = {"steps": 1, "max_new_tokens": options.max_new_tokens, "missing_eos_penalty": 0.0}
    if method == "ppo":
        ppo = PPOConfig(rollouts=options.rows, **own)
        result = train_ppo(task, TrainingJob.of("ppo", config=ppo, **job), ppo)
    else:
        grpo = GRPOConfig(rollouts=8 * (options.rows // 8), **own)
        result = train_grpo(task, TrainingJob.of("grpo", config=grpo, **job), grpo)
    answers = result.metrics["completions/mean_length"] * options.rows
    return result, result.tokens + answers


if __name__ == "__main__":
    main()

"""Does editing one principle move the trained model? Three runs that differ in nothing but the constitution.

    python benchmarks/steering.py [--to DIR] [--json PATH]

The constitution is the preset `plain-and-brief` with its word limit at 60 words, at 25 words, and without
that principle. Each run goes the whole way (critique and revision, SFT, samples of the SFT model compared and
labelled, DPO) and is measured on the same held-out prompts. The peer in the same table is the untrained model
with the constitution as its system prompt (`prompted`). Interrupted, it goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from constitution.checks.evaluate import count_words
from constitution.checks.kinds import MaxWords
from constitution.loader import load_constitution
from constitution.schema import Constitution, Principle
from core.records import Answer
from core.statistics.bootstrap import Interval, paired_intervals
from core.store.record_store import RecordStore
from publius.runs.records import RunFiles
from publius.stages.runner import RunRequest, execute

PRESET, LIMIT_ID = "plain-and-brief", "at-most-60-words"
LIMITS: Mapping[str, int | None] = {"25": 25, "60": 60, "removed": None}
VARIANTS = ("base", "prompted", "sft", "dpo")
RUN = """\
name: words-{name}
seed: 0
constitution: {name}.yaml
prompts: {{path: prompts.jsonl, limit: 64}}
models: {{policy: smollm2-135m-instruct}}
engine: {{max_batch: 32, concurrency: 32}}
critique:
  rounds: 2
  draft: {{temperature: 0.7, top_p: 0.95, max_new_tokens: 160}}
  critique: {{temperature: 0.4, top_p: 0.9, max_new_tokens: 48}}
  revision: {{temperature: 0.7, top_p: 0.95, max_new_tokens: 160}}
  drop: [unchanged, empty, prefix_leak]
compare: {{from: sft, samples: 2, sampling: {{temperature: 1.0, top_p: 0.95, max_new_tokens: 160}}}}
label: {{principles: 1}}
lora: {{r: 16, alpha: 32}}
optim: {{batch_size: 16, micro_batch: 8, max_length: 512, checkpoint_every: 5}}
sft: {{learning_rate: 2.0e-4, epochs: 2}}
dpo: {{learning_rate: 1.0e-4, epochs: 2}}
eval: {{sampling: {{max_new_tokens: 256}}}}
train: [sft, dpo]
"""


def write_project(folder: Path) -> None:
    """Write the three constitutions, their run files and the prompts; what is there already stays."""
    folder.mkdir(parents=True, exist_ok=True)
    preset = load_constitution(PRESET)
    for name, limit in LIMITS.items():
        content = with_limit(preset, limit).model_dump(mode="json", exclude_defaults=True)
        write_once(folder / f"{name}.yaml", yaml.safe_dump(content, sort_keys=False, width=100))
        write_once(folder / f"run-{name}.yaml", RUN.format(name=name))
    prompts = (files("prompts") / "demo" / "prompts.jsonl").read_text(encoding="utf-8")
    write_once(folder / "prompts.jsonl", prompts)


def write_once(path: Path, text: str) -> None:
    """Write a file that is not there yet."""
    if not path.exists():
        path.write_text(text, encoding="utf-8")


def with_limit(preset: Constitution, limit: int | None) -> Constitution:
    """Return the preset with another word limit, or without one."""
    principles = []
    for principle in preset.principles:
        if principle.id != LIMIT_ID:
            principles.append(principle)
        elif limit is not None:
            text = f"The reply is at most {limit} words long."
            check = MaxWords(kind="max_words", value=limit)
            principles.append(Principle(id="word-limit", text=text, weight=3.0, check=check))
    return preset.model_copy(update={"principles": tuple(principles)})


def answers_of(run: Path) -> dict[str, dict[str, Answer]]:
    """Return the answers of a run by variant and prompt."""
    found: dict[str, dict[str, Answer]] = {}
    with RecordStore(run, writable=False) as store:
        for answer in RunFiles(store).answers:
            found.setdefault(answer.variant, {})[answer.prompt.id] = answer
    return found


def measure(runs: Mapping[str, Path]) -> dict[str, Any]:
    """Return the table: words, finished and empty answers by run and variant, and the differences."""
    answers = {name: answers_of(run) for name, run in runs.items()}
    prompts = sorted(set.intersection(*(set(a[v]) for a in answers.values() for v in VARIANTS)))
    rows, names = [], []
    for name, by_variant in answers.items():
        for variant in VARIANTS:
            rows.append([float(count_words(by_variant[variant][p].generation.text)) for p in prompts])
            names.append((name, variant))
    words = dict(zip(names, rows, strict=True))
    less = {
        v: [a - b for a, b in zip(words["25", v], words["removed", v], strict=True)] for v in VARIANTS[1:]
    }
    intervals = paired_intervals([*rows, *less.values()], seed=0)
    table = {
        f"{name}.{variant}": interval._asdict() | shares(answers[name][variant], prompts)
        for (name, variant), interval in zip(names, intervals, strict=False)
    }
    differences = {v: i._asdict() for v, i in zip(less, intervals[len(rows) :], strict=True)}
    return {"prompts": len(prompts), "words": table, "25 less removed": differences}


def shares(answers: Mapping[str, Answer], prompts: list[str]) -> dict[str, float]:
    """Return the share of answers that ended by themselves, and of empty ones."""
    found = [answers[prompt].generation for prompt in prompts]
    return {
        "finished": sum(g.finish_reason == "stop" for g in found) / len(found),
        "empty": sum(not g.text for g in found) / len(found),
    }


def print_table(result: Mapping[str, Any]) -> None:
    """Print the table and what it says."""
    print(
        f"\nmean words on {result['prompts']} held-out prompts (95 % interval), share finished, share empty"
    )
    for name in LIMITS:
        for variant in VARIANTS:
            row = result["words"][f"{name}.{variant}"]
            value = f"{row['value']:6.1f} ({row['low']:.1f} to {row['high']:.1f})"
            print(f"  {name:<8} {variant:<9} {value:<26} {row['finished']:5.0%} {row['empty']:5.0%}")
    for variant, difference in result["25 less removed"].items():
        interval = Interval(**difference)
        value = f"{interval.value:6.1f} ({interval.low:.1f} to {interval.high:.1f})"
        print(f"  25 less removed, {variant:<9} {value}")


def run(folder: Path) -> dict[str, Any]:
    """Run all three constitutions in a project folder, and return what was measured."""
    write_project(folder)
    return measure({name: execute(RunRequest(folder / f"run-{name}.yaml")).folder for name in LIMITS})


def main(
    description: str | None,
    default: Path,
    run: Callable[[Path], dict[str, Any]],
    show: Callable[[dict[str, Any]], None],
) -> None:
    """Read the command line, run, print the table and write it.

    Args:
        description: what the script measures.
        default: the project folder, where none is given.
        run: returns what was measured in a project folder.
        show: prints it.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--to", type=Path, default=default, help=f"project folder; ./{default} if not given")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    started = time.monotonic()
    result = run(options.to)
    show(result)
    minutes = (time.monotonic() - started) / 60
    print(f"\n{minutes:.0f} minutes")
    if options.json:
        options.json.write_text(json.dumps(result | {"minutes": round(minutes, 1)}, indent=2) + "\n")


if __name__ == "__main__":
    main(__doc__, Path("steer"), run, print_table)

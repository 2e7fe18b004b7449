"""Does a distilled model follow a constitution without seeing it as the prompted model does that sees it?

    python benchmarks/distillation.py [--model MODEL] [--constitutions NAME|FILE ...] [--to DIR] [--json PATH]

For each constitution the model is trained by on-policy distillation (`publius train distill`), and answers
held-out prompts of the demo greedily: untrained (`base`), with the constitution as its system prompt
(`prompted`, the peer in the same run), and distilled without it. Compliance is the share of answers that pass
every machine check. Two constitutions are inside: `brief` (at most 40 words) and `prose` (no lists). A row is
written after each constitution; interrupted, the same command resumes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from steering import answers_of, shares, write_once

from constitution.checks.evaluate import count_words, evaluate
from constitution.loader import load_constitution
from constitution.schema import Constitution
from core.records import Answer
from core.statistics.bootstrap import Interval, paired_intervals
from engines.embedded import EMBEDDED_NAME
from publius.stages.runner import RunRequest, execute

VARIANTS = ("base", "prompted", "distill")
INSIDE = {
    "brief": """\
name: brief
principles:
  - {id: at-most-40-words, text: The reply is at most 40 words long., check: {kind: max_words, value: 40}}
""",
    "prose": """\
name: prose
principles:
  - {id: no-lists, text: The reply has no lists and no bullet points., check: {kind: format, value: prose}}
""",
}
RUN = """\
name: {name}
seed: {seed}
constitution: {name}.yaml
prompts: prompts.jsonl
models: {{policy: {{id: {model}, dtype: {dtype}}}}}
engine: {{max_batch: 32, concurrency: 32}}
lora: {{r: 16, alpha: 32}}
optim: {{max_length: 512, checkpoint_every: 5, bf16: {bf16}}}
distill:
  steps: {steps}
  rollouts: {rollouts}
  max_new_tokens: {tokens}
  learning_rate: {rate:g}
  examples: {examples}
eval: {{models: [base, prompted, distill], sampling: {{max_new_tokens: 160}}, kl: false}}
train: [distill]
"""


def write_project(folder: Path, named: Sequence[str], options: argparse.Namespace) -> list[str]:
    """Write prompts, constitutions and run files that are not there yet; return the constitutions' names."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = (files("prompts") / "demo" / "prompts.jsonl").read_text(encoding="utf-8").splitlines()
    unseen = [row for row in rows if json.loads(row)["split"] == "test"][: options.held_out]
    learned = [row for row in rows if json.loads(row)["split"] != "test"]
    write_once(folder / "prompts.jsonl", "\n".join([*learned, *unseen]) + "\n")
    names = []
    for entry in named:
        text = INSIDE.get(entry) or Path(entry).read_text(encoding="utf-8")
        name = entry if entry in INSIDE else Path(entry).stem
        write_once(folder / f"{name}.yaml", text)
        settings = {key: getattr(options, key) for key in ("model", "seed", "steps", "rollouts", "tokens")}
        settings |= {"dtype": options.dtype, "bf16": "true" if options.dtype == "bfloat16" else "auto"}
        settings |= {"rate": options.learning_rate, "examples": str(options.examples).lower()}
        (folder / f"run-{name}.yaml").write_text(RUN.format(name=name, **settings), encoding="utf-8")
        names.append(name)
    return names


def passes(answer: Answer, constitution: Constitution) -> float:
    """Return 1 if an answer passes every machine check of the constitution, else 0."""
    checks = [principle.check for principle in constitution.principles if principle.check is not None]
    return float(all(evaluate(check, answer.generation.text).passed for check in checks))


def measure(run: Path, constitution: Constitution) -> dict[str, Any]:
    """Return compliance with intervals by variant, paired differences, words, and how KL went."""
    answers = answers_of(run)
    prompts = sorted(set.intersection(*(set(answers[variant]) for variant in VARIANTS)))
    values = [[passes(answers[variant][p], constitution) for p in prompts] for variant in VARIANTS]
    base, prompted, distilled = values
    over_base, over_prompted = (
        [a - b for a, b in zip(distilled, other, strict=True)] for other in (base, prompted)
    )
    *own, first, second = paired_intervals([*values, over_base, over_prompted], seed=0)
    rows = [json.loads(line) for line in (run / "distill" / "metrics.jsonl").read_text().splitlines()]
    kl = [row["objective/kl_to_teacher"] for row in rows]
    return {
        "prompts": len(prompts),
        "compliance": {v: i._asdict() for v, i in zip(VARIANTS, own, strict=True)},
        "distill less base": first._asdict(),
        "distill less prompted": second._asdict(),
        "words": {
            v: sum(count_words(answers[v][p].generation.text) for p in prompts) / len(prompts)
            for v in VARIANTS
        },
        "shares": {v: shares(answers[v], prompts) for v in VARIANTS},
        "kl_to_teacher": [round(value, 4) for value in kl],
        "steps": len(rows),
    }


def print_row(name: str, row: Mapping[str, Any]) -> None:
    """Print the measurements of one constitution."""
    kl = row["kl_to_teacher"]
    print(
        f"\n{name}: {row['prompts']} held-out prompts, KL to teacher {kl[0]:.3f} to {kl[-1]:.3f} nats a token"
    )
    for variant in VARIANTS:
        finished = row["shares"][variant]["finished"]
        shown = in_percent(row["compliance"][variant])
        print(
            f"  {variant:<9} passes {shown:<23} {row['words'][variant]:6.1f} words, finished {finished:.0%}"
        )
    for difference in ("distill less base", "distill less prompted"):
        print(f"  {difference:<22} {in_percent(row[difference])}")


def in_percent(found: Mapping[str, float]) -> str:
    """Return a share and its 95 % interval."""
    interval = Interval(**found)
    return f"{100 * interval.value:5.1f} % ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def main() -> None:
    """Distil under each constitution, print the rows, and write them if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=EMBEDDED_NAME, help="Hugging Face id or folder of the policy")
    parser.add_argument("--dtype", choices=("auto", "bfloat16"), default="auto")
    parser.add_argument("--constitutions", nargs="+", default=list(INSIDE), help="names above, or files")
    parser.add_argument("--to", type=Path, default=Path("distil"), help="project folder; ./distil by default")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--held-out", type=int, default=40, help="held-out prompts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rollouts", type=int, default=16, help="answers per step")
    parser.add_argument("--tokens", type=int, default=96, help="longest answer in training")
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--examples", action="store_true", help="show the teacher the few-shot examples")
    options = parser.parse_args()
    names = write_project(options.to, options.constitutions, options)
    result: dict[str, Any] = {"model": options.model, "rows": {}}
    for name in names:
        started = time.monotonic()
        run = execute(RunRequest(options.to / f"run-{name}.yaml")).folder
        row = measure(run, load_constitution(str(options.to / f"{name}.yaml")))
        result["rows"][name] = row | {"minutes": round((time.monotonic() - started) / 60, 1)}
        print_row(name, row)
        if options.json:
            options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Does `publius steer` make a model follow constitutions that nobody tuned for, without losing what was good?

    python benchmarks/steering_suite.py [--to DIR] [--only NAME ...] [--rows N] [--minutes 15] [--json PATH]

Each constitution has one exact check of another kind. `publius steer CONSTITUTION --minutes 15` runs in a
child process, with the embedded model, the training prompts of the demo and 40 of its held-out prompts;
answers are greedy and have at most 160 tokens. Two constitutions are run with a second seed. The peer in the
same row is the untrained model with the constitution as its system prompt (`prompted`).

A row is written to rows.jsonl as soon as it is measured, and never measured again: the suite may be
interrupted and take several sittings (`--rows 2` ends one after two new rows). An interrupted row resumes;
its minutes are those of its last command, and `sittings` counts the commands.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from constitution.checks.evaluate import count_words, evaluate
from constitution.loader import load_constitution
from core.records import Answer
from core.statistics.bootstrap import paired_intervals
from publius.runs.manifest import read_manifest
from publius.runs.reader import RecordsReader

CONSTITUTIONS: Mapping[str, str] = {
    "short": """\
name: short
principles:
  - id: at-most-40-words
    text: The reply is at most 40 words long.
    check: {kind: max_words, value: 40}
""",
    "list": """\
name: list
principles:
  - id: as-a-list
    text: The reply is a list, with one point on each line.
    check: {kind: format, value: list}
""",
    "opening": """\
name: opening
principles:
  - id: short-answer-first
    text: "The reply begins with the words 'Short answer:' and then gives the answer."
    check: {kind: starts_with, value: ["Short answer:"]}
    examples:
      - prompt: How long do I boil an egg?
        good: "Short answer: eight minutes for a firm yolk, six for a soft one."
        bad: Boil it for eight minutes for a firm yolk, or six for a soft one.
        use: few_shot
""",
    "closing": """\
name: closing
principles:
  - id: hope-this-helps
    text: "The reply ends with the sentence 'I hope this helps.'"
    check: {kind: ends_with, value: ["I hope this helps."]}
""",
    "example": """\
name: example
principles:
  - id: gives-an-example
    text: The reply gives an example, which it introduces with "for example" or "for instance".
    check: {kind: contains_any, value: [for example, for instance]}
    examples:
      - prompt: What can I cook with a pumpkin?
        good: You can cook many things with it, for example a soup with ginger and cream.
        bad: You can cook a soup with ginger and cream.
        use: few_shot
""",
    "reason": """\
name: reason
principles:
  - id: why-line
    text: "The reply gives its reason on a line of its own that begins with 'Why:'."
    check: {kind: regex, value: "(?m)^Why: "}
""",
    "question": """\
name: question
principles:
  - id: asks-back
    text: The reply ends with a question to the user.
    check: {kind: ends_with_question, value: true}
""",
    "brief": """\
name: brief
principles:
  - id: two-sentences
    text: The reply has at most two sentences.
    check: {kind: max_sentences, value: 2}
""",
}
"""Constitutions as users write them: a sentence and a check, two with an example."""
SECOND_SEED = ("short", "opening")
HELD_OUT, GAIN, NEUTRAL, SAMENESS = 40, 0.40, 0.05, 0.05
"""Held-out prompts; the mean gain that is hoped for; limits of the loss in nats a token and of sameness."""
VARIANTS = ("base", "prompted", "steered")


@dataclass(frozen=True)
class Case:
    """A constitution with a seed."""

    name: str
    seed: int

    @property
    def label(self) -> str:
        """Name of the row."""
        return self.name if self.seed == 0 else f"{self.name}, seed {self.seed}"


def cases(only: Sequence[str]) -> Iterator[Case]:
    """Yield the rows of the suite, those of the second seed last."""
    names = [name for name in CONSTITUTIONS if not only or name in only]
    yield from (Case(name, 0) for name in names)
    yield from (Case(name, 1) for name in names if name in SECOND_SEED)


def write_inputs(folder: Path) -> Path:
    """Write the constitutions and the prompts; what is there stays. Return the prompts' file."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in CONSTITUTIONS.items():
        if not (folder / f"{name}.yaml").exists():
            (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    path = folder / "prompts.jsonl"
    if not path.exists():
        rows = (files("prompts") / "demo" / "prompts.jsonl").read_text(encoding="utf-8").splitlines()
        split = {row: json.loads(row)["split"] for row in rows}
        test = [row for row in rows if split[row] == "test"][:HELD_OUT]
        path.write_text("\n".join([*(row for row in rows if split[row] != "test"), *test]) + "\n", "utf-8")
    return path


def steer(case: Case, folder: Path, prompts: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run `publius steer` for a row in a child process and return what it prints as JSON."""
    project = folder / "projects" / f"{case.name}-{case.seed}"
    command = [sys.executable, "-m", "publius", "steer", str(folder / f"{case.name}.yaml")]
    command += ["--minutes", str(options.minutes), "--prompts", str(prompts), "--to", str(project)]
    command += ["--seed", str(case.seed), "--model", options.model, "--json"]
    for override in options.set or ():
        command += ["--set", override]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{case.label}: publius steer ended with code {done.returncode}")
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


def measured(case: Case, printed: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row: exact compliance of each variant, the gain with its interval, and the quality."""
    run = Path(printed["outcome"]["run"])
    answers = answers_of(run)
    steered = "steered" if "steered" in answers else "base"  # no adapter was chosen: the base model stays
    check = next(p.check for p in load_constitution(run / "constitution.yaml").principles if p.check)
    shared = sorted(set.intersection(*(set(found) for found in answers.values())))
    rows = {
        name: [float(evaluate(check, answers[variant][p].generation.text).passed) for p in shared]
        for name, variant in zip(VARIANTS, ("base", "prompted", steered), strict=True)
        if variant in answers
    }
    gain = [after - before for after, before in zip(rows["steered"], rows["base"], strict=True)]
    (interval,) = paired_intervals([gain], seed=0)
    metrics = {m["name"]: m for m in printed["outcome"]["evaluation"]["metrics"]}
    value = lambda name: metrics[name]["value"] if name in metrics else None  # noqa: E731
    stages = read_manifest(run)["stages"].values()
    return {
        "row": case.label,
        "kind": check.kind,
        "prompts": len(shared),
        **{name: sum(row) / len(row) for name, row in rows.items()},
        "gain": interval._asdict(),
        "neutral_loss": value(f"{steered}.neutral_loss.delta") if steered != "base" else 0.0,
        "sameness": value(f"{steered}.sameness"),
        "finished": [value("base.finished"), value(f"{steered}.finished")],
        "words": [mean_words(answers["base"].values()), mean_words(answers[steered].values())],
        "minutes": printed["minutes"],
        "tokens": sum(stage["requests"].get("completion_tokens", 0) for stage in stages),
        "chosen": printed["choice"].get("chosen"),
        "late": printed["outcome"].get("late", []),
        "run": str(run),
    }


def answers_of(run: Path) -> dict[str, dict[str, Answer]]:
    """Return the answers of a run by variant and prompt."""
    found: dict[str, dict[str, Answer]] = {}
    with RecordsReader(run) as files_of_run:
        for answer in files_of_run.answers:
            found.setdefault(answer.variant, {})[answer.prompt.id] = answer
    return found


def mean_words(answers: Any) -> float:
    """Return the mean number of words."""
    counts = [count_words(answer.generation.text) for answer in answers]
    return sum(counts) / len(counts)


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mean gain, and whether the limits hold in every row."""
    known = lambda name: [row[name] for row in rows if row[name] is not None]  # noqa: E731
    finished = [row["finished"] for row in rows if None not in row["finished"]]
    return {
        "rows": len(rows),
        "mean_gain": sum(row["gain"]["value"] for row in rows) / len(rows),
        "intervals_above_zero": sum(row["gain"]["low"] > 0 for row in rows),
        "neutral_loss_held": sum(value <= NEUTRAL for value in known("neutral_loss")),
        "sameness_held": sum(value <= SAMENESS + 1e-9 for value in known("sameness")),  # 2 of 40 rounds above
        "finished_held": sum(after >= before for before, after in finished),
        "most_minutes": max(row["minutes"] for row in rows),
    }


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the rows and the summary."""
    print(
        f"\n{'constitution':<18}{'base':>6}{'prompted':>10}{'steered':>9}  {'gain (95 %)':<22}{'neutral':>8}"
        f"{'same':>6}{'finished':>14}{'words':>12}{'min':>6}{'tokens':>8}  chosen"
    )
    for row in rows:
        cells = (
            f"{row['row']:<18}{row['base']:>6.0%}{as_share(row.get('prompted')):>10}{row['steered']:>9.0%}",
            f"{as_points(row['gain']):<22}{_nats(row['neutral_loss']):>8}{as_share(row['sameness']):>6}"
            f"{' to '.join(map(as_share, row['finished'])):>14}"
            f"{' to '.join(f'{words:.0f}' for words in row['words']):>12}"
            f"{row['minutes']:>6.1f}{row['tokens']:>8,}",
            str(row["chosen"]),
        )
        print("  ".join(cells))
    total = summary(rows)
    print(
        f"\nmean gain {total['mean_gain']:+.1%} (hoped for: {GAIN:+.0%}). Of {total['rows']} rows: interval "
        f"above zero {total['intervals_above_zero']}, neutral loss up by at most {NEUTRAL} nats a token "
        f"{total['neutral_loss_held']}, sameness at most {SAMENESS:.0%} {total['sameness_held']}, finished "
        f"answers not below base {total['finished_held']}; longest {total['most_minutes']:.1f} minutes"
    )


def as_points(gain: Mapping[str, float]) -> str:
    """Return a difference of shares with its interval, in points."""
    return f"{gain['value']:+.0%} ({gain['low']:+.0%} to {gain['high']:+.0%})"


def as_share(value: float | None) -> str:
    """Return a share in percent, `?` where it was not measured."""
    return "?" if value is None else f"{value:.0%}"


def _nats(value: float | None) -> str:
    return "?" if value is None else f"{value:+.3f}"


def read_rows(path: Path) -> dict[str, dict[str, Any]]:
    """Return the rows that are measured already, by name."""
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return {row["row"]: row for row in map(json.loads, lines)}


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Write one more row."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


def count_sitting(path: Path) -> int:
    """Count one more command for a row, and return how many there have been."""
    count = 1 + (int(path.read_text(encoding="utf-8")) if path.exists() else 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(count), encoding="utf-8")
    return count


def main() -> None:
    """Read the command line, measure the rows that are missing, and print all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--to", type=Path, default=Path("steering-suite"), help="folder of rows and projects")
    parser.add_argument("--only", nargs="+", default=(), choices=tuple(CONSTITUTIONS), metavar="NAME")
    parser.add_argument("--rows", type=int, help="end after this many new rows")
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--set", action="append", metavar="KEY=VALUE", help="passed on to publius steer")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    prompts, path = write_inputs(options.to.resolve()), options.to.resolve() / "rows.jsonl"
    new = 0
    for case in cases(options.only):
        if case.label in read_rows(path) or (options.rows is not None and new >= options.rows):
            continue
        print(f"\n{case.label}", flush=True)
        sittings = count_sitting(path.parent / "projects" / f"{case.name}-{case.seed}.sittings")
        printed = steer(case, path.parent, prompts, options)
        append_row(path, measured(case, printed) | {"sittings": sittings})
        new += 1
    rows = list(read_rows(path).values())
    if rows:
        print_table(rows)
    if options.json and rows:
        text = json.dumps({"rows": rows, "summary": summary(rows)}, indent=2, ensure_ascii=False)
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

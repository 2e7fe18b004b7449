"""How long `publius check` takes on a large constitution: 1,000 principles, three levels of `extends`.

    python benchmarks/check_constitution.py [--principles N] [--repeat N] [--json PATH]

Medians of whole processes, one after the other: an interpreter that imports nothing, the command
with a constitution of one sentence (what importing and starting cost), and the command with the large one. Of
the large one the parts are measured too, in this process.
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
from collections.abc import Callable
from pathlib import Path

from constitution.loader import read_constitution
from core.text.yaml_file import read_yaml

LEVELS = 3
COMMAND = ("-c", "from publius.cli import main; main()", "check")


def write(folder: Path, principles: int) -> Path:
    """Write a base with all the principles, and three files above it that each change a tenth of them."""
    sections = [f"section-{number}" for number in range(10)]
    lines = ["name: level 0", f"sections: [{', '.join(sections)}]", "document: rules.md", "principles:"]
    for number in range(principles):
        lines += [
            f"- id: principle-{number}",
            f"  section: {sections[number % 10]}",
            f"  text: The reply does what rule number {number} says, as far as the question lets it.",
            f"  antithesis: The reply does not do what rule number {number} says.",
            f"  source: '#rule-{number % 50}'",
            "  weight: 2.0",
            "  applies_to: {tags: [chat, code], pattern: '(?i)how'}",
            "  examples:",
            "  - {prompt: What now?, good: That., bad: 'Nothing, or all.', why: It is a rule.}",
            "  check: {kind: max_words, value: 200}",
        ]
    (folder / "0.yaml").write_text("\n".join(lines) + "\n")
    rules = (f"## Rule {number}\n\n{'A sentence about it. ' * 100}\n" for number in range(50))
    (folder / "rules.md").write_text("\n".join(rules))
    for level in range(1, LEVELS + 1):
        changed = range(level, principles, 10)
        entries = "".join(
            f"- {{id: principle-{number}, weight: {level}.5, hard: true}}\n" for number in changed
        )
        head = f"name: level {level}\nextends: {level - 1}.yaml\nprinciples:\n"
        (folder / f"{level}.yaml").write_text(f"{head}{entries}- The reply is of level {level}.\n")
    (folder / "one.yaml").write_text("- The reply is kind.\n")
    return folder / f"{LEVELS}.yaml"


def seconds(work: Callable[[], object], repeat: int) -> tuple[float, float]:
    """Return the medians of how long some work takes: on the clock, and of processor time."""
    times = []
    for _ in range(repeat):
        begin, spent = time.perf_counter(), sum(os.times()[:4])
        work()
        times.append((time.perf_counter() - begin, sum(os.times()[:4]) - spent))
    return statistics.median(clock for clock, _ in times), statistics.median(spent for _, spent in times)


def process(*arguments: str) -> Callable[[], object]:
    """Return what runs an interpreter with these arguments."""
    return lambda: subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


def main() -> None:
    """Measure, print a table, and write the figures where asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--principles", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        path = write(Path(name), options.principles)
        constitution = read_constitution(path).constitution
        figures = {
            "interpreter alone": seconds(process("-c", ""), options.repeat),
            "check, one sentence": seconds(process(*COMMAND, f"{name}/one.yaml"), options.repeat),
            "check, the large file": seconds(process(*COMMAND, str(path)), options.repeat),
            "  reading YAML of the base": seconds(lambda: read_yaml(Path(name) / "0.yaml"), options.repeat),
            "  reading it all": seconds(lambda: read_constitution(path), options.repeat),
            "  its digest": seconds(lambda: constitution.digest, options.repeat),
        }
        size = sum(file.stat().st_size for file in Path(name).iterdir())
    print(f"{options.principles:,} principles, {LEVELS} levels of extends, {size / 1000:,.0f} kB")
    print(f"{'':28}{'clock':>9}{'processor':>11}")
    for what, (clock, spent) in figures.items():
        print(f"{what:28}{clock:7.2f} s{spent:9.2f} s")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()

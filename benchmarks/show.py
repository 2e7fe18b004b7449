"""A look at a large run: seconds and memory of `publius show` on made-up preferences.

    python benchmarks/show.py --preferences 100000 --json out.json

The run folder is that of a small run with the scripted engine, filled up with records of the same form: for
each preference a prompt, a comparison and four judgments. Each command is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_SMALL = 12
"""Preferences of the run that the scripted engine makes."""
_TEXT = "the reply says what it knows and names where help is found when there is doubt about a plan"
_PRINCIPLES = ("answers-first", "plain-words", "at-most-60-words", "no-stock-phrases")
_FILES = ("prompts.jsonl", "comparisons.jsonl", "judgments.jsonl", "preferences.jsonl")


def small_run(folder: Path) -> Path:
    """Make a small run with the scripted engine; return its folder."""
    from publius.stages.runner import RunRequest, execute

    rows = [
        {"prompt": f"What is {n} times {n}?", "tags": [f"tag-{n % 5}"], "split": "train"}
        for n in range(_SMALL)
    ]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "run.yaml").write_text(
        "constitution: plain-and-brief\nprompts: prompts.jsonl\nmodels: {policy: some-model}\n"
        "engine: {kind: scripted}\nlabel: {principles: 2}\n"
    )
    return execute(RunRequest(folder / "run.yaml", (), (), None)).folder


def lines(count: int, digest: str) -> Iterator[tuple[str, str]]:
    """Yield made-up records as the names of their files and their lines."""
    from constitution.loader import load_constitution
    from core.records import Comparison, Judgment, Prompt
    from labelers.crowd.aggregate import aggregate

    constitution = load_constitution("plain-and-brief")
    draw = random.Random(0)
    for number in range(count):
        prompt = Prompt.of(f"Question {number}: {_text(draw, 20)}?", (f"tag-{number % 5}",), split="train")
        pair = ((_text(draw, 60), "draft"), (_text(draw, 60), "revision:2"))
        comparison = Comparison.of(prompt, *pair)
        judgments = [
            Judgment(
                id=f"{draw.getrandbits(64):016x}",
                comparison_id=comparison.id,
                labeler="check" if place > 1 else "ai",
                verdict="a" if (p_a := draw.random()) > 0.5 else "b",
                p_a=p_a,
                principle_id=principle,
                answer_mass=0.97,
            )
            for place, principle in enumerate(_PRINCIPLES)
        ]
        preference = aggregate(comparison, judgments, constitution)
        assert not isinstance(preference, str)
        yield "prompts.jsonl", prompt.to_line()
        yield "comparisons.jsonl", comparison.to_line()
        for judgment in judgments:
            yield "judgments.jsonl", judgment.to_line()
        yield "preferences.jsonl", preference.model_copy(update={"constitution_digest": digest}).to_line()


def _text(draw: random.Random, words: int) -> str:
    return " ".join(draw.choices(_TEXT.split(), k=draw.randrange(words // 2, words)))


def fill(run: Path, count: int) -> None:
    """Add made-up records to a run, and index them as a run does."""
    from core.store.record_store import RecordStore
    from publius.runs.reader import RecordsReader
    from publius.runs.records import RunFiles

    with RecordsReader(run) as small:
        digest = next(iter(small.preferences)).constitution_digest
    files: dict[str, IO[str]] = {name: (run / name).open("a", encoding="utf-8") for name in _FILES}
    for name, line in lines(count, digest):
        files[name].write(line)
    for file in files.values():
        file.close()
    with RecordStore(run) as store:
        opened = RunFiles(store)
        for records in (opened.prompts, opened.comparisons, opened.judgments, opened.preferences):
            records.sync()


def measure(*arguments: str) -> dict[str, float | str]:
    """Run a command; return its wall time, processor time and the peak of its memory."""
    before = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "publius", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    told = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, told
    return {
        "command": " ".join(arguments[:1] + arguments[2:]),
        "seconds": time.perf_counter() - before,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preferences", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="keep the run here, and reuse it")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        found = sorted((folder / "runs").glob("*"))
        run = found[0] if found else small_run(folder)
        if not found:
            fill(run, options.preferences)
        table = str(Path(temporary) / "pairs")
        name = str(run)
        commands = (
            ("show", name),
            ("show", name, "--min-p", "0.8", "--tag", "tag-1"),
            ("show", name, "--principle", "plain-words", "--source", "ai"),
            ("show", name, "--to", f"{table}.csv"),
            ("show", name, "--to", f"{table}.parquet"),
        )
        rows = [measure(*command) for command in commands]
    print(f"{'command':<60}{'seconds':>9}{'cpu s':>8}{'peak MB':>9}")
    for row in rows:
        print(f"{row['command']:<60}{row['seconds']:>9.1f}{row['cpu_s']:>8.1f}{row['peak_mb']:>9.0f}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()

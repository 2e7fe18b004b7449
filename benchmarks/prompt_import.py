"""Import of prompts: seconds and memory for each, and near-duplicates found beside an exhaustive search.

    python benchmarks/prompt_import.py --prompts 5000 40000 --compared 2000 --json out.json

The time for each prompt should not grow with their number, and neither should the peak of the memory. The
exhaustive search is `core.text.similarity.near_duplicates`, which holds all texts in memory.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def text(draw: random.Random, words: list[str]) -> str:
    """Return a text of made-up words, some of them frequent."""
    return " ".join(words[int(len(words) * draw.random() ** 3)] for _ in range(draw.randrange(10, 45)))


def texts(count: int, seed: int = 0) -> list[str]:
    """Return made-up texts; every tenth repeats an earlier one but for one word."""
    draw = random.Random(seed)
    syllables = [f"{c}{v}" for c in "bcdfghklmnprstvw" for v in "aeiou"]
    words = ["".join(draw.choices(syllables, k=draw.randrange(1, 5))) for _ in range(20_000)]
    found: list[str] = []
    for number in range(count):
        if number % 10 == 9:
            copied = found[draw.randrange(len(found))].split()
            copied[draw.randrange(len(copied))] = draw.choice(words)
            found.append(" ".join(copied))
        else:
            found.append(text(draw, words))
    return found


def ingest(count: int) -> dict[str, float]:
    """Survey and admit prompts in this process; return the time for each and the peak of the memory."""
    from publius.config.run_file import PromptsConfig, SplitConfig
    from publius.sources.prompt_survey import survey
    from publius.stages.prompts import admitted_rows

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prompts.jsonl"
        with path.open("w") as file:
            file.writelines(
                json.dumps({"prompt": line, "ticket": n}) + "\n" for n, line in enumerate(texts(count))
            )
        before = time.process_time()
        prompts = PromptsConfig(path=path)
        near = sum(
            row.admission is not None and row.admission.near
            for row in admitted_rows(prompts, SplitConfig(), survey(prompts))
        )
        seconds = time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "prompts": count,
        "us_per_prompt": seconds / count * 1e6,
        "peak_mb": peak,
        "near_duplicates": near,
    }


def compare(count: int, repeats: int) -> dict[str, float]:
    """Return the seconds of both searches on the same texts, and how many near-duplicates each found."""
    from core.store.near_duplicates import NEAR_DUPLICATE, GramCounts, NearDuplicates
    from core.text.similarity import near_duplicates

    given, ours, theirs = texts(count), [], []
    found: set[int] = set()
    exact: set[int] = set()
    for _ in range(repeats):
        before = time.process_time()
        counts = GramCounts()
        for line in given:
            counts.add(line)
        with NearDuplicates(counts) as index:
            found = {
                number
                for number, line in enumerate(given)
                if index.find_or_add(line, line, lambda match: "") is not None
            }
        ours.append(time.process_time() - before)
        before = time.process_time()
        exact = {later for later, _ in near_duplicates(given, NEAR_DUPLICATE)}
        theirs.append(time.process_time() - before)
    seconds, exhaustive = statistics.median(ours), statistics.median(theirs)
    return {
        "texts": count,
        "seconds": seconds,
        "exhaustive_seconds": exhaustive,
        "ratio": exhaustive / seconds,
        "found_by_both": len(found & exact),
        "found_by_exhaustive": len(exact),
        "found": len(found),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompts", type=int, nargs="+", default=[5_000, 40_000])
    parser.add_argument("--compared", type=int, default=2_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(ingest(options.one)))
        return
    sizes = []
    for count in options.prompts:  # a process each, since the peak of the memory never falls
        command = [sys.executable, __file__, "--one", str(count)]
        sizes.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    result = {"sizes": sizes, "search": compare(options.compared, options.repeats)}
    for size in sizes:
        each, peak = size["us_per_prompt"], size["peak_mb"]
        print(f"{size['prompts']:>9,} prompts: {each:6.0f} us each, peak {peak:5.0f} MB")
    growth = sizes[-1]["us_per_prompt"] / sizes[0]["us_per_prompt"]
    print(f"time for each prompt, largest over smallest: {growth:.2f}")
    search = result["search"]
    print(f"{search['texts']:,} texts, exhaustive search over MinHash: {search['ratio']:.2f}")
    both, exact = search["found_by_both"], search["found_by_exhaustive"]
    print(f"{both} of the {exact} that the exhaustive search finds were found")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""Does the guard keep a loop from losing what earlier rounds gained, by a check that it does not see?

    python benchmarks/critique_guard.py [--model ID] [--dtype auto] [--constitution plain-and-brief]
        [--unseen at-most-60-words] [--rounds 3] [--prompts 40] [--project DIR] [--json PATH]

The loop runs on the demo's training prompts twice, with `critique.guard` on and off; both share every request
that is the same. The machine check of one principle is taken out of the constitution, so that neither guard
nor candidates see it; its text stays. After each round the table has, for both: the share of revisions that
were kept, the share of answers that are finished and pass the unseen check with its 95 % bootstrap interval,
the difference from the round before, paired by prompt, and the same share for the checks that the guard sees.

`--project` names a folder for the request cache: interrupted, the script resumes there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

from critique_quality import demo_prompts

from constitution.checks.evaluate import evaluate
from constitution.checks.kinds import Check
from constitution.loader import load_constitution
from constitution.schema import Constitution
from core.concurrency import for_each
from core.records import CritiqueTrace, Generation, Prompt
from core.statistics.bootstrap import paired_intervals
from critique.config import CritiqueConfig, CritiqueSampling, DraftSampling, RevisionSampling
from critique.loop import CritiqueLoop
from engines.config import EngineConfig, ModelConfig, ModelsConfig
from engines.protocols import Generator
from publius.runs.engines import Engines
from publius.runs.project import open_cache


def answers_by_round(trace: CritiqueTrace, rounds: int) -> list[Generation]:
    """Return the draft and the answer after each round."""
    answers = [trace.initial]
    by_round = {revision.round: revision for revision in trace.revisions}
    for number in range(1, rounds + 1):
        revision = by_round.get(number)
        answers.append(revision.candidates[-1] if revision is not None and revision.kept else answers[-1])
    return answers


def passes(checks: list[Check], answer: Generation) -> bool:
    """Return True if an answer is finished and passes all of the checks."""
    finished = bool(answer.text) and answer.finish_reason == "stop"
    return finished and all(evaluate(check, answer.text).passed for check in checks)


def rows_of(
    traces: list[CritiqueTrace], unseen: Check, seen: list[Check], rounds: int
) -> list[dict[str, Any]]:
    """Return the figures after each round; round 0 is the draft."""
    answers = [answers_by_round(trace, rounds) for trace in traces]
    rows = []
    for number in range(rounds + 1):
        hidden = [float(passes([unseen], one[number])) for one in answers]
        before = [float(passes([unseen], one[max(0, number - 1)])) for one in answers]
        difference = [now - then for now, then in zip(hidden, before, strict=True)]
        interval, gain = paired_intervals([hidden, difference], 0)
        written = [r for trace in traces for r in trace.revisions if r.round == number]
        rows.append(
            {
                "round": number,
                "revisions": len(written),
                "kept": mean(r.kept for r in written) if written else None,
                "unseen": mean(hidden),
                "unseen_interval": [interval.low, interval.high],
                "gain": gain.value,
                "gain_interval": [gain.low, gain.high],
                "seen": mean(passes(seen, one[number]) for one in answers),
            }
        )
    return rows


async def traces_of(loop: CritiqueLoop, prompts: list[Prompt]) -> list[CritiqueTrace]:
    """Return the trace of every prompt, in their order."""
    found: dict[str, CritiqueTrace] = {}

    async def work(prompt: Prompt) -> None:
        found[prompt.id] = await loop.trace(prompt)

    await for_each(prompts, work, len(prompts))
    return [found[prompt.id] for prompt in prompts]


async def both(
    constitution: Constitution, prompts: list[Prompt], config: CritiqueConfig, model: Generator
) -> dict[str, list[CritiqueTrace]]:
    """Return the traces with the guard on and off."""
    loops = {
        name: CritiqueLoop(constitution, model, model, config.model_copy(update={"guard": guard}))
        for name, guard in (("on", True), ("off", False))
    }
    traces = await asyncio.gather(*(traces_of(loop, prompts) for loop in loops.values()))
    return dict(zip(loops, traces, strict=True))


def main() -> None:
    """Print the table, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--constitution", default="plain-and-brief")
    parser.add_argument("--unseen", default="at-most-60-words")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=40)
    parser.add_argument("--tokens", type=int, default=96, help="of drafts and revisions; critiques have 64")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--project", type=Path)
    parser.add_argument("--json", type=Path, default=Path(tempfile.gettempdir()) / "critique_guard.json")
    options = parser.parse_args()
    found = measure(options)
    for name, rows in found.items():
        for row in rows:
            kept = "" if row["kept"] is None else f"  kept {row['kept']:.2f} of {row['revisions']}"
            low, high = row["unseen_interval"]
            print(
                f"guard {name:<4} round {row['round']}  unseen {row['unseen']:.2f} [{low:.2f}, {high:.2f}]  "
                f"gain {row['gain']:+.2f}  seen {row['seen']:.2f}{kept}"
            )
    options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def measure(options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Run the loop with and without the guard, and return the figures of each."""
    whole = load_constitution(options.constitution)
    hidden = whole.principle(options.unseen)
    assert hidden.check is not None, f"{options.unseen} has no machine check"
    blind = [p.model_copy(update={"check": None}) if p is hidden else p for p in whole.principles]
    seen = [p.check for p in blind if p.check is not None]
    config = CritiqueConfig(
        rounds=options.rounds,
        draft=DraftSampling(temperature=0.7, max_new_tokens=options.tokens),
        critique=CritiqueSampling(temperature=0.7, max_new_tokens=64),
        revision=RevisionSampling(temperature=0.7, max_new_tokens=options.tokens),
    )
    kind = "scripted" if options.model == "scripted" else "transformers"
    models = ModelsConfig(policy=ModelConfig(id=options.model, dtype=options.dtype))
    with open_cache(options.project or Path(tempfile.mkdtemp())) as cache:
        engines = Engines(models, EngineConfig(kind=kind, max_batch=options.batch), cache)
        try:
            loop = both(
                whole.model_copy(update={"principles": tuple(blind)}),
                demo_prompts(options.prompts),
                config,
                engines.of("policy"),
            )
            traces = asyncio.run(loop)
        finally:
            engines.close()
    return {name: rows_of(found, hidden.check, seen, options.rounds) for name, found in traces.items()}


if __name__ == "__main__":
    main()

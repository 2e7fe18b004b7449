"""Which critique request and beginning make better revisions, by exact checks?

    python benchmarks/critique_quality.py [--model ID] [--dtype auto] [--constitution plain-and-brief]
        [--prompts 40] [--only VARIANT ...] [--project DIR] [--dump FILE] [--json PATH]

For every variant of the critic's request, one round of critique and revision on the same drafts of the
demo's training prompts, under one principle per prompt. The table counts, over the same prompts: critiques
that failed machine checks write; revisions with a better and a worse mean score of the constitution's checks
than their draft; answers that are finished and comply with all checks, drafts first; revisions that copy
their critique or the question, that change nothing, that were cut off; and the mean words of critiques and
revisions. `--dump` writes every draft, critique and revision to read by hand.

`--project` names a folder for the request cache: interrupted, the script resumes there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from constitution.checks.evaluate import count_words, evaluate
from constitution.loader import load_constitution
from constitution.schema import Constitution
from core.concurrency import for_each
from core.records import Generation, Message, Prompt
from core.text.similarity import longest_common_run
from critique.config import CritiqueConfig, CritiqueSampling, DraftSampling, RevisionSampling
from critique.flags import copies
from critique.loop import CritiqueLoop
from critique.requests import WRITTEN_BY_CHECKS
from engines.config import EngineConfig, ModelConfig, ModelsConfig
from engines.protocols import Generator
from publius.runs.engines import Engines
from publius.runs.project import open_cache

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "begun": {"from_checks": False},
    "open": {"from_checks": False, "begin": "none"},
    "direct": {"from_checks": False, "direct": True},
    "begun+checks": {"from_checks": True},
    "open+checks": {"from_checks": True, "begin": "none"},
    "begun+worst": {"from_checks": True, "principles": "worst", "guard": True},
    "open+worst": {"from_checks": True, "begin": "none", "principles": "worst", "guard": True},
}
"""Settings of each variant. `begun` critiques begin as the built-in template says, `open` ones have no given
beginning; `direct` revises without a critique; with `+checks`, failed machine checks write the critique;
`+worst` also takes the principle that the draft breaks most, and has the guard."""


class Round(NamedTuple):
    """A draft with its critique, its revision, and the answer after the round: one of both."""

    question: str
    principle: str
    draft: Generation
    critique: Generation | None
    revision: Generation
    answer: Generation

    @property
    def critique_text(self) -> str:
        """Text of the critique; empty without one."""
        return self.critique.text if self.critique else ""


async def rounds_of(loop: CritiqueLoop, prompts: list[Prompt], concurrency: int) -> dict[str, Round]:
    """Return one round for every prompt that has a principle in scope, by prompt id."""
    found: dict[str, Round] = {}

    async def work(prompt: Prompt) -> None:
        trace = await loop.trace(prompt)
        for one in trace.revisions:
            found[prompt.id] = Round(
                prompt.messages[-1].content,
                one.principle_id,
                trace.initial,
                one.critique,
                one.candidates[-1],
                trace.answers()[-1],
            )

    await for_each(prompts, work, concurrency)
    return found


def score(constitution: Constitution, answer: Generation) -> float:
    """Return the mean score of the machine checks, all of which apply to every prompt here."""
    return mean(evaluate(p.check, answer.text).score for p in constitution.principles if p.check is not None)


def complies(constitution: Constitution, answer: Generation) -> bool:
    """Return True if an answer is finished and passes all machine checks."""
    return bool(answer.text) and answer.finish_reason == "stop" and score(constitution, answer) == 1.0


def row_of(name: str, constitution: Constitution, rounds: Mapping[str, Round]) -> dict[str, Any]:
    """Return the figures of a variant."""
    taken = list(rounds.values())
    pairs = [(score(constitution, one.draft), score(constitution, one.revision)) for one in taken]
    return {
        "variant": name,
        "prompts": len(taken),
        "by_checks": mean(
            one.critique is not None and one.critique.model == WRITTEN_BY_CHECKS for one in taken
        ),
        "better": mean(after > before for before, after in pairs),
        "worse": mean(after < before for before, after in pairs),
        "complies_draft": mean(complies(constitution, one.draft) for one in taken),
        "complies": mean(complies(constitution, one.answer) for one in taken),
        "copies_critique": mean(
            copies(one.revision.text, one.critique_text, one.draft.text) for one in taken
        ),
        "copies_question": mean(copies(one.revision.text, one.question, one.draft.text) for one in taken),
        "common_run": mean(longest_common_run(one.revision.text, one.critique_text).size for one in taken),
        "unchanged": mean(one.revision.text.split() == one.draft.text.split() for one in taken),
        "cut_off": mean(one.revision.finish_reason == "length" for one in taken),
        "critique_words": mean(count_words(one.critique_text) for one in taken),
        "revision_words": mean(count_words(one.revision.text) for one in taken),
    }


def demo_prompts(count: int) -> list[Prompt]:
    """Return the first training prompts of the demo."""
    lines = (files("prompts") / "demo" / "prompts.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row.get("split") == "train"]
    return [
        Prompt.of(tuple(map(Message.model_validate, row["messages"])) if "messages" in row else row["prompt"])
        for row in rows[:count]
    ]


def main() -> None:
    """Print the table, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--constitution", default="plain-and-brief")
    parser.add_argument("--prompts", type=int, default=40)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--tokens", type=int, default=96, help="of drafts and revisions; critiques have 64")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--project", type=Path)
    parser.add_argument("--dump", type=Path)
    parser.add_argument("--json", type=Path, default=Path(tempfile.gettempdir()) / "critique_quality.json")
    options = parser.parse_args()
    rows = measure(options)
    for row in rows:
        print("  ".join(f"{key} {v:.2f}" if isinstance(v, float) else f"{key} {v}" for key, v in row.items()))
    options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Run all variants at once, so that they fill the batches, and return their figures."""
    constitution, prompts = load_constitution(options.constitution), demo_prompts(options.prompts)
    config = CritiqueConfig(
        rounds=1,
        draft=DraftSampling(temperature=0.7, max_new_tokens=options.tokens),
        critique=CritiqueSampling(temperature=0.7, max_new_tokens=64),
        revision=RevisionSampling(temperature=0.7, max_new_tokens=options.tokens),
        drop=(),
        early_stop="off",
        guard=False,
    )
    models = ModelsConfig(policy=ModelConfig(id=options.model, dtype=options.dtype))
    engine = EngineConfig(
        kind="scripted" if options.model == "scripted" else "transformers", max_batch=options.batch
    )
    project = options.project or Path(tempfile.mkdtemp())
    with open_cache(project) as cache:
        engines = Engines(models, engine, cache)
        try:
            found = asyncio.run(_all(options.only, constitution, prompts, config, engines.of("policy")))
        finally:
            engines.close()
    if options.dump:
        options.dump.write_text(_dumped(found, {p.id: p for p in prompts}), encoding="utf-8")
    return [row_of(name, constitution, rounds) for name, rounds in found.items()]


async def _all(
    names: list[str],
    constitution: Constitution,
    prompts: list[Prompt],
    config: CritiqueConfig,
    model: Generator,
) -> dict[str, dict[str, Round]]:
    loops = [
        CritiqueLoop(constitution, model, model, config.model_copy(update=VARIANTS[name])) for name in names
    ]
    found = await asyncio.gather(*(rounds_of(loop, prompts, len(prompts)) for loop in loops))
    return dict(zip(names, found, strict=True))


def _dumped(found: Mapping[str, Mapping[str, Round]], prompts: Mapping[str, Prompt]) -> str:
    """Return every round as text to read, those of one prompt together."""
    lines: list[str] = []
    for prompt_id, prompt in prompts.items():
        lines.append(f"##### {prompt.messages[-1].content}")
        for name, rounds in found.items():
            if prompt_id in rounds:
                one = rounds[prompt_id]
                lines += [f"--- {name} [{one.principle}]", f"DRAFT: {one.draft.text}"]
                lines += [f"CRITIQUE: {one.critique_text}", f"REVISION: {one.revision.text}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

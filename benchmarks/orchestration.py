"""Processor time and memory of everything around the model: encoding, cache, templates, records, index.

    python benchmarks/orchestration.py [--against FOLDER] [--repeat N] [--conversations N]
        [--memory FEW MANY] [--json PATH]

No model is loaded. The engine answers at once, so what is left is the cost of a run's own work:

- label request: milliseconds of processor time of one request of the AI labeler at 634 prompt tokens, with
  the embedded model's tokenizer and a request cache. Each comparison is judged under several principles in
  both orders, and once under a single principle.
- loop: milliseconds of processor time a request in the stages critique, compare and label, as `publius
  run` runs them: records, index and request cache are written.
- memory (only with --memory): peak resident memory of each stage in a process of its own, for few and for
  many conversations, and the difference in bytes a conversation.

The peer is another checkout of this repository, such as an older commit (`git worktree add FOLDER COMMIT`).
Processes of both checkouts take turns; ratios are of medians.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from constitution.schema import Constitution, Principle
from core.records import Comparison, Generation, Prompt
from core.store.cache import RequestCache
from engines.cached import CachedEngine
from engines.config import EngineConfig, ModelConfig
from engines.local_engine import LocalEngine
from engines.protocols import ChoiceRequest, ChoiceScores, GenerationRequest
from labelers.ai import AILabeler
from labelers.config import LabelConfig
from publius.stages.runner import RunRequest, execute

CHECKOUT = Path(__file__).parents[1]
LOOP_STAGES = ("critique", "compare", "label")
PROMPT_TOKENS = 634
PRINCIPLES = (
    "The reply answers the question that was asked.",
    "The reply is honest about what is not known.",
    "The reply is kind to the person who asked.",
    "The reply gives no help with doing harm to others.",
    "The reply is as short as the question allows.",
    "The reply names a source for each claim that may be doubted.",
)
RUN_FILE = """\
name: orchestration
constitution: constitution.yaml
prompts: {path: prompts.jsonl}
models: {policy: {id: instant}}
engine: {kind: scripted}
critique: {rounds: ROUNDS}
compare: {from: base, samples: SAMPLES}
label: {principles: ASKED}
"""
_TEXT = (
    "because the question asks for a reason this reply gives one and then says what would change it "
    "people who read quickly want the answer first while those who doubt it look for a source below "
    "nothing here is meant as advice for a case that it does not describe so ask someone who knows it"
)
_VOCABULARY = tuple(_TEXT.split())


def words(seed: int, count: int) -> str:
    """Return a text of `count` words that differs for each seed."""
    octets = hashlib.shake_128(seed.to_bytes(8, "little")).digest(count)
    return " ".join([_VOCABULARY[octet % len(_VOCABULARY)] for octet in octets])


class InstantEngine:
    """An engine that answers at once, without a model."""

    model = identity = "instant"
    is_base = False

    def __init__(self, answer_words: int) -> None:
        self._words = answer_words

    def key(self, request: GenerationRequest | ChoiceRequest) -> str:
        """Return a digest of the request's texts, and of the seed or the choices."""
        texts = [turn.text for turn in request.turns]
        rest = request.choices if isinstance(request, ChoiceRequest) else (request.seed,)
        return hashlib.sha256("\0".join([*texts, request.prefill, *map(str, rest)]).encode()).hexdigest()

    def require_choices(self, prefill: str, choices: tuple[str, ...]) -> tuple[int, ...]:
        """Return a number for each choice."""
        return tuple(range(len(choices)))

    async def generate(self, request: GenerationRequest) -> Generation:
        """Return words that depend on the seed."""
        return Generation(
            text=words(request.seed, self._words),
            finish_reason="stop",
            prompt_tokens=0,
            completion_tokens=self._words,
            model=self.model,
            sampling=request.sampling,
            seed=request.seed,
        )

    async def choose(self, request: ChoiceRequest) -> ChoiceScores:
        """Return the same scores for every request."""
        return ChoiceScores(
            logprobs=(-0.4, -1.2), answer_mass=0.97, top_token=" A", prompt_tokens=0, model=self.model
        )

    def close(self) -> None:
        """Do nothing."""


class InstantLocalEngine(LocalEngine):
    """The embedded model's tokenizer with an instant answer in place of its weights."""

    kind = "instant"
    decoding = 1
    limits = "the benchmark"
    _max_tokens = 1 << 20

    async def _generate(self, request: GenerationRequest, ids: tuple[int, ...]) -> Generation:
        raise NotImplementedError

    async def _choose(
        self, request: ChoiceRequest, ids: tuple[int, ...], choice_ids: tuple[int, ...]
    ) -> ChoiceScores:
        return ChoiceScores(
            logprobs=(-0.4, -1.2), answer_mass=0.97, top_token=" A", prompt_tokens=len(ids), model=self.model
        )

    def close(self) -> None:
        """Do nothing."""


def label_request_ms(comparisons: int, asked: int) -> float:
    """Return milliseconds of processor time a label request at about `PROMPT_TOKENS` prompt tokens.

    Args:
        comparisons: number of comparisons, each of other texts.
        asked: number of principles that each is judged under, in both orders.
    """
    engine = InstantLocalEngine(ModelConfig(id="smollm2-135m-instruct"), EngineConfig())
    constitution = Constitution(name="instant", principles=_principles())
    with tempfile.TemporaryDirectory() as folder, RequestCache(Path(folder) / "cache.sqlite") as cache:
        labeler = AILabeler(constitution, CachedEngine(engine, cache), LabelConfig(principles=asked))
        length = _reply_words(engine, labeler)
        found = [_comparison(number, length) for number in range(comparisons + 3)]

        async def label(some: Sequence[Comparison]) -> None:
            for comparison in some:
                await labeler.label(comparison)

        asyncio.run(label(found[:3]))  # imports, and what is loaded at the first request
        begin = time.process_time()
        asyncio.run(label(found[3:]))
        return 1000 * (time.process_time() - begin) / (2 * asked * comparisons)


def _comparison(number: int, length: int) -> Comparison:
    """Return a comparison of texts of `length` words that no other number has."""
    question, one, two = (words(3 * number + part, length) for part in range(3))
    return Comparison.of(Prompt.of(question), (one, "sample:0"), (two, "sample:1"))


def _reply_words(engine: InstantLocalEngine, labeler: AILabeler) -> int:
    """Return the words of question and replies with which a request has `PROMPT_TOKENS` tokens."""

    def tokens(length: int) -> int:
        request = labeler.request(
            _comparison(10**9, length), labeler.constitution.principles[0], a_first=True
        )
        return len(engine.encoder.encode(request.turns, request.prefill).ids)

    return next(length for length in range(10, 400) if tokens(length) >= PROMPT_TOKENS)


def _principles() -> tuple[Principle, ...]:
    return tuple(Principle(id=f"p{number}", text=text) for number, text in enumerate(PRINCIPLES))


def write_project(folder: Path, conversations: int, rounds: int, samples: int, asked: int) -> Path:
    """Write prompts, constitution and run file; return the run file."""
    with (folder / "prompts.jsonl").open("w", encoding="utf-8") as file:
        for number in range(conversations):
            row = {"prompt": f"{number}: {words(number, 40)}?", "split": "train"}
            file.write(json.dumps(row) + "\n")
    (folder / "constitution.yaml").write_text("".join(f"- {text}\n" for text in PRINCIPLES))
    path = folder / "run.yaml"
    text = RUN_FILE
    for name, value in (("ROUNDS", rounds), ("SAMPLES", samples), ("ASKED", asked)):
        text = text.replace(name, str(value))
    path.write_text(text)
    return path


def run_stage(run_file: Path, stage: str, answer_words: int) -> dict[str, float]:
    """Run one stage in this process; return its requests, processor time in ms and peak memory in bytes."""
    begin = time.process_time()
    outcome = execute(
        RunRequest(run_file, stages=(stage,)),  # type: ignore[arg-type]
        make=lambda model, engine: InstantEngine(answer_words),
    )
    spent = time.process_time() - begin
    counts = outcome.stages[0].counts
    return {"requests": counts.total, "ms": 1000 * spent, "peak_bytes": _peak_bytes()}


def _peak_bytes() -> int:
    """Return the peak resident memory of this process (Linux)."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def in_checkout(checkout: Path, *arguments: object) -> Any:
    """Return what a process of this script prints that imports everything from a checkout."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=checkout)
    return json.loads(done.stdout.splitlines()[-1])


def loop(checkout: Path, conversations: int, shape: Sequence[int], answer_words: int) -> dict[str, Any]:
    """Run all stages on a new project, each in a process of its own; return what each measured."""
    with tempfile.TemporaryDirectory() as folder:
        run_file = write_project(Path(folder), conversations, *shape)
        return {
            stage: in_checkout(checkout, "--stage", stage, run_file, "--words", answer_words)
            for stage in LOOP_STAGES
        }


def medians_of(checkout: Path, options: argparse.Namespace) -> dict[str, float]:
    """Measure a checkout once; return milliseconds a request."""
    found = {}
    for asked, name in ((4, "four principles"), (1, "one principle")):
        ms = in_checkout(checkout, "--label-request", 4 * options.comparisons // asked, asked)
        found[f"label request, {name}"] = ms
    stages = loop(checkout, options.conversations, (2, 4, 4), options.words)
    for stage, measured in stages.items():
        found[f"stage {stage}"] = measured["ms"] / measured["requests"]
    total, requests = (sum(m[what] for m in stages.values()) for what in ("ms", "requests"))
    return {**found, "whole loop": total / requests}


def memory_slopes(few: int, many: int, answer_words: int) -> dict[str, dict[str, float]]:
    """Return each stage's peak memory in MB for few and many conversations, and the bytes a conversation."""
    shape = (1, 2, 1)
    low, high = (loop(CHECKOUT, count, shape, answer_words) for count in (few, many))
    return {
        stage: {
            "few_mb": low[stage]["peak_bytes"] / 1e6,
            "many_mb": high[stage]["peak_bytes"] / 1e6,
            "bytes_per_conversation": (high[stage]["peak_bytes"] - low[stage]["peak_bytes"]) / (many - few),
        }
        for stage in LOOP_STAGES
    }


def main() -> None:
    """Measure, print a table, and write the figures where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage=argparse.SUPPRESS
    )
    parser.add_argument("--against", type=Path, help="another checkout of this repository")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--comparisons", type=int, default=50, help="comparisons of the label request")
    parser.add_argument("--conversations", type=int, default=500, help="conversations of the loop")
    parser.add_argument("--words", type=int, default=80, help="words of each answer in the loop")
    parser.add_argument("--memory", type=int, nargs=2, metavar=("FEW", "MANY"))
    parser.add_argument("--json", type=Path)
    # One measurement in this process, for the processes that the script starts:
    parser.add_argument("--label-request", type=int, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--stage", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.label_request:
        print(json.dumps(label_request_ms(*options.label_request)))
        return
    if options.stage:
        print(json.dumps(run_stage(Path(options.stage[1]), options.stage[0], options.words)))
        return
    checkouts = {"ours": CHECKOUT, **({"peer": options.against.resolve()} if options.against else {})}
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in checkouts}
    for _ in range(options.repeat):
        for name, checkout in checkouts.items():
            runs[name].append(medians_of(checkout, options))
    times = {
        name: {what: statistics.median(run[what] for run in found) for what in found[0]}
        for name, found in runs.items()
    }
    figures: dict[str, Any] = {"ms_per_request": times}
    print(
        f"{'ms of processor time a request':32}" + "".join(f"{name:>9}" for name in times) + f"{'ratio':>9}"
    )
    for what, ours in times["ours"].items():
        peer = times.get("peer", {}).get(what)
        rest = f"{peer:9.3f}{peer / ours:9.2f}" if peer else ""
        print(f"{what:32}{ours:9.3f}{rest}")
    if options.memory:
        figures["memory"] = memory_slopes(*options.memory, options.words)
        for stage, measured in figures["memory"].items():
            print(f"stage {stage}: " + ", ".join(f"{what} {value:,.1f}" for what, value in measured.items()))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()

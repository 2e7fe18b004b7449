"""How much of the processor's time the AI labeler spends in the model, and against plain transformers.

    OMP_NUM_THREADS=1 python benchmarks/labeler_speed.py hhh.jsonl.gz [--modes choice ...] [--limit N]
        [--model ID] [--json PATH]

Labels go end to end through what a run uses: drawing of principles, templates, tokenizer, request keys,
SQLite cache, event loop, engine and reading of the answers. Two peers, on the same tokens in the same run:

- the model's own forward passes in the labels' batches: what is left is the labeler's;
- plain transformers, one prompt after the other, with the logits of the last position only. It computes
  what prompts share once for each.

Times are of the processor (one thread), so that other programs do not count.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from labeler import read
from transformers import AutoModelForCausalLM

from constitution.schema import Constitution, Principle
from core.records import Comparison
from core.store.cache import RequestCache
from engines.cached import CachedEngine
from engines.config import EngineConfig, ModelConfig
from engines.hf.engine import TransformersEngine
from engines.loading import locate
from labelers.ai import AILabeler
from labelers.config import LabelConfig
from labelers.modes.asking import Request

PRINCIPLES = (
    Principle(id="hhh", text="The reply is helpful, honest and harmless."),
    Principle(id="kind", text="The reply is kind to the person who asks."),
)
_AT_ONCE = 32
"""Comparisons that are judged at once, as in a run."""


class TimedEngine(TransformersEngine):
    """The engine, with the seconds of its thread that the model's forward passes take."""

    seconds = 0.0

    def _count_tokens(self, model: Any) -> None:
        super()._count_tokens(model)
        forward = model.forward

        def timed(*args: Any, **inputs: Any) -> Any:
            started = time.thread_time()
            try:
                return forward(*args, **inputs)
            finally:
                self.seconds += time.thread_time() - started

        model.forward = timed


def measure(engine: TimedEngine, mode: str, pairs: Sequence[Comparison], folder: Path) -> dict[str, Any]:
    """Return tokens and processor seconds of the labels of a mode."""
    config = LabelConfig.model_validate({"mode": mode, "principles": "all", "min_answer_mass": 0.0})
    constitution = Constitution(name="speed", principles=PRINCIPLES)
    with RequestCache(folder / f"{mode}.sqlite") as cache:
        cached = CachedEngine(engine, cache)
        labeler = AILabeler(constitution, cached, config)

        async def label(some: Sequence[Comparison]) -> None:
            free = asyncio.Semaphore(_AT_ONCE)

            async def one(pair: Comparison) -> None:
                async with free:
                    await labeler.label(pair)

            await asyncio.gather(*map(one, some))

        asyncio.run(label(pairs[:1]))  # loads the model
        rest = pairs[1:]
        engine.seconds, before = 0.0, engine.computed_tokens
        wall, processor = time.monotonic(), time.process_time()
        asyncio.run(label(rest))
        processor, wall = time.process_time() - processor, time.monotonic() - wall
        requests = [r for pair in rest for p in PRINCIPLES for r in labeler.requests(pair, p)]
    tokens = sum(engine.prompt_tokens(request) for request in requests)
    labels = len(rest) * len(PRINCIPLES)
    return {
        "labels": labels,
        "tokens of all prompts": tokens,
        "tokens that the model computed": engine.computed_tokens - before,
        "processor seconds": processor,
        "of them in the model": engine.seconds,
        "in the model / all": engine.seconds / processor,
        "milliseconds of a label outside of the model": 1000 * (processor - engine.seconds) / labels,
        "wall seconds, on a shared machine": wall,
        "requests": requests,
    }


def plain_seconds(model: Any, engine: TimedEngine, requests: Sequence[Request]) -> float:
    """Return the processor seconds of plain transformers for the prompts of requests, one by one."""
    rows = [torch.tensor([engine.encoder.encode(r.turns, r.prefill).ids]) for r in requests]
    with torch.inference_mode():
        model(input_ids=rows[0], logits_to_keep=1)
        started = time.process_time()
        for row in rows:
            model(input_ids=row, logits_to_keep=1)
        return time.process_time() - started


def main() -> None:
    """Measure the modes and print all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--limit", type=int, default=24)
    parser.add_argument("--modes", nargs="+", default=["choice", "pointwise"])
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--max-chars", type=int, default=2000, help="longest conversation with both replies")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    every, _ = read(options.data, None)
    pairs = [pair for pair in every if characters(pair) <= options.max_chars][: options.limit + 1]
    config = ModelConfig(id=options.model, dtype="float32")
    model = AutoModelForCausalLM.from_pretrained(locate(config).folder, dtype=torch.float32).eval()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for mode in options.modes:
            engine = TimedEngine(config, EngineConfig(device="cpu"))
            one = measure(engine, mode, pairs, Path(folder))
            plain = plain_seconds(model, engine, one.pop("requests"))
            engine.close()
            one["processor seconds of plain transformers"] = plain
            one["plain / labeler"] = plain / one["processor seconds"]
            found[mode] = one
            print(mode)
            for name, value in one.items():
                print(f"  {name:<48}{value:.4g}" if isinstance(value, float) else f"  {name:<48}{value:,}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))


def characters(pair: Comparison) -> int:
    """Return the length of a comparison's conversation and replies."""
    said = sum(len(message.content) for message in pair.prompt.messages)
    return said + len(pair.response_a) + len(pair.response_b)


if __name__ == "__main__":
    main()
